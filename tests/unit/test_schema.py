import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from axxonfs.core import fields, spec, values
from axxonfs.core.cameras import Archive, Camera
from axxonfs.core.schema import CameraEntry, PerCamera, Spec
from axxonfs.wire import export_pb2
from tests.unit.test_spec import CLIP, FRAME, LIVE, MISTAKES
from tests.unit.wire_strategies import SITE, exports

NOW = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.UTC)
SCHEMA = spec.spec_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
# The cameras of the examples.
ARCHIVE = Archive("AliceBlue", "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage", default=True)
SHOWN = (
    Camera("hosts/Server/DeviceIpint.1/SourceEndpoint.video:0:0", "1", "Front door", "Server", (ARCHIVE,)),
    Camera("hosts/Server/DeviceIpint.2/SourceEndpoint.video:0:0", "2", "Gate", "Server", (ARCHIVE,)),
)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object schema, with its properties."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_the_schema_is_one_of_json_schema_2020_12() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"]
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_every_key_has_a_description_and_an_example_for_the_editor() -> None:
    for schema in objects(SCHEMA):
        assert schema["additionalProperties"] is False
        for key, form in schema["properties"].items():
            assert form["description"], key
            assert form["examples"], key
            assert "null" not in json.dumps(form), key


def test_every_example_of_a_key_keeps_to_the_schema() -> None:
    for schema in objects(SCHEMA):
        for form in schema["properties"].values():
            for example in form["examples"]:
                jsonschema.Draft202012Validator({**form, "$defs": SCHEMA["$defs"]}).validate(example)


# What else a spec needs so that a key may stand in it; all others go with a clip.
BESIDE: dict[str, dict[str, Any]] = {
    "cameras": {"from": CLIP["from"], "to": CLIP["to"]},
    "from": {"camera": "1", "to": "now"},
    "at": FRAME,
    "live": LIVE,
    "duration": LIVE,
    **{key: FRAME for key, wire in Spec.wires().items() if wire.path.startswith("snapshot.")},
}
EVERY_EXAMPLE = [
    (field.alias or name, example) for name, field in Spec.model_fields.items() for example in field.examples or ()
]


@pytest.mark.parametrize(("key", "example"), EVERY_EXAMPLE)
def test_every_example_of_every_key_is_taken_by_the_parser(key: str, example: Any) -> None:
    document = {**BESIDE.get(key, CLIP), key: example}
    VALIDATOR.validate(document)
    spec.resolve(spec.parse_document(json.dumps(document).encode()), cameras=SHOWN, now=NOW, timezone=None)


NESTED = [values.Area, values.Fisheye, values.Focus, values.Font, values.Subtitles, values.TimeLapse, CameraEntry]


@pytest.mark.parametrize("model", NESTED)
def test_every_example_within_an_object_is_taken_by_the_parser(model: type[fields.Keys]) -> None:
    needed = {
        field.alias or name: (field.examples or [None])[0]
        for name, field in model.model_fields.items()
        if field.is_required()
    }
    for name, field in model.model_fields.items():
        assert field.examples, name
        for example in field.examples:
            fields.validated(model, {**needed, name: example})


@pytest.mark.parametrize("document", SCHEMA["examples"], ids=json.dumps)
def test_every_example_of_a_spec_is_valid_and_resolves(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)
    spec.resolve(document, cameras=SHOWN, now=NOW, timezone=None)


WIRED = [(key, example) for key in Spec.wires() for example in Spec.model_fields[key].examples or ()]


@pytest.mark.parametrize(("key", "example"), WIRED)
def test_every_key_is_written_to_the_wire_and_read_back_as_itself(key: str, example: Any) -> None:
    document = {**(FRAME if Spec.wires()[key].path.startswith("snapshot.") else CLIP), key: example}
    plain = {name: value for name, value in document.items() if name != key}
    options, without = (resolve(each) for each in (document, plain))
    assert options != without
    again = spec.spec_from_options(options, cameras=SHOWN)
    assert "options" not in again
    if key == "password":
        assert set(again[key]) == {"*"}
    else:
        assert resolve(again) == options


def resolve(document: dict[str, Any]) -> export_pb2.Options:
    return spec.resolve(document, cameras=SHOWN, now=NOW, timezone=None).options


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(exports())
def test_the_spec_of_any_export_keeps_to_the_schema(options: export_pb2.Options) -> None:
    VALIDATOR.validate(spec.spec_from_options(options, cameras=SITE))


@pytest.mark.parametrize("document", [CLIP, FRAME, LIVE, {**CLIP, "$schema": "../.axxonfs/spec.schema.json"}])
def test_a_plain_spec_keeps_to_the_schema(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)


SEEN = re.compile(
    "no such key|in quotes|in double quotes|in { }|without quotes|in \\[ \\]|is missing, as|or more|is not known"
)
SEEN_BY_EDITORS = [document for document, path, says in MISTAKES if SEEN.search(says) and "options" not in path]


@pytest.mark.parametrize("document", SEEN_BY_EDITORS, ids=json.dumps)
def test_an_editor_sees_wrong_keys_types_and_words(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)


def test_no_key_of_the_whole_spec_hides_one_of_a_camera() -> None:
    # Keys of both would be written twice: once for the export, once for each camera.
    own = set(Spec.__annotations__)
    assert not own & set(PerCamera.model_fields)
