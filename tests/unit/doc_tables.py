"""The tables in docs/ that are written from the code: `python -m tests.unit.doc_tables` writes them anew.

Each stands between two comments, of which the first names it. tests/unit/test_docs.py
fails where a table says something else than the code does.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from axxonfs.core.schema import PerCamera
from axxonfs.core.spec import spec_schema
from axxonfs.simulator import console, faults, switches

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(?P<begin><!-- table: (?P<name>[\w ]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
TYPES = {"boolean": "true, false", "integer": "number", "string": "text"}

Schema = Mapping[str, Any]


def tables() -> dict[str, str]:
    """Return each written table by its name."""
    schema = spec_schema()
    keys = schema["properties"]
    return {
        "keys of a spec": _keys({name: form for name, form in keys.items() if name not in PerCamera.model_fields}),
        "keys for each camera": _keys({name: form for name, form in keys.items() if name in PerCamera.model_fields}),
        "objects in a spec": _objects(schema["$defs"]),
        "switches": _switches(),
        "commands": _table(
            ["command", "what it does"], [(f"`{words}`", what) for words, what in console.COMMANDS.items()]
        ),
        "faults": _table(["action", "what it does"], [(f"`{name}`", what) for name, what in faults.MEANINGS.items()]),
    }


def written(text: str) -> str:
    """Return a document with its tables as the code has them."""
    fresh = tables()
    return BLOCK.sub(lambda block: f"{block['begin']}{fresh[block['name']]}{block['end']}", text)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _objects(forms: Schema) -> str:
    described = [(name, form) for name, form in sorted(forms.items()) if name != "CameraEntry"]
    return "\n".join(
        f"#### {_title(name)}\n\n{form['description']}\n\n{_keys(form['properties'])}" for name, form in described
    )


def _keys(forms: Schema) -> str:
    return _table(["key", "takes", "meaning", "for example"], [_row(name, form) for name, form in forms.items()])


def _row(name: str, form: Schema) -> list[str]:
    default = f"; default {json.dumps(form['default'])}" if "default" in form else ""
    examples = ", ".join(f"`{json.dumps(example, ensure_ascii=False)}`" for example in form["examples"])
    return [f"`{name}`", _takes(form), form["description"] + default, examples]


def _takes(form: Schema) -> str:
    if "$ref" in form:
        return _reference(form["$ref"].rpartition("/")[2])
    if "enum" in form:
        return ", ".join(f"`{word}`" for word in form["enum"])
    if form["type"] == "array":
        return f"list: {_takes(form['items'])}"
    # Sizes are texts or numbers.
    return "size" if isinstance(form["type"], list) else TYPES.get(form["type"], str(form["type"]))


def _reference(name: str) -> str:
    title = _title(name).lower()
    link = f"[{title}](#{title.replace(' ', '-')})"
    return f"text or {link}" if name == "CameraEntry" else link


def _title(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda capital: f" {capital[0].lower()}", name.removesuffix("Entry"))


def _switches() -> str:
    heads = ["switch", "values", "default", "the question, and the section of the wire contract that asks it"]
    return _table(heads, [_switch(*row) for row in switches.explain()])


def _switch(assignment: str, default: str, text: str) -> list[str]:
    name, _, values = assignment.partition("=")
    shown = "number" if values == "NUMBER" else ", ".join(map(_word, values.split("|")))
    return [f"`{name}`", shown, _word(default), text]


def _word(value: str) -> str:
    return f"`{value}`" if value else "empty"


if __name__ == "__main__":
    for path in DOCS.glob("*.md"):
        path.write_text(written(path.read_text("utf-8")), "utf-8")
