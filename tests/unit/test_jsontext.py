import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core.errors import SpecError
from axxonfs.core.jsontext import mask_secrets, parse_document

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
documents = st.dictionaries(st.text(), json_values, max_size=4)


@given(documents, st.booleans(), st.none() | st.integers(0, 3), st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_every_json_object_is_read(document: dict[str, Any], ascii_only: bool, indent: int | None, bom: bytes) -> None:  # noqa: FBT001 - drawn
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    assert parse_document(bom + text.encode()) == document


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "line 1, column 1: a value belongs here"),
        (b"camera: 1", "line 1, column 1: a value belongs here"),
        (b'["1"]', "a spec is one JSON object: it begins with { and ends with }"),
        (b'{"camera": "1",}', "comma too many"),
        (b"{'camera': '1'}", "line 1, column 2: a key in double quotes belongs here"),
        (b'{camera: "1"}', "line 1, column 2: a key in double quotes belongs here"),
        (b'{\n  "camera": "1"\n  "from": "-5m"}', "line 3, column 3: a comma is missing here"),
        (b'{"comment": "the "big" gate"}', 'the \\ before a " inside of one'),
        (b'{"camera" "1"}', "a colon and a value belong behind the key"),
        (b'{"live": True}', "line 1, column 10: a value belongs here"),
        (b'{"camera": "1}', "line 1, column 12: the text that begins here lacks its closing"),
        (b'{"camera": "1\n"}', "a text must end on the line where it begins"),
        (rb'{"external_directory": "C:\Export"}', r"a \ inside of a text is written \\"),
        (rb'{"comment": "\u12"}', "four hexadecimal digits"),
        (b'{"camera": "1"} {"camera": "2"}', "something follows the end of the document"),
        (b'{"camera": "1", "camera": "2"}', 'the key "camera" stands twice'),
        (b'{"font": {"size": 1, "size": 2}}', 'the key "size" stands twice'),
        (b'{"duration": NaN}', "NaN is no number of JSON"),
        (b'{"duration": -Infinity}', "-Infinity is no number of JSON"),
        (b'{"duration": 1e999}', "a number is too large"),
        (b'{"duration": ' + b"9" * 5000 + b"}", "a number is too large"),
        (rb'{"comment": "\ud83d"}', "one half of a"),
        (b'{"comment":\n "T\xfcr"}', "line 2, column 4: this is not UTF-8"),
        ('{"camera": "1"}'.encode("utf-16"), "this is not UTF-8"),
        (b'{"a":' * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused_with_its_place_and_a_hint(data: bytes, says: str) -> None:
    with pytest.raises(SpecError) as refusal:
        parse_document(data)
    assert says in str(refusal.value)


def test_the_key_that_stands_twice_is_the_path_of_the_error() -> None:
    with pytest.raises(SpecError) as refusal:
        parse_document(b'{"to": "now", "from": "-5m", "to": "-1m"}')
    assert refusal.value.path == "to"


@given(st.binary() | st.text(alphabet='{}[]":,\\ \n0e.-truefalsn\u00fc').map(str.encode))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    try:
        document = parse_document(data)
    except SpecError:
        return
    assert isinstance(document, dict)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (rb'{"password": "hush"}', rb'{"password": "****"}'),
        (rb'{"password":"a\"b\\", "x": 1}', rb'{"password":"******", "x": 1}'),
        (rb'{"pass\u0077ord" : "hush"}', rb'{"pass\u0077ord" : "****"}'),
        (rb'{"options": {"stream": {"settings": [{"password": "hush"}]}}}',
         rb'{"options": {"stream": {"settings": [{"password": "****"}]}}}'),
        (rb'{"camera": "password", "comment": "\"password\": \"x\""}',
         rb'{"camera": "password", "comment": "\"password\": \"x\""}'),
        (rb'{"list": ["password", "x"]}', rb'{"list": ["password", "x"]}'),
        (rb'{"Password": "hush", "pasword": "hush"}', rb'{"Password": "****", "pasword": "****"}'),
        (rb'{"password": 12345}', rb'{"password": "***"}'),
        (rb'{"password": 7}', rb'{"password": 0}'),
        (rb'{"password": "hush', rb'{"password": "***"'),
        (rb'{"password": ""}', rb'{"password": ""}'),
        ('{"password": "g\N{LATIN SMALL LETTER U WITH DIAERESIS}n"}'.encode(), b'{"password": "****"}'),
        (b"not JSON at all", b"not JSON at all"),
    ],
)  # fmt: skip
def test_secrets_become_stars_of_the_same_length(text: bytes, masked: bytes) -> None:
    assert mask_secrets(text) == masked


@given(documents, st.text(min_size=1), st.booleans(), st.none() | st.integers(0, 2))
def test_no_secret_is_left_and_nothing_else_changes(
    document: dict[str, Any],
    secret: str,
    ascii_only: bool,  # noqa: FBT001 - drawn
    indent: int | None,
) -> None:
    secretive = {**document, "password": secret, "options": {"password": secret}}
    text = json.dumps(secretive, ensure_ascii=ascii_only, indent=indent).encode()
    masked = mask_secrets(text)
    assert len(masked) == len(text)
    read = parse_document(masked)
    assert set(read.pop("password")) == {"*"}
    assert set(read.pop("options")["password"]) == {"*"}
    document.pop("password", None)
    document.pop("options", None)
    assert mask_secrets(json.dumps(document).encode()) == json.dumps(read).encode()


@given(st.binary() | st.text(alphabet='{}":,\\ \npaswordP0').map(str.encode))
def test_any_bytes_can_be_masked_and_masking_twice_changes_nothing(data: bytes) -> None:
    masked = mask_secrets(data)
    assert len(masked) == len(data)
    assert mask_secrets(masked) == masked
