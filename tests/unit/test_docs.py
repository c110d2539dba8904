"""The documents and the code say the same: what is named exists, and what exists is named."""

import argparse
import ast
import contextlib
import datetime as dt
import errno
import importlib
import json
import pathlib
import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axxonfs.cli import exits
from axxonfs.cli.main import COMMANDS
from axxonfs.core import errors, ledger, manifest, sessions, status, timers
from axxonfs.core.clocks import ClockDifference
from axxonfs.core.spec import Spec
from axxonfs.fs import about, options
from axxonfs.fsspec.options import FileSystemOptions
from axxonfs.remote import options as client_options
from axxonfs.remote.certificates import Certificate, Endpoint
from axxonfs.remote.channel import Link
from axxonfs.remote.credentials import SYSTEMD_CREDENTIAL, Credentials, PasswordVariable
from axxonfs.remote.options import parsed
from tests.unit import builders, doc_tables, test_ledger, test_rooms

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "axxonfs"
PATHS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted(PATHS)}
CONFIGURATION = DOCUMENTS["docs/configuration.md"]
SEMANTICS = DOCUMENTS["docs/semantics.md"]
UNIT = (ROOT / "systemd" / "axxonfs@.service").read_text("utf-8")
USER_UNIT = (ROOT / "systemd" / "user" / "axxonfs@.service").read_text("utf-8")
SOURCES = {path.relative_to(PACKAGE): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}

# The word for what an option takes.
KINDS: dict[Any, str] = {
    client_options.Bytes: "size",
    client_options.Seconds: "time",
    options.Octal: "octal",
    client_options.Pins: "pins",
    client_options.Zone: "zone",
    pathlib.Path: "path",
    bool: "flag",
    int: "number",
    float: "number",
    str: "text",
}
# Each gives a service a mount namespace of its own, in which nobody else would see the mount.
HIDES_THE_MOUNT = re.compile(
    r"^(Private(Tmp|Devices)|Protect(System|Home|Kernel\w+|Control\w+|Proc|Hostname)|ReadWritePaths|ReadOnlyPaths"
    r"|InaccessiblePaths|Bind\w*Paths|TemporaryFileSystem|Root\w+|DynamicUser|MountFlags|MountAPIVFS|ProcSubset)=",
    re.MULTILINE,
)

every_document = pytest.mark.parametrize("name", DOCUMENTS)
every_command = pytest.mark.parametrize("command", COMMANDS)


