"""Texts while they change: whole whoever reads them, and a script can wait for a change without asking again."""

import hashlib
import importlib.metadata
import json
import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.harness import CLIP, PASSWORD, QUICK, TIMEOUT_S, USER, Rig, module_rig, needs, plain_options, wait_until

MIB = 1024 * 1024
READY = select.POLLIN | select.POLLOUT
CHANGED = select.POLLPRI | select.POLLERR
# How many different texts a test wants to have read.
ENOUGH = 5


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount that looks ten times a second at exports whose progress changes as often."""
    with module_rig(tmp_path_factory, options=QUICK, file_size_bytes=1000, export_speed=20.0) as rig:
        yield rig


@pytest.fixture
def changing(busy: Rig) -> Iterator[Path]:
    """The directory of an export that would run for a minute: who waits for its end stops it."""
    session = busy.write_spec(f"export-{busy.starts}", **(CLIP() | {"from": "-30m", "to": "-10m"}))
    yield session
    if is_running(session):
        stop(session)


def is_running(session: Path) -> bool:
    return (session / "state").read_text() == "running\n"


def stop(session: Path) -> None:
    (session / "control").write_text("stop\n")


def documents_while_running(session: Path, read: Callable[[], bytes]) -> list[bytes]:
    """Read again and again, stop the export once the text has changed often, and return every text that came."""
    found: list[bytes] = []
    seen: set[float] = set()
    while is_running(session):
        found.append(read())
        seen.add(json.loads(found[-1])["progress"])
        if len(seen) == ENOUGH:
            stop(session)
    return found


def check_documents(found: list[bytes]) -> None:
    assert len({json.loads(text)["progress"] for text in found}) >= ENOUGH, "the text did not change while it was read"


def wait_for_end(rig: Rig, session: Path) -> None:
    """Stop an export, in a thread of its own: one that asks for the length of what it has open is told a new one."""

    def end() -> None:
        stop(session)
        rig.wait_for_state(session, "completed")

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()


# -- whole, whoever reads them -----------------------------------------------------------


@needs("jq")
@pytest.mark.parametrize("command", ["cat {}", "dd if={} bs=100 status=none", "jq . {}", "tail -c +1 {}"])
def test_programs_read_whole_texts_while_they_change(changing: Path, command: str) -> None:
    words = command.format("status.json").split()

    def read() -> bytes:
        return subprocess.run(words, cwd=changing, capture_output=True, check=True).stdout

    check_documents(documents_while_running(changing, read))


@needs("rsync")
def test_cp_and_rsync_copy_whole_texts_while_they_change(changing: Path, tmp_path: Path) -> None:
    copy, mirror = tmp_path / "copy.json", tmp_path / "mirror"

    def read() -> bytes:
        subprocess.run(["cp", changing / "status.json", copy], check=True)
        subprocess.run(["rsync", "-a", f"{changing}/", mirror], check=True)
        assert json.loads((mirror / "status.json").read_text())
        assert (mirror / "state").read_text() in {"running\n", "completed\n"}
        return copy.read_bytes()

    check_documents(documents_while_running(changing, read))


def test_tar_stores_whole_texts_while_they_change(changing: Path, tmp_path: Path) -> None:
    def read() -> bytes:
        archive = tmp_path / "session.tar"
        done = subprocess.run(
            ["tar", "-cSf", archive, "-C", changing, "."], capture_output=True, text=True, check=False
        )
        # Status 1 says that a file changed meanwhile, which is true; 2 is an error.
        assert done.returncode in {0, 1}, done.stderr
        assert "shrank" not in done.stderr
        subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
        return (tmp_path / "status.json").read_bytes()

    check_documents(documents_while_running(changing, read))


@pytest.mark.parametrize("name", ["status.json", "state", "control"])
def test_a_read_shows_the_text_whose_length_its_reader_was_told(changing: Path, busy: Rig, name: str) -> None:
    """Between the two, tar does nothing, but a busy machine may let it wait: here the export ends meanwhile."""
    with (changing / name).open("rb", buffering=0) as file:
        told = os.fstat(file.fileno())
        wait_for_end(busy, changing)
        text = os.read(file.fileno(), told.st_size + 1000)
        assert len(text) == told.st_size
        assert (changing / name).stat().st_size != told.st_size
        assert os.pread(file.fileno(), told.st_size + 1000, 0) == (changing / name).read_bytes()


def test_a_text_is_as_long_as_its_own_reader_was_told_whoever_else_asks(changing: Path, busy: Rig) -> None:
    with (changing / "state").open("rb", buffering=0) as file:
        os.fstat(file.fileno())
        wait_for_end(busy, changing)
        subprocess.run(["stat", changing / "state"], capture_output=True, check=True)
        assert os.read(file.fileno(), 100) == b"running\n"


def test_who_polls_reads_the_newest_text_though_it_was_told_the_length_of_an_older_one(
    changing: Path, busy: Rig
) -> None:
    with (changing / "state").open("rb", buffering=0) as file:
        poll = select.poll()
        poll.register(file, select.POLLPRI)
        os.fstat(file.fileno())
        wait_for_end(busy, changing)
        assert poll.poll(TIMEOUT_S * 1000) == [(file.fileno(), CHANGED)]
        assert os.read(file.fileno(), 100) == b"completed\n"


def test_an_open_text_is_a_snapshot_until_it_is_read_from_its_start_again(changing: Path, busy: Rig) -> None:
    with (changing / "status.json").open("rb", buffering=0) as file:
        first = file.read()
        wait_for_end(busy, changing)
        assert os.pread(file.fileno(), len(first), 10) == first[10:]
        file.seek(0)
        again = file.read()
    assert json.loads(first)["state"] == "running"
    assert json.loads(again)["state"] == "completed"


# -- waiting for a change ------------------------------------------------------------


def test_poll_wakes_when_the_state_changes(changing: Path) -> None:
    with (changing / "state").open("rb", buffering=0) as state:
        assert state.read() == b"running\n"
        poll = select.poll()
        poll.register(state, select.POLLPRI)
        assert poll.poll(0) == []
        threading.Timer(0.2, stop, [changing]).start()
        assert poll.poll(TIMEOUT_S * 1000) == [(state.fileno(), CHANGED)]
        state.seek(0)
        assert state.read() == b"completed\n"
        assert poll.poll(0) == []


def count_wakes(path: Path, wakes: list[str], until: str) -> None:
    """Follow a text until it has a word in it; note what it was at each wake-up."""
    with path.open("rb", buffering=0) as text:
        poll = select.poll()
        poll.register(text, select.POLLPRI)
        while until not in (said := text.read().decode()):
            assert poll.poll(TIMEOUT_S * 1000)
            wakes.append(said)
            text.seek(0)


def test_who_waits_for_the_state_is_not_woken_by_every_tick_of_progress(changing: Path) -> None:
    ticks, changes = list[str](), list[str]()
    threads = [
        threading.Thread(target=count_wakes, args=[changing / "status.json", ticks, '"state": "completed"']),
        threading.Thread(target=count_wakes, args=[changing / "state", changes, "completed"]),
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(ticks) >= ENOUGH, "progress")
    stop(changing)
    for thread in threads:
        thread.join()
    assert changes == ["running\n"]


@needs("nc", "pv")
def test_nc_pv_and_cat_of_a_text_that_somebody_follows_end(changing: Path, received: tuple[int, Callable]) -> None:  # type: ignore[type-arg]
    port, receive = received
    changes = list[str]()
    follower = threading.Thread(target=count_wakes, args=[changing / "state", changes, "completed"])
    follower.start()
    for command in ("cat state", "pv -q state", "dd if=state status=none", "head -c 99 state"):
        done = subprocess.run(command.split(), cwd=changing, capture_output=True, check=True, timeout=TIMEOUT_S)
        assert done.stdout == b"running\n"
    with (changing / "state").open("rb") as file, subprocess.Popen(["nc", "-N", "127.0.0.1", str(port)], stdin=file):
        assert receive() == b"running\n"
    stop(changing)
    follower.join(TIMEOUT_S)
    assert changes == ["running\n"]


def test_select_and_epoll_wake_when_a_text_changes(changing: Path) -> None:
    with (changing / "status.json").open("rb", buffering=0) as status:
        first = status.read()
        assert select.select([], [], [status], TIMEOUT_S) == ([], [], [status])
        status.seek(0)
        assert status.read() != first
        with select.epoll() as epoll:
            epoll.register(status, select.EPOLLPRI | select.EPOLLET)
            assert epoll.poll(TIMEOUT_S)


def test_many_who_wait_for_one_text_all_wake(changing: Path) -> None:
    def wait(number: int) -> None:
        with (changing / "state").open("rb", buffering=0) as state:
            state.read()
            all_have_read.wait(TIMEOUT_S)
            poll = select.poll()
            poll.register(state, select.POLLPRI)
            woken[number] = bool(poll.poll(TIMEOUT_S * 1000))

    woken = dict.fromkeys(range(8), False)
    all_have_read = threading.Barrier(len(woken) + 1)
    threads = [threading.Thread(target=wait, args=[number]) for number in woken]
    for thread in threads:
        thread.start()
    all_have_read.wait(TIMEOUT_S)
    stop(changing)
    for thread in threads:
        thread.join()
    assert all(woken.values())


def test_the_mount_looks_more_often_while_somebody_follows_a_session_of_others(rigs: Callable[..., Rig]) -> None:
    """Without a follower it would look every 30 seconds, which is more than this waits."""
    rig = rigs(file_size_bytes=1000)
    session_id = rig.sim.sessions.start(plain_options(seconds=240), "somebody").session_id
    rig.look()
    session = rig.session_dir(session_id)
    with (session / "state").open("rb", buffering=0) as state:
        assert state.read() == b"running\n"
        poll = select.poll()
        poll.register(state, select.POLLPRI)
        assert poll.poll(20_000)
        state.seek(0)
        assert state.read() == b"completed\n"


def test_a_follower_of_the_statistics_wakes(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(1000)
    shared_rig.stats()
    with (shared_rig.path / ".axxonfs" / "stats.json").open("rb", buffering=0) as stats:
        stats.read()
        poll = select.poll()
        poll.register(stats, select.POLLPRI)
        path.read_bytes()
        assert poll.poll(TIMEOUT_S * 1000) == [(stats.fileno(), CHANGED)]


def test_reading_and_writing_are_always_said_to_be_possible(shared_rig: Rig) -> None:
    result = shared_rig.hold_bytes(1000)
    (shared_rig.new / "scratch").touch()
    paths = [
        result,
        *(result.parent / name for name in ("state", "status.json", "control")),
        shared_rig.new / "scratch",
    ]
    for path in paths:
        with path.open("rb") as file:
            poll = select.poll()
            poll.register(file, READY)
            assert poll.poll(0) == [(file.fileno(), READY)], path
            assert select.select([file], [], [], 0) == ([file], [], [])


# -- programs that ask whether they may read -------------------------------------------


@pytest.fixture
def received() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A port, and what was sent to it, once the sender has closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def receive() -> bytes:
            with server.accept()[0] as connection:
                return b"".join(iter(lambda: connection.recv(1 << 16), b""))

        yield server.getsockname()[1], receive


@needs("nc")
def test_nc_sends_a_result_and_a_text(shared_rig: Rig, received: tuple[int, Callable[[], bytes]]) -> None:
    port, receive = received
    result = shared_rig.hold_bytes(3 * MIB + 5)
    for path, expected in ((result, shared_rig.truth(result)), (result.parent / "state", b"completed\n")):
        with path.open("rb") as file, subprocess.Popen(["nc", "-N", "127.0.0.1", str(port)], stdin=file) as sender:
            assert receive() == expected
            assert sender.wait(TIMEOUT_S) == 0


@needs("pv")
def test_pv_copies_a_result_and_a_text(shared_rig: Rig) -> None:
    result = shared_rig.hold_bytes(3 * MIB + 5)
    for path, expected in ((result, shared_rig.truth(result)), (result.parent / "state", b"completed\n")):
        done = subprocess.run(["pv", "-q", path], capture_output=True, check=True, timeout=TIMEOUT_S)
        assert done.stdout == expected


def test_mount_json_says_which_server_it_is_and_how_it_is_trusted(shared_rig: Rig) -> None:
    about = shared_rig.path / ".axxonfs" / "mount.json"
    document = json.loads(about.read_text())
    pem = shared_rig.sim.node_file.read_text()
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert document["server"] == f"127.0.0.1:{shared_rig.sim.port}"
    assert document["account"] == USER
    assert document["certificate"]["fingerprint"] == f"sha256:{fingerprint}"
    # The simulator has the clock of this machine, so the difference is none within what is said of it.
    assert abs(document["clock"]["ahead_s"]) <= document["clock"]["uncertainty_s"]
    assert (document["mountpoint"], document["read_only"]) == (str(shared_rig.path), False)
    assert document["axxonfs"] == importlib.metadata.version("axxonfs")
    assert PASSWORD not in about.read_text()
