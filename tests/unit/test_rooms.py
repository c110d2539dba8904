"""The order of the rooms: imports point one way, deferred and typing-only ones included."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "axxonfs"

# What each room may import of ours; its own modules are always allowed.
MAY_IMPORT = {
    "wire": set[str](),
    "stubs": {"wire"},
    "core": {"wire"},
    "remote": {"wire", "stubs", "core"},
    "reading": {"wire", "core", "remote"},
    "exporting": {"wire", "core", "remote", "reading"},
    "fs": {"wire", "core", "remote", "reading", "exporting"},
    "doctor": {"wire", "core", "remote", "fs"},
    "fsspec": {"wire", "core", "remote", "reading", "exporting"},
    "simulator": {"wire", "stubs", "core.timers"},
    "cli": {"wire", "core", "remote", "reading", "exporting", "fs", "doctor", "simulator"},
}
# One border per foreign thing.
BORDERS = {
    "grpc": {"stubs", "remote", "simulator"},
    "grpc_health": {"simulator"},
    "pyfuse3": {"fs.operations", "fs.kernel", "fs.mount", "fs.mounting"},
    "trio": {"remote.download", "remote.deadlines", "reading", "exporting", "fs", "fsspec"},
    "sqlite3": {"fs.journal", "simulator"},
    "av": {"simulator", "cli.demo"},
    "PIL": {"simulator"},
    "cryptography": {"simulator"},
    "rich": {"cli"},
    "fsspec": {"fsspec"},
    "prometheus_client": {"fs.metrics"},
}
# What the core must do without: I/O, clocks, chance, threads, logging.
IMPURE = {
    "asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors",
    "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
# Inside the core each module imports only from what stands before it.
CORE_ORDER = [
    "errors", "timers", "words", "instants", "clocks", "names", "chunks", "latencies", "cache", "line", "budget",
    "breaker", "readahead", "cameras", "jsontext", "document", "options", "fields", "values", "schema", "inverse",
    "spec", "sessions", "tree", "texts", "treatment", "status", "entries", "camera_folder", "session_folder", "view",
    "folder", "delivery", "batch", "ledger", "manifest",
]  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_text("utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = dict(modules())
FILES = [name for name in MODULES if name.split(".")[0] in MAY_IMPORT]


def is_below(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def test_every_module_has_a_room() -> None:
    assert {name.split(".")[0] for name in MODULES} - {"__init__", "__main__"} == MAY_IMPORT.keys()


@pytest.mark.parametrize("name", FILES)
def test_imports_point_one_way(name: str) -> None:
    room = name.split(".", maxsplit=1)[0]
    ours = {found.removeprefix("axxonfs.") for found in imports(MODULES[name]) if found.startswith("axxonfs.")}
    assert {found for found in ours if not is_below(found, MAY_IMPORT[room] | {room})} == set()


@pytest.mark.parametrize("name", FILES)
def test_foreign_things_stay_at_their_borders(name: str) -> None:
    found = {word for word in imports(MODULES[name]) for foreign in BORDERS if is_below(word, {foreign})}
    assert {word for word in found if not is_below(name, BORDERS[word.split(".")[0]])} == set()


@pytest.mark.parametrize("name", [name for name in FILES if is_below(name, {"core"})])
def test_the_core_does_no_io_and_reads_no_clock(name: str) -> None:
    assert {word for word in imports(MODULES[name]) if is_below(word, IMPURE)} == set()
    calls = [ast.unparse(node.func) for node in ast.walk(MODULES[name]) if isinstance(node, ast.Call)]
    assert [call for call in calls if call in {"open", "print", "input"}] == []
    assert [call for call in calls if call.endswith((".now", ".utcnow", ".today"))] == []


NOTIFICATIONS = {"invalidate_entry", "invalidate_entry_async", "invalidate_inode", "notify_store", "notify"}


@pytest.mark.parametrize("name", [name for name in FILES if is_below(name, {"fs", "exporting"})])
def test_the_kernel_is_notified_from_one_place_which_runs_in_a_thread_of_its_own(name: str) -> None:
    """From the event loop a notification can wait for ever for a request that waits for the event loop."""
    places = [
        getattr(function, "name", "")
        for function in ast.walk(MODULES[name])
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in NOTIFICATIONS
    ]
    assert set(places) <= ({"_notify"} if name == "fs.kernel" else set()), places
    if name == "fs.kernel":
        callers = [node for node in ast.walk(MODULES[name]) if isinstance(node, ast.FunctionDef)]
        users = {node.name for node in callers for call in ast.walk(node) if ast.unparse(call) == "_notify"}
        assert users == {"_run"}


def test_the_modules_of_the_core_have_an_order() -> None:
    names = [name.removeprefix("core.") for name in FILES if name.startswith("core.")]
    assert sorted(names) == sorted(CORE_ORDER)


@pytest.mark.parametrize("place", range(len(CORE_ORDER)))
def test_each_module_of_the_core_imports_only_what_stands_before_it(place: int) -> None:
    tree = MODULES[f"core.{CORE_ORDER[place]}"]
    found = {word.split(".")[2] for word in imports(tree) if word.startswith("axxonfs.core.")}
    assert found <= set(CORE_ORDER[:place])