def rows(text: str, name: str) -> list[list[str]]:
    """Return the cells of the table that the comment `checked: NAME` stands before."""
    table = text.partition(f"<!-- checked: {name} -->\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def code(text: str) -> list[str]:
    """Return what stands in a document as code, block by block and span by span."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def headings(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^#+ (.*)$", prose, re.MULTILINE)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one."""
    return re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def anchors(text: str) -> set[str]:
    """Return what headings are linked by, as GitHub makes it."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(text)}


# -- the documents among themselves ------------------------------------------------


@every_document
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", DOCUMENTS[name]):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text("utf-8")), target


@every_document
def test_nothing_is_left_to_be_written(name: str) -> None:
    assert re.findall(r"\b(?:TODO|FIXME|TBD|XXX)\b", DOCUMENTS[name]) == []


@every_document
def test_headings_are_unique_so_that_links_are_clear(name: str) -> None:
    text = DOCUMENTS[name]
    assert len(anchors(text)) == len(headings(text))


@every_document
def test_tables_that_are_written_from_the_code_are_up_to_date(name: str) -> None:
    assert doc_tables.written(DOCUMENTS[name]) == DOCUMENTS[name], "run python -m tests.unit.doc_tables"


def test_every_written_table_stands_in_a_document() -> None:
    found = [block["name"] for text in DOCUMENTS.values() for block in doc_tables.BLOCK.finditer(text)]
    assert sorted(found) == sorted(doc_tables.tables())


# -- commands ----------------------------------------------------------------------


def parser_of(command: str) -> argparse.ArgumentParser:
    subparsers = argparse.ArgumentParser(prog="axxonfs").add_subparsers()
    importlib.import_module(f"axxonfs.cli.{command}").add_parser(subparsers)
    parser: argparse.ArgumentParser = subparsers.choices[command]
    return parser


def options_of(command: str) -> set[str]:
    return set(re.findall(r"[\[ ](--?[a-z][\w-]*)", parser_of(command).format_usage())) - {"-h"}


@every_command
def test_every_option_of_a_command_is_documented_and_exists(command: str) -> None:
    home = DOCUMENTS["docs/simulator.md"] if command in {"simulate", "demo"} else CONFIGURATION
    text = section(home, f"axxonfs {command}")
    assert f"axxonfs {command}" in text
    assert set(re.findall(r"`(--?[a-z][\w-]*)", text)) == options_of(command)


@every_document
def test_every_command_that_is_named_exists(name: str) -> None:
    found = [word for text in code(DOCUMENTS[name]) for word in re.findall(r"(?<![\w/.-])axxonfs ([a-z]+)", text)]
    assert set(found) <= COMMANDS.keys()


@every_document
def test_every_option_of_a_mount_that_is_named_exists(name: str) -> None:
    words = [word for text in code(DOCUMENTS[name]) for word in re.findall(r"-o ([a-z]\S*)", text)]
    found = {key for word in words for key in options.split_words(word)}
    assert found <= options.MountOptions.model_fields.keys()


@every_document
def test_every_target_of_make_that_is_named_exists(name: str) -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert targets
    found = [word for text in code(DOCUMENTS[name]) for word in re.findall(r"^make ([a-z]+)", text, re.MULTILINE)]
    assert set(found) <= set(targets[1].split())


def test_exit_statuses_are_those_of_the_commands() -> None:
    known = {exits.OK, exits.FAILED, exits.NOT_YET, exits.INTERRUPTED}
    known |= {number for _, number in (*exits.STATUSES, *exits.OUTCOMES)}
    assert [int(row[0]) for row in rows(CONFIGURATION, "exit statuses")] == sorted(known)


# -- configuration -----------------------------------------------------------------


def kind_of(hint: object) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "word"
    return KINDS[hint] if hint in KINDS else next(KINDS[part] for part in typing.get_args(hint) if part in KINDS)


def test_every_option_of_a_mount_is_documented_with_what_it_takes() -> None:
    hints = typing.get_type_hints(options.MountOptions, include_extras=True)
    found = [(row[0].strip("`"), row[1]) for row in rows(CONFIGURATION, "options")]
    assert found == [(name, kind_of(hints[name])) for name in options.MountOptions.model_fields]


def test_defaults_of_options_are_those_of_the_code() -> None:
    written = {row[0].strip("`"): row[2] for row in rows(CONFIGURATION, "options")}
    defaults = options.MountOptions()
    for name, field in options.MountOptions.model_fields.items():
        if field.default_factory is not None:
            assert written[name]
        elif written[name]:
            parsed = options.parse_options({name: written[name].strip("`")})
            assert getattr(parsed, name) == getattr(defaults, name), name
        else:
            assert getattr(defaults, name) in (None, "", ()), name


def test_every_option_of_the_file_system_of_fsspec_is_documented_with_its_default() -> None:
    table = rows(DOCUMENTS["docs/fsspec.md"], "fsspec options")
    named = {word for row in table for word in re.findall(r"`(\w+)`", row[0])}
    assert named == FileSystemOptions.model_fields.keys()
    for word in ("cache_size", "max_logins", "login_wait", "port"):
        [default] = [row[1].split()[0].strip("`") for row in table if f"`{word}`" in row[0]]
        said = getattr(parsed(FileSystemOptions, {word: default}, {}, see=""), word)
        assert said == FileSystemOptions.model_fields[word].default


def test_the_example_of_a_configuration_file_is_valid() -> None:
    [example] = re.findall(r"^```toml\n(.*?)^```", CONFIGURATION, re.DOTALL | re.MULTILINE)
    words = tomllib.loads(example)
    assert {words.pop("server"), words.pop("mountpoint")}
    assert options.parse_options(words)


def test_environment_variables_are_those_that_the_code_reads() -> None:
    text = "\n".join(SOURCES.values())
    read = {*re.findall(r'environ[\w.]*[\[(]"(\w+)"', text), *re.findall(r'_VARIABLE(?:: Final)? = "(\w+)"', text)}
    # One stands for all the words of a mount.
    named = {word for row in rows(CONFIGURATION, "environment") for word in re.findall(r"`(\w+)`", row[0])}
    assert named == {"AXXONFS_SERVER", *read}


# -- semantics ---------------------------------------------------------------------


def paths_in(value: object, path: str = "") -> Iterator[str]:
    """Yield the paths of all keys in a JSON value."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield from paths_in(value[0], f"{path}[]")
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}.{key}".removeprefix(".")
            yield here
            yield from paths_in(item, here)


def test_every_key_of_status_json_is_documented() -> None:
    context = status.Context(cameras=(), names={}, timers=timers.Timers(), now_s=2.0)
    session = sessions.session_of(builders.completed())
    keys = set(paths_in(status.document(session, sessions.Facts(finished_s=1.0), context)))
    table = rows(SEMANTICS, "status.json")
    nested = {word for row in table for word in re.findall(r"`([\w\[\]]+\.[\w.\[\]]+)`", row[1])}
    assert {row[0].strip("`") for row in table} | nested == keys


def test_every_key_of_mount_json_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    now = dt.datetime.now(dt.UTC)
    certificate = Certificate(b"", "CN=Server", "Server", (), "CN=Root", now, now)
    endpoint = Endpoint("127.0.0.1")
    with contextlib.closing(Link(endpoint, None, Credentials("root", PasswordVariable("NONE", "")))) as link:
        link.login.clock_difference = ClockDifference(0.0, 0.5, 0.0)
        monkeypatch.setattr(Link, "certificate", certificate)
        keys = set(paths_in(about.document(link, Path("/mnt"), options.MountOptions(), 0.0)))
    table = rows(SEMANTICS, "mount.json")
    nested = {word for row in table for word in re.findall(r"`(\w+\.\w+)`", row[1])}
    assert {row[0].strip("`") for row in table} | nested == keys


