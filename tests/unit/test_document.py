import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core.document import MAX_BYTES, Draft, Nothing, Outcome, Refuse, Submit
from axxonfs.core.errors import AxxonfsError, RefusedError, SpecError, TooLargeError, errno_of

SPEC = b'{"camera": "1.Front door", "from": "-5m", "to": "now"}'
OTHER = b'{"camera": "2.Gate", "from": "-5m", "to": "now", "comment": "a longer one"}'
WRONG = b'{"camera": "nobody"}'
REFUSED = RefusedError("there is no camera")

TRICKY = (
    SPEC,
    b"{}",
    b'\xef\xbb\xbf{"a": 1}',
    b' \r\n\t {"a": {"b": [{}, []]}}',
    b'{"braces": "} ] { [ \\" }", "escape": "\\\\", "last": "\\\\\\""}',
    '{"name": "Vorne \N{LATIN SMALL LETTER U WITH DIAERESIS}ber \N{CJK UNIFIED IDEOGRAPH-9580}"}'.encode(),
    b'{"key": "\\u007b", "number": -1.5e3, "words": [true, false, null]}',
)


class Writer:
    """Drives a draft as the mount does: every Submit gets its answer before the next operation."""

    def __init__(self, draft: Draft | None = None, answer: AxxonfsError | None = None) -> None:
        self.draft = draft or Draft()
        self.answer = answer
        self.submitted: list[bytes] = []

    def write(self, offset: int, data: bytes) -> Outcome:
        return self._take(self.draft.write(offset, data))

    def truncate(self, size: int) -> Outcome:
        return self._take(self.draft.truncate(size))

    def flush(self) -> Outcome:
        return self._take(self.draft.flush())

    def open(self, *, truncate: bool = False) -> Outcome:
        self.draft.opened(truncate=truncate)
        return Nothing()

    def _take(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Submit):
            self.submitted.append(outcome.document)
            self.draft.settle(self.answer)
            return outcome if self.answer is None else Refuse(self.answer)
        return outcome


