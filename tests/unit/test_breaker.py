from axxonfs.core.breaker import OPENS_AFTER, Breaker


def failed(breaker: Breaker, reads: int) -> list[bool]:
    return [breaker.read_failed(number) for number in range(reads)]


def test_reads_that_fail_while_listings_are_answered_open_nothing() -> None:
    breaker = Breaker()
    assert not any(failed(breaker, 100))
    assert not breaker.is_open


def test_a_listing_that_fails_opens_nothing_by_itself() -> None:
    breaker = Breaker()
    assert not any(breaker.unanswered(number) for number in range(100))
    assert not breaker.is_open


def test_both_together_open_it_once_whichever_comes_last() -> None:
    breaker = Breaker()
    breaker.unanswered(1)
    assert failed(breaker, OPENS_AFTER + 2) == [False] * (OPENS_AFTER - 1) + [True, False, False]
    other = Breaker()
    failed(other, OPENS_AFTER)
    assert [other.unanswered(7), other.unanswered(8)] == [True, False]
    assert other.open_since_s == 7


def test_an_answer_closes_it_and_all_begins_anew() -> None:
    breaker = Breaker()
    breaker.unanswered(1)
    failed(breaker, OPENS_AFTER)
    assert breaker.answered()
    assert not breaker.answered()
    assert breaker.open_since_s is None
    assert not any(failed(breaker, OPENS_AFTER))
    assert breaker.unanswered(9)


def test_reads_that_failed_before_bytes_came_do_not_count() -> None:
    breaker = Breaker()
    failed(breaker, OPENS_AFTER)
    breaker.answered()
    assert not breaker.unanswered(1)


def test_a_listing_is_in_question_from_the_reads_that_failed_to_the_next_answer() -> None:
    breaker = Breaker()
    failed(breaker, OPENS_AFTER - 1)
    assert not breaker.is_in_question
    failed(breaker, 1)
    assert breaker.is_in_question
    breaker.unanswered(1)
    assert breaker.is_in_question
    breaker.answered()
    assert not breaker.is_in_question