def test_every_key_of_a_manifest_is_documented() -> None:
    document = manifest.manifest(ledger.read(test_ledger.text_of(test_ledger.EVENTS)), {}, version="", written="")
    paths = {tuple(path.replace("[]", "").split(".")) for path in paths_in(document)}
    keys = {path[0] for path in paths} | {f"exports[].{path[1]}" for path in paths if path[0] == "exports" and path[1:]}
    table = rows(SEMANTICS, "manifest.json")
    assert {word for row in table for word in re.findall(r"`([^`]+)`", row[0])} == keys


def test_every_errno_is_documented() -> None:
    found = {word for row in rows(SEMANTICS, "errno") for word in row[0].split(", ")}
    family = list(errors.AxxonfsError.__subclasses__())
    for kind in family:
        family += kind.__subclasses__()
    assert found == {errno.errorcode[errors.errno_of(kind(""))] for kind in family}


def test_specs_in_the_readme_have_known_keys() -> None:
    specs = re.findall(r"'(\{.*?\})'", DOCUMENTS["README.md"])
    assert [Spec.model_validate(json.loads(text)) for text in specs]


# -- messages ----------------------------------------------------------------------


def templates() -> Iterator[str]:
    """Yield the texts in the code, with NUL where something is put in."""
    for source in SOURCES.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)


TEMPLATES = list(templates())


def is_said(message: str) -> bool:
    """Whether the code has the message; what failed at the server is put together as `cannot DO: WORDS`."""
    call = re.fullmatch(r"cannot ([a-z ]+): \.\.\.", message)
    if call:
        return call[1] in TEMPLATES
    pattern = re.compile(".*".join(re.escape(piece.strip()) for piece in message.split("...")), re.DOTALL)
    return any(pattern.search(text) for text in TEMPLATES)


def messages() -> list[str]:
    first = re.findall(r"^\| (`[^|]*?) \|", DOCUMENTS["docs/troubleshooting.md"], re.MULTILINE)
    return [message for cell in first for message in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("message", messages())
def test_a_message_in_the_troubleshooting_document_is_one_of_the_code(message: str) -> None:
    assert is_said(message)


# -- the map -----------------------------------------------------------------------


def test_every_module_is_on_the_map() -> None:
    rooms = {"core", "remote", "reading", "exporting", "fs", "doctor", "fsspec", "cli"}
    modules = {str(path) for path in SOURCES if path.parts[0] in rooms and path.stem != "__init__"}
    assert modules - set(code(DOCUMENTS["ARCHITECTURE.md"])) == set()


@every_document
def test_every_file_that_is_named_exists(name: str) -> None:
    found = {word for word in code(DOCUMENTS[name]) if re.fullmatch(r"[\w./]+/[\w@]+\.(py|md|service)", word)}
    assert {word for word in found if not ((ROOT / word).exists() or (PACKAGE / word).exists())} == set()


def test_the_map_has_the_modules_of_the_core_in_their_order() -> None:
    table = section(DOCUMENTS["ARCHITECTURE.md"], "core")
    assert re.findall(r"`core/(\w+)\.py`", table) == test_rooms.CORE_ORDER


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_what_a_docstring_refers_to_is_there(source: Path) -> None:
    text = " ".join(SOURCES[source].split())
    references = [*re.findall(r'(docs/\w+\.md), "([^"]+)"', text)]
    references += [(name, heading) for heading, name in re.findall(r'"([^"]+)" of (docs/\w+\.md)', text)]
    assert set(re.findall(r"docs/\w+\.md", text)) <= DOCUMENTS.keys()
    assert [heading for name, heading in references if heading not in headings(DOCUMENTS[name])] == []


# -- the units of systemd ----------------------------------------------------------

each_unit = pytest.mark.parametrize("unit", [UNIT, USER_UNIT], ids=["system", "user"])


@each_unit
def test_a_unit_runs_a_command_that_exists_with_the_credential_that_it_looks_for(unit: str) -> None:
    command = re.search(r"^ExecStart=axxonfs (\w+) (.*)$", unit, re.MULTILINE)
    assert command
    assert set(re.findall(r"--[\w-]+", command[2])) <= options_of(command[1])
    assert f"LoadCredential={SYSTEMD_CREDENTIAL}:" in unit


@each_unit
def test_a_unit_does_not_try_again_what_only_a_person_can_mend(unit: str) -> None:
    kinds = (
        errors.ConfigurationError(),
        errors.CredentialsError(),
        errors.LoginRefusedError(),
        errors.CertificateError(),
    )
    line = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    assert line
    assert {int(word) for word in line[1].split()} == {exits.status_of(kind) for kind in kinds}


@each_unit
def test_a_unit_neither_hides_the_mount_nor_takes_a_dead_one_away(unit: str) -> None:
    assert HIDES_THE_MOUNT.findall(unit) == []
    assert re.findall(r"^ExecStop\w*=", unit, re.MULTILINE) == []
