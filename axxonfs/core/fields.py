"""How the keys of a spec are declared, checked, and written in the wire's JSON form.

Decides the machinery that `schema` declares keys with: where a value goes on the
wire (Wire), how it is written there and read back (Codec), and what a person is
told about a wrong one: pydantic's complaints are put into words here and nowhere
else. "JSON form" is protobuf's JSON with the field names of the wire. Pure;
imports pydantic, instants, the domain errors and the words of error texts.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import pydantic
from pydantic_core import ErrorDetails, PydanticCustomError

from axxonfs.core import instants, words
from axxonfs.core.errors import SpecError

_COLOUR = ("red", "green", "blue", "alpha")
_FEW = 10  # names that a person still reads as a list


@dataclasses.dataclass(frozen=True, slots=True)
class Codec:
    """How a value is written in JSON form, and read back; `decode` raises ValueError or KeyError if it cannot."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _same(value: Any) -> Any:  # noqa: ANN401 - whatever it is
    return value


PLAIN = Codec(_same, _same)
NOT = Codec(lambda value: not value, lambda value: not value)
WHOLE = Codec(_same, int)  # JSON form has 64 bits as text
OFFSET = Codec(instants.parse_offset, instants.format_offset)
POLYGONS = Codec(
    lambda value: {"space": [{"points": [{"x": x, "y": y} for x, y in polygon]} for polygon in value]},
    lambda form: [
        [[point.get("x", 0), point.get("y", 0)] for point in polygon.get("points", ())]
        for polygon in form.get("space", ())
    ],
)


def _colour_form(text: str) -> dict[str, float]:
    parts = re.findall("..", text.removeprefix("#").ljust(len("rrggbbaa"), "f"))
    return {name: int(part, 16) / 255 for name, part in zip(_COLOUR, parts, strict=True)}


def _colour_text(form: Mapping[str, float]) -> str:
    text = "#" + "".join(f"{round(form.get(name, 0) * 255):02x}" for name in _COLOUR)
    return text.removesuffix("ff") if len(text) == len("#rrggbbff") else text


COLOUR = Codec(_colour_form, _colour_text)


def prefixed(prefix: str) -> Codec:
    """Return the codec of an enumeration whose names are `prefix` and the word in capitals."""
    return Codec(lambda word: prefix + word.upper(), lambda name: str(name).removeprefix(prefix).lower())


def named(**names: str) -> Codec:
    """Return the codec of an enumeration whose names the wire chose otherwise."""
    words_of = {name: word for word, name in names.items()}
    return Codec(names.__getitem__, words_of.__getitem__)


def listed(codec: Codec) -> Codec:
    """Return the codec of a list whose items have `codec`."""
    return Codec(lambda values: [*map(codec.encode, values)], lambda forms: [*map(codec.decode, forms)])


@dataclasses.dataclass(frozen=True, slots=True)
class Wire:
    """Where a key goes: the path of a field, in which `settings` is a list of wrappers of one choice each.

    `mode` stands for `live` or `archive`, whichever is exported.
    """

    path: str
    codec: Codec = PLAIN


class Keys(pydantic.BaseModel):
    """An object of a spec. None stands for a key that was not given."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    other_words: ClassVar[Mapping[str, str]] = {}  # what people write instead -> the key

    @classmethod
    def wires(cls) -> dict[str, Wire]:
        """Return where each key goes; keys that `spec` itself understands are left out."""
        fields = cls.model_fields.items()
        return {name: wire for name, field in fields for wire in field.metadata if isinstance(wire, Wire)}

    @classmethod
    def names(cls) -> list[str]:
        """Return the keys as people write them."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _check_keys(cls, document: object) -> object:
        if isinstance(document, dict):
            for key, value in document.items():
                if key not in cls.names():
                    raise _problem(key, f"there is no such key: {cls._nearest(key)}")
                if value is None:
                    raise _problem(key, "null is no value: leave the key out, or give one")
        return document

    @classmethod
    def _nearest(cls, key: str) -> str:
        tails = {wire.path.rpartition(".")[2]: name for name, wire in cls.wires().items()}
        meant = {**tails, **cls.other_words, **{name: name for name in cls.names()}}
        near = dict.fromkeys(meant[name] for name in words.nearest(key, meant, count=3))
        if near:
            return f"did you mean {words.listing(near)}?"
        if len(cls.names()) <= _FEW:
            return f"write {words.listing(cls.names())}"
        return "all keys are described in .axxonfs/spec.schema.json"


