"""The journal: what survives the process that wrote it, and what never gets into it."""

import contextlib
import dataclasses
import math
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from axxonfs.core import errors, sessions, spec
from axxonfs.exporting.records import Intent
from axxonfs.fs.journal import FileChanges, Journal, SavedFile, state_base
from axxonfs.wire import export_pb2
from tests.unit import builders

INTENT = Intent("axxonfs-1", "door", builders.archive_clip(), 1000.5)
FACTS = sessions.Facts(
    own=True,
    label="T\udcfcr",  # a name that is no UTF-8
    sent=builders.frame(),
    started_s=1.5,
    finished_s=2.5,
    keep_until_s=3.5,
    released=True,
    going=True,
    read_whole={"id-1", "id-2"},
)
FILES = [
    SavedFile(b"a.json", "file", b"{}", b"{}", stat.S_IFREG | 0o640, 5, 6, 7, None),
    SavedFile(b"a.session", "link", b"../sessions/x", None, stat.S_IFLNK | 0o777, None, None, 8, None),
    SavedFile(b"\xff.error", "error", b"wrong\n", None, stat.S_IFREG | 0o444, None, None, 9, 99.5),
]
SECRET = "zebra-crossing-7"


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(directory)) as journal:
        yield journal


def test_a_new_journal_holds_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as journal:
        assert (journal.intents(), journal.sessions(), journal.files()) == ([], {}, [])
        assert journal.recall("tls_name") is None


def test_an_intent_survives_until_its_session_or_its_end(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.intend(INTENT)
    with opened(tmp_path) as journal:
        assert journal.intents() == [INTENT]
        journal.started(INTENT, "hosts/Server/1", FACTS)
        journal.intend(Intent("axxonfs-2", "gate", builders.live_clip(), 2.0))
        journal.given_up("axxonfs-2")
    with opened(tmp_path) as journal:
        assert journal.intents() == []
        assert list(journal.sessions()) == ["hosts/Server/1"]


def test_what_is_known_of_a_session_survives(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.save("id", builders.frame(), FACTS)
    with opened(tmp_path) as journal:
        assert journal.sessions() == {"id": FACTS}
        journal.drop("id")
    with opened(tmp_path) as journal:
        assert journal.sessions() == {}


def test_a_session_that_is_kept_for_ever_is_kept_for_ever_after(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.save("id", builders.frame(), sessions.Facts(own=True, sent=builders.frame(), keep_until_s=math.inf))
    with opened(tmp_path) as journal:
        assert journal.sessions()["id"].keep_until_s == math.inf


def test_entries_of_new_survive_with_all_that_stat_shows(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.replace_files(FileChanges(saved=tuple(FILES)))
    with opened(tmp_path) as journal:
        assert journal.files() == FILES
        journal.replace_files(FileChanges((b"a.json", b"never.json")))
        assert journal.files() == FILES[1:]


def test_what_was_learnt_is_replaced_by_what_is_learnt_later(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.learn("tls_name", "Server")
        journal.learn("tls_name", "Other")
    with opened(tmp_path) as journal:
        assert journal.recall("tls_name") == "Other"


def test_an_intent_survives_the_death_of_its_process(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from axxonfs.fs.journal import Journal\n"
        "from tests.unit.test_journal import INTENT\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "journal.intend(INTENT)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with opened(tmp_path) as journal:
        assert journal.intents() == [INTENT]


def test_only_the_owner_can_look_at_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    before = os.umask(0)
    try:
        with opened(tmp_path / "state") as journal:
            journal.intend(INTENT)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}


def test_a_journal_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.intend(INTENT)
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite")) as database, database:
        for statement in ("DROP COLUMN asked", "DROP COLUMN known"):
            database.execute(f"ALTER TABLE intents {statement}")
        database.execute("PRAGMA user_version = 1")
    with opened(tmp_path) as journal:
        assert journal.intents() == [INTENT]


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite")) as database, database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(errors.ConfigurationError, match="a newer axxonfs made it"), opened(tmp_path):
        pass


def test_what_belongs_to_a_start_is_written_with_it(tmp_path: Path) -> None:
    spec_file, link, error = FILES
    intent = dataclasses.replace(INTENT, asked=False, known=frozenset({"x", "y"}))
    with opened(tmp_path) as journal:
        journal.intend(intent, FileChanges(saved=(spec_file, error)))
    with opened(tmp_path) as journal:
        assert (journal.intents(), journal.files()) == ([intent], [spec_file, error])
        journal.started(intent, "id", FACTS, FileChanges((error.name,), (link,)))
    with opened(tmp_path) as journal:
        assert (journal.intents(), list(journal.sessions()), journal.files()) == ([], ["id"], [spec_file, link])
        journal.intend(intent)
        journal.given_up(intent.marker, FileChanges((link.name,), (error,)))
    with opened(tmp_path) as journal:
        assert (journal.intents(), journal.files()) == ([], [spec_file, error])


def test_a_second_mount_with_the_same_state_is_refused_and_says_what_it_may_be(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.intend(INTENT)
        with pytest.raises(errors.ConfigurationError, match="no other mount in it"):
            Journal(tmp_path)
        assert journal.intents() == [INTENT]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.ConfigurationError, match=f"the state directory {tmp_path / place} cannot be used"):
        Journal(tmp_path / place)


def test_a_journal_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("not a database, however long one looks at it\n" * 100)
    with pytest.raises(errors.ConfigurationError, match="cannot be used"):
        Journal(tmp_path)


def test_a_journal_that_cannot_be_written_says_so_to_whoever_waits(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal._db.execute("PRAGMA query_only = ON")  # as a full disk: SQLite refuses
        with pytest.raises(errors.StoreFullError, match="cannot be written"):
            journal.intend(INTENT)
        assert journal.intents() == []


def test_the_password_of_an_export_is_not_in_it(tmp_path: Path) -> None:
    options = builders.archive_clip()
    options.stream.settings.add(password=SECRET)
    with opened(tmp_path) as journal:
        journal.intend(Intent("axxonfs-3", "door", spec.without_secrets(options), 1.0))
        [intent] = journal.intents()
        assert [setting.password for setting in intent.options.stream.settings] == [""]
        assert not [path for path in tmp_path.iterdir() if SECRET.encode() in path.read_bytes()]


def test_options_of_a_newer_server_survive_with_the_fields_that_nobody_knows(tmp_path: Path) -> None:
    data = builders.archive_clip().SerializeToString() + b"\xfa\x7c\x05newer"
    with opened(tmp_path) as journal:
        journal.intend(Intent("axxonfs-4", "door", export_pb2.Options.FromString(data), 1.0))
    with opened(tmp_path) as journal:
        assert journal.intents()[0].options.SerializeToString() == data


@pytest.mark.parametrize(
    ("uid", "variables", "expected"),
    [
        (0, {}, "/var/lib/axxonfs/name"),
        (1000, {"XDG_STATE_HOME": "/state"}, "/state/axxonfs/name"),
        (1000, {"XDG_STATE_HOME": "", "HOME": "/home/u"}, "/home/u/.local/state/axxonfs/name"),
    ],
)
def test_the_state_is_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch, uid: int, variables: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert state_base() / "name" == Path(expected)