def pieces(data: bytes, sizes: Sequence[int], start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Cut `data` into pieces of these sizes, again and again, with the offset of each."""
    offset = turn = 0
    while offset < len(data):
        size = sizes[turn % len(sizes)]
        yield start + offset, data[offset : offset + size]
        offset, turn = offset + size, turn + 1


# What each program was measured to send, as (operation, arguments); "S" is a submission, "E" an
# error, "." nothing. An open without truncation stands where the file exists already.
Step = tuple[str, tuple[Any, ...], Literal["S", "E", "."]]


def write(offset: int, data: bytes, result: Literal["S", "E", "."]) -> Step:
    return ("write", (offset, data), result)


def flush(result: Literal["S", "E", "."] = ".") -> Step:
    return ("flush", (), result)


def truncate(size: int, result: Literal["S", "E", "."] = ".") -> Step:
    return ("truncate", (size,), result)


REOPEN: Step = ("open", (), ".")
HALF = len(SPEC) // 2
LONG = json.dumps({"camera": "1", "from": "-5m", "to": "now", "comment": "x" * 24_000}).encode()

NEW_FILES: dict[str, list[Step]] = {
    "echo, cat, dd": [flush(), write(0, SPEC + b"\n", "S"), flush()],
    "cp, tee, Python": [write(0, SPEC, "S"), flush()],
    "cp of a file that ends in blank lines, 8 KiB at a time": [
        write(0, SPEC + b" " * (8192 - len(SPEC)), "S"),
        write(8192, b"\n\n", "."),
        flush(),
    ],
    "touch": [flush(), flush()],
    "touch, then echo": [flush(), flush(), REOPEN, flush(), write(0, SPEC, "S"), flush()],
    "a line end alone": [flush(), write(0, b"\n", "."), flush()],
    "json.dump of 24 KB": [
        *(
            write(offset, piece, "S" if offset + len(piece) == len(LONG) else ".")
            for offset, piece in pieces(LONG, [8189, 3, 8187, 5, len(LONG)])
        ),
        flush(),
    ],
    "(cat a; cat b) > f": [
        flush(),
        write(0, SPEC[:HALF], "."),
        flush("E"),
        flush("E"),
        write(HALF, SPEC[HALF:], "S"),
        flush(),
        flush(),
    ],
    "exec 3> f, several echos": [
        flush(),
        write(0, b"{\n", "."),
        flush("E"),
        write(2, b'"camera": "1"\n', "."),
        write(16, b"}\n", "S"),
        flush(),
    ],
    "a document and white space in another write": [write(0, SPEC, "S"), write(len(SPEC), b"\r\n \t", "."), flush()],
    "two documents in one write start nothing": [write(0, SPEC + OTHER, "E"), flush("E")],
    "a second document after the first is refused": [write(0, SPEC, "S"), write(len(SPEC), OTHER, "E"), flush("E")],
    "a document cut out of what was refused": [write(0, SPEC + b"rest", "E"), truncate(len(SPEC), "S"), flush()],
    "space reserved first": [truncate(len(SPEC)), write(0, SPEC, "S"), truncate(len(SPEC)), flush()],
    "the tail before the head": [write(HALF, SPEC[HALF:], "."), flush("E"), write(0, SPEC[:HALF], "S"), flush()],
    "a hole in the middle": [
        write(0, SPEC[:10], "."),
        write(20, SPEC[20:], "."),
        flush("E"),
        write(10, SPEC[10:20], "S"),
        flush(),
    ],
    "a hole behind the document": [
        write(0, SPEC, "S"),
        write(len(SPEC) + 4, b"\n", "."),
        flush("E"),
        write(len(SPEC), b"    ", "."),
        flush(),
    ],
    "a list": [write(0, b'["camera"]', "E"), flush("E")],
    "a quote is missing": [flush(), write(0, b'{"camera: "1.Front door"}\n', "E"), flush("E")],
    "no document at all": [write(0, b"camera: 1\n", "E"), flush("E")],
}

OLD_FILES: dict[str, list[Step]] = {
    "cat over it": [("open", (True,), "."), flush(), write(0, OTHER, "S"), flush()],
    "the same text again": [("open", (True,), "."), flush(), write(0, SPEC, "S"), flush()],
    "vim: open, then truncate": [REOPEN, truncate(0), write(0, OTHER, "S"), flush()],
    "touch": [REOPEN, flush(), flush()],
    "opened and closed": [REOPEN, flush()],
    "dd conv=notrunc, longer, in one block": [REOPEN, flush(), write(0, OTHER, "S"), flush()],
    "dd conv=notrunc, longer, in small blocks": [
        REOPEN,
        flush(),
        *(
            write(offset, piece, "S" if offset + len(piece) == len(OTHER) else ".")
            for offset, piece in pieces(OTHER, [10])
        ),
        flush(),
    ],
    "dd conv=notrunc, the same text": [REOPEN, flush(), write(0, SPEC, "S"), flush()],
    "dd conv=notrunc, shorter": [REOPEN, flush(), write(0, WRONG, "."), flush("E")],
    "rsync --inplace, longer": [REOPEN, write(0, OTHER, "S"), flush()],
    "rsync --inplace, shorter": [REOPEN, write(0, WRONG, "."), truncate(len(WRONG), "S"), flush()],
    "rsync --inplace, where blocks in the middle stay": [
        REOPEN,
        write(0, SPEC[:8], "."),
        write(HALF, SPEC[HALF:].replace(b"now", b"-1m"), "."),
        flush("S"),
    ],
    "r+, writing a field of the same length": [REOPEN, write(SPEC.index(b"-5m"), b"-6m", "."), flush("S"), flush()],
    "r+, two fields, half-way a document that nobody meant": [
        REOPEN,
        write(SPEC.index(b"-5m"), b"-6m", "."),
        write(SPEC.index(b"now"), b"-1m", "."),
        flush("S"),
    ],
    ">> a line end": [REOPEN, flush(), write(len(SPEC), b"\n", "."), flush()],
    ">> a second document": [REOPEN, flush(), write(len(SPEC), OTHER, "."), flush("E")],
    "truncate -s cuts it": [REOPEN, truncate(10), flush("E")],
    "truncate -s 0": [REOPEN, truncate(0), flush()],
    "truncate -s 0 without opening it": [truncate(0), write(0, SPEC, "S")],
}


def run(writer: Writer, steps: Sequence[Step]) -> str:
    return "".join(_letter(writer, *step[:2]) for step in steps)


def _letter(writer: Writer, operation: str, arguments: tuple[Any, ...]) -> str:
    if operation == "open":
        writer.open(truncate=bool(arguments))
        return "."
    outcome: Outcome = getattr(writer, operation)(*arguments)
    return {Nothing: ".", Submit: "S", Refuse: "E"}[type(outcome)]


def expected(steps: Sequence[Step]) -> str:
    return "".join(step[2] for step in steps)


@pytest.mark.parametrize("steps", NEW_FILES.values(), ids=NEW_FILES.keys())
def test_each_program_that_writes_a_new_file_works(steps: list[Step]) -> None:
    assert run(Writer(), steps) == expected(steps)


@pytest.mark.parametrize("steps", OLD_FILES.values(), ids=OLD_FILES.keys())
def test_each_program_that_writes_over_an_old_file_works(steps: list[Step]) -> None:
    writer = Writer()
    writer.write(0, SPEC)
    assert run(writer, steps) == expected(steps)


OPENED = {name: steps for name, steps in OLD_FILES.items() if steps[0][0] == "open"}


@pytest.mark.parametrize("steps", OPENED.values(), ids=OPENED.keys())
def test_a_file_that_a_restart_brought_back_is_an_old_file(steps: list[Step]) -> None:
    assert run(Writer(Draft(SPEC)), steps) == expected(steps)


def test_the_file_shows_what_was_written_even_where_it_was_refused() -> None:
    writer = Writer(answer=REFUSED)
    writer.write(0, SPEC)
    writer.write(len(SPEC), b" rest")
    assert writer.draft.content == SPEC + b" rest"


def test_a_hole_reads_as_zeros() -> None:
    writer = Writer()
    writer.write(2, b"}")
    assert writer.draft.content == b"\0\0}"


@pytest.mark.parametrize("document", TRICKY)
@pytest.mark.parametrize("trailing", [b"", b"\n", b" \r\n\t\n"])
@pytest.mark.parametrize("sizes", [[10_000], [1], [3, 7, 2], [1, 5]])
def test_a_document_is_submitted_once_by_the_write_that_completes_it(
    document: bytes, trailing: bytes, sizes: list[int]
) -> None:
    writer = Writer()
    for offset, piece in pieces(document + trailing, sizes):
        ended_before = offset >= len(document)
        ends = offset + len(piece) >= len(document)
        expected = Submit(document) if ends and not ended_before else Nothing()
        assert writer.write(offset, piece) == expected
    assert writer.flush() == Nothing()
    assert writer.flush() == Nothing()
    assert writer.submitted == [document]


@pytest.mark.parametrize("document", TRICKY)
def test_every_byte_of_a_document_may_come_in_any_order(document: bytes) -> None:
    writer = Writer()
    for offset in (*range(1, len(document), 2), *reversed(range(0, len(document), 2))):
        assert not writer.submitted
        writer.write(offset, document[offset : offset + 1])
    assert writer.submitted == [document]


@pytest.mark.parametrize("document", TRICKY)
def test_a_document_cut_short_at_any_byte_is_refused_at_the_flush_and_completed_after_it(document: bytes) -> None:
    for cut in range(1, len(document)):
        writer = Writer()
        assert writer.write(0, document[:cut]) == Nothing()
        at_flush = writer.flush()
        assert isinstance(at_flush, Refuse) or not document[:cut].strip(b" \t\r\n\xef\xbb\xbf")
        assert writer.write(cut, document[cut:]) == Submit(document)
        assert writer.flush() == Nothing()


@pytest.mark.parametrize("rest", [b"{}", b"x", b"]", b'"', b"\xef\xbb\xbf"])
@pytest.mark.parametrize("sizes", [[10_000], [1]])
def test_anything_but_white_space_behind_the_document_is_refused(rest: bytes, sizes: list[int]) -> None:
    writer = Writer()
    outcomes = [writer.write(offset, piece) for offset, piece in pieces(SPEC + b"\n " + rest, sizes)]
    assert isinstance(outcomes[-1], Refuse)
    assert "something follows the end of the document" in str(outcomes[-1].error)
    assert "line 2, column 2" in str(outcomes[-1].error)
    assert writer.flush() == outcomes[-1] or isinstance(writer.flush(), Refuse)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(
    document=st.dictionaries(st.text(), json_values, max_size=4),
    spaces=st.tuples(st.text(" \t\r\n", max_size=3), st.text(" \t\r\n", max_size=3)),
    indent=st.none() | st.integers(0, 3),
    ascii_only=st.booleans(),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    flushes=st.sets(st.integers(0, 40)),
)
def test_any_json_object_in_any_pieces_with_any_flushes_is_submitted_once(
    *,
    document: dict[str, Any],
    spaces: tuple[str, str],
    indent: int | None,
    ascii_only: bool,
    sizes: list[int],
    flushes: set[int],
) -> None:
    text = spaces[0] + json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "surrogatepass")
    writer = Writer()
    for number, (offset, piece) in enumerate(pieces(data + spaces[1].encode(), sizes)):
        writer.write(offset, piece)
        if number in flushes:
            writer.flush()
    writer.flush()
    assert writer.submitted == [data]


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("write"), st.tuples(st.integers(0, 60), st.sampled_from([SPEC, b"{}", b'{"', b"} ", b"x"]))
            ),
            st.tuples(st.just("write"), st.tuples(st.integers(0, 60), st.binary(max_size=20))),
            st.tuples(st.just("truncate"), st.tuples(st.integers(0, 80))),
            st.tuples(st.just("flush"), st.just(())),
            st.tuples(st.just("open"), st.just(())),
        ),
        max_size=30,
    )
)
def test_whatever_is_done_to_it_a_draft_holds_what_a_plain_file_holds(steps: list[tuple[str, tuple[Any, ...]]]) -> None:
    writer = Writer()
    plain = bytearray()
    for operation, arguments in steps:
        _letter(writer, operation, arguments)
        if operation == "write" and arguments[1]:
            offset, data = arguments
            plain.extend(bytes(max(0, offset - len(plain))))
            plain[offset : offset + len(data)] = data
        if operation == "truncate":
            (size,) = arguments
            del plain[size:]
            plain.extend(bytes(size - len(plain)))
        assert writer.draft.content == plain
    for document in writer.submitted:
        assert document.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{")
        assert document.endswith(b"}")


def test_a_refusal_is_repeated_without_asking_again() -> None:
    writer = Writer(answer=REFUSED)
    refusal = Refuse(REFUSED)
    assert writer.write(0, WRONG) == refusal
    assert writer.write(0, WRONG) == refusal  # Python's second try at close
    assert writer.write(len(WRONG), WRONG) == refusal  # the same with O_APPEND
    assert writer.flush() == refusal
    assert writer.flush() == refusal
    assert writer.submitted == [WRONG]


def test_another_document_after_a_refusal_is_submitted() -> None:
    writer = Writer(answer=REFUSED)
    writer.write(0, WRONG)
    writer.answer = None
    assert writer.write(0, SPEC) == Submit(SPEC)
    assert writer.flush() == Nothing()


def test_another_document_in_pieces_after_a_refusal_waits_for_the_flush() -> None:
    writer = Writer(answer=REFUSED)
    writer.write(0, SPEC)
    writer.answer = None
    changed = SPEC.replace(b"-5m", b"-6m").replace(b"now", b"-1m")
    for piece in pieces(changed, [HALF]):
        assert writer.write(*piece) == Refuse(REFUSED)
    assert writer.flush() == Submit(changed)
    assert writer.submitted == [SPEC, changed]


def test_the_same_document_after_a_truncation_is_submitted_again() -> None:
    writer = Writer(answer=REFUSED)
    writer.write(0, WRONG)
    assert writer.truncate(0) == Nothing()
    assert writer.flush() == Nothing()
    writer.write(0, WRONG)
    assert writer.submitted == [WRONG, WRONG]


def test_the_refusal_of_one_writer_is_not_told_to_the_next() -> None:
    writer = Writer(answer=REFUSED)
    writer.write(0, WRONG)
    writer.open()
    assert writer.flush() == Nothing()


def test_a_touch_does_not_take_the_document_of_another_writer_for_dealt_with() -> None:
    writer = Writer(Draft(SPEC))
    writer.open()
    assert writer.write(SPEC.index(b"-5m"), b"-6m") == Nothing()
    writer.open()  # touch, before the first has closed it
    assert writer.flush() == Submit(SPEC.replace(b"-5m", b"-6m"))


def test_a_moved_file_is_judged_by_a_flush() -> None:
    assert Draft(SPEC).flush() == Submit(SPEC)
    assert Draft(b"").flush() == Nothing()
    assert isinstance(Draft(SPEC[:-1]).flush(), Refuse)
    assert isinstance(Draft(SPEC + b"x").flush(), Refuse)


def test_a_flush_while_the_server_has_not_answered_reports_nothing() -> None:
    draft = Draft()
    assert draft.write(0, SPEC) == Submit(SPEC)
    assert draft.flush() == Nothing()
    assert draft.write(len(SPEC), b"\n") == Nothing()
    draft.settle(REFUSED)
    assert draft.flush() == Refuse(REFUSED)


def test_an_answer_for_what_was_truncated_since_is_dropped() -> None:
    draft = Draft()
    draft.write(0, SPEC)
    draft.truncate(0)
    draft.settle(REFUSED)
    assert draft.flush() == Nothing()


SECRET = b'{"camera": "1", "password": "hush"}'
MASKED = SECRET.replace(b"hush", b"****")


def test_a_masked_document_is_not_submitted_again() -> None:
    writer = Writer()
    writer.write(0, SECRET)
    writer.draft.replace_secrets(MASKED)
    assert writer.draft.content == MASKED
    assert writer.write(len(MASKED), b"\n") == Nothing()
    assert writer.flush() == Nothing()
    assert writer.submitted == [SECRET]


def test_the_second_try_of_a_refused_document_with_a_secret_is_not_submitted_again() -> None:
    writer = Writer(answer=REFUSED)
    writer.write(0, SECRET)
    writer.draft.replace_secrets(MASKED)
    writer.draft.settle(REFUSED)
    assert writer.write(0, SECRET) == Refuse(REFUSED)
    assert writer.flush() == Refuse(REFUSED)
    assert writer.submitted == [SECRET]


def test_a_masked_text_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        Draft(SECRET).replace_secrets(MASKED + b"*")


def test_a_document_of_64_kib_is_taken_and_a_larger_one_is_too_large() -> None:
    full = b'{"comment": "' + b"x" * (MAX_BYTES - 15) + b'"}'
    assert len(full) == MAX_BYTES
    assert Writer().write(0, full) == Submit(full)
    for outcome in (Draft().write(1, full), Draft().truncate(MAX_BYTES + 1)):
        assert isinstance(outcome, Refuse)
        assert isinstance(outcome.error, TooLargeError)


def test_a_write_that_is_too_large_changes_nothing() -> None:
    draft = Draft(SPEC)
    draft.write(MAX_BYTES, b"x")
    assert draft.content == SPEC


def test_the_close_of_a_document_that_is_too_large_says_so_and_not_that_it_is_incomplete() -> None:
    draft = Draft()
    draft.write(0, b'{"comment": "')
    draft.write(13, b"x" * MAX_BYTES)
    outcome = draft.flush()
    assert isinstance(outcome, Refuse)
    assert isinstance(outcome.error, TooLargeError)
    draft.truncate(0)
    assert draft.write(0, SPEC[:9]) == Nothing()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"camera", "line 1, column 1: a spec is one JSON object in UTF-8 and begins with {"),
        (b"\n\n  [1]", "line 3, column 3: a spec is one JSON object"),
        ('{"a": 1}'.encode("utf-16"), "line 1, column 1: a spec is one JSON object in UTF-8"),
        (b'{\n "a": "b\n}', "line 2, column 9: a text must end on the line where it begins"),
        (b'{"a": "b\\\n', "line 1, column 9: a text must end on the line where it begins"),
        ('{"\N{LATIN SMALL LETTER U WITH DIAERESIS}": 1} x'.encode(), "line 1, column 10: something follows"),
    ],
)
def test_a_wrong_beginning_is_refused_at_once_with_its_place(text: bytes, says: str) -> None:
    outcome = Draft().write(0, text)
    assert isinstance(outcome, Refuse)
    assert isinstance(outcome.error, SpecError)
    assert says in str(outcome.error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            b'{"camera": "1",\n "to',
            'line 2, column 5: the document is not complete: the closing " of a text is missing',
        ),
        (b'{"camera": "1"\n', "line 2, column 1: the document is not complete: its closing } is missing"),
        (b"\0\0", "line 1, column 1: the document is not complete: bytes were left out here"),
        (b'{"a\0', "line 1, column 4: the document is not complete: bytes were left out here"),
    ],
)
def test_a_flush_in_the_middle_says_where_it_stopped(text: bytes, says: str) -> None:
    draft = Draft()
    assert draft.write(0, text) == Nothing()
    outcome = draft.flush()
    assert isinstance(outcome, Refuse)
    assert says in str(outcome.error)
    assert errno_of(outcome.error) == 22


@pytest.mark.parametrize("backwards", [False, True])
def test_bytes_that_are_added_never_make_the_scanner_begin_again(backwards: bool) -> None:  # noqa: FBT001 - a case
    draft = Draft()
    scanner = draft._scanner
    document = b'{"list": [' + b'{"a": "b"}, ' * 100 + b"{}]}"
    offsets = range(len(document))
    for offset in reversed(offsets) if backwards else offsets:
        outcome = draft.write(offset, document[offset : offset + 1])
    assert outcome == Submit(document)
    assert draft._scanner is scanner
