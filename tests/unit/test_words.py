from axxonfs.core import words


def test_a_quoted_text_is_short_and_on_one_line_and_does_nothing_to_a_terminal() -> None:
    assert words.quote("1.Front door") == '"1.Front door"'
    assert words.quote("a\n\tb\x1b[31mc") == '"a b?[31mc"'
    assert len(words.quote("x" * 5000)) < 200


def test_a_listing_reads_like_english() -> None:
    assert words.listing(["a"]) == '"a"'
    assert words.listing(["a", "b", "c"]) == '"a", "b" or "c"'


def test_the_nearest_is_found_whatever_its_case() -> None:
    assert words.nearest("FROM", ["to", "from"]) == ["from"]
    assert words.suggestion("froom", ["to", "from"]) == 'did you mean "from"?'
    assert words.suggestion("xyzzy", ["to", "from"]) == 'write "to" or "from"'