def nested(model: type[Keys], **unset: str) -> Codec:
    """Return the codec of an object with the keys of `model`, which are those of a message or have a Wire.

    `unset`: what JSON form leaves out and the spec shall say all the same.
    """
    wires = {name: model.wires().get(name, Wire(name)) for name in model.model_fields}

    def encode(value: Keys) -> dict[str, Any]:
        given = {name: getattr(value, name) for name in wires}
        return {wires[name].path: wires[name].codec.encode(item) for name, item in given.items() if item is not None}

    def decode(form: Mapping[str, Any]) -> dict[str, Any]:
        full = {**unset, **form}
        return {name: wire.codec.decode(full[wire.path]) for name, wire in wires.items() if wire.path in full}

    return Codec(encode, decode)


def encoded(value: Keys) -> Iterator[tuple[str, Wire, Any]]:
    """Yield key, place and JSON form of each value that was given and has a place of its own."""
    for key, wire in type(value).wires().items():
        item = getattr(value, key)
        if item is not None:
            yield key, wire, wire.codec.encode(item)


def put(form: dict[str, Any], path: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Write `value` at `path` into a JSON form."""
    head, _, rest = path.partition(".")
    if not rest:
        form[head] = value
    elif head == "settings":
        form.setdefault(head, []).append({rest: value})
    else:
        put(form.setdefault(head, {}), rest, value)


_Model = TypeVar("_Model", bound=Keys)

_PROBLEMS = {
    "bool_type": "must be true or false, without quotes",
    "dict_type": "must be an object, in {{ }}",
    "float_type": "must be a number, without quotes",
    "int_type": "must be a whole number, without quotes",
    "list_type": "must be a list, in [ ]",
    "missing": "is missing",
    "model_type": "must be an object, in {{ }}",
    "string_pattern_mismatch": "must have another form",
    "string_too_short": "must not be empty",
    "string_type": "must be a text in double quotes",
    "too_long": "must have {max_length} items or less",
    "too_short": "must have {min_length} items or more",
}


def validated(model: type[_Model], document: Mapping[str, Any]) -> _Model:
    """Return `document` as checked keys.

    Raises:
        SpecError: for the first thing that is wrong with it.
    """
    try:
        return model.model_validate(dict(document))
    except pydantic.ValidationError as problem:
        error = _spec_error(model, problem.errors(include_url=False)[0])
    raise error  # without its cause: that one repeats what was written, be it a secret


def text_problem() -> PydanticCustomError:
    """Return the complaint about a value that is no text."""
    return PydanticCustomError("string_type", "must be a text")


def _problem(key: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("key", "{problem}", {"key": key, "problem": problem})


def _spec_error(model: type[Keys], details: ErrorDetails) -> SpecError:
    context = details.get("ctx", {})
    steps = (*details["loc"], *([context["key"]] if "key" in context else []))
    path = _path(steps)
    return SpecError(f"{words.quote(path)}: {_words_for(model, details)}", path)


def _path(steps: Sequence[int | str]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _words_for(model: type[Keys], details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "key":
        return str(context["problem"])
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        known = re.findall("'([^']*)'", context["expected"])
        return f"{words.quote(details['input'])} is not known: {words.suggestion(str(details['input']), known)}"
    template = _PROBLEMS.get(kind)
    problem = template.format(**context) if template else re.sub(r"^\w+ should", "must", details["msg"])
    return f"{problem}{_example(model, str(details['loc'][0]))}"


def _example(model: type[Keys], key: str) -> str:
    for name, field in model.model_fields.items():
        if (field.alias or name) == key and field.examples:
            return f", as in {json.dumps({key: field.examples[0]})[1:-1]}"
    return ""
