"""Lines and servers that go away and come back, under programs that read: right bytes, nothing stuck, no remount."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axxonfs.simulator.pattern import pattern
from tests.faults import programs, record
from tests.faults.wire import Wire
from tests.fuse.harness import PASSWORD, QUICK, USER, Rig, needs, pattern_file, wait_until

MIB = 1 << 20
AWAY = "server away"
# How long the line is dead in the middle of a copy. A minute is what is promised; CI takes less of everybody's time.
BLACK_HOLE_S = float(os.environ.get("AXXONFS_BLACK_HOLE_S", "8"))
ENDINGS = {"thaw": "goes on", "reset": "is reset"}
# What is answered from memory may wait for the processor, never for the server.
MEMORY_S = 2.0
STUCK_TIMEOUT_S = 15.0

Rigs = Callable[..., Rig]


def only_result(rig: Rig, size: int = 24 * MIB) -> Path:
    return rig.hold_bytes(size)


def read_at(path: Path, offset: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), 4096, offset)


def fails_within(path: Path, offset: int) -> float:
    """Read where nothing is cached; return how long the EIO took."""
    started_s = time.monotonic()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        read_at(path, offset)
    return time.monotonic() - started_s


# -- black holes ------------------------------------------------------------------------


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
@pytest.mark.expects_warnings("keep-alive failed")
@pytest.mark.timeout(BLACK_HOLE_S + 300)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_copy_through_a_black_hole_has_every_byte_and_looking_around_goes_on(
    rigs: Rigs, tmp_path: Path, ending: str
) -> None:
    rig = rigs(options=QUICK | {"read_timeout": f"{BLACK_HOLE_S + 60:g}s"}, with_wire=True, sessions=5)
    assert rig.wire is not None
    result = only_result(rig)
    truth = rig.truth(result)
    rig.wire.throttle(16 * MIB)
    copy = programs.start("cp", result, tmp_path / "copy")
    with programs.running(copy):
        wait_until(lambda: (tmp_path / "copy").exists() and (tmp_path / "copy").stat().st_size > 0, "the copy to begin")
        rig.wire.freeze()
        had_bytes = rig.wire.carried_bytes
        dark_until_s = time.monotonic() + BLACK_HOLE_S
        longest_s = programs.longest_s(lambda: programs.look_around(rig), lambda: time.monotonic() < dark_until_s)
        assert longest_s < MEMORY_S
        assert copy.process.poll() is None
        rig.wire.thaw()
        if ending == "reset":
            rig.wire.reset()
        thawed_s = time.monotonic()
        assert copy.end()[:2] == (0, b"")
        took_s = time.monotonic() - thawed_s
    assert (tmp_path / "copy").read_bytes() == truth
    record.record(
        f"black hole, {ending}",
        f"{BLACK_HOLE_S:g} s without a byte after {had_bytes / 1e6:.0f} MB had passed, then the line "
        f"{ENDINGS[ending]}: all {len(truth) / 1e6:.0f} MB right {took_s:.1f} s later; meanwhile the longest look "
        f"around (list, stat, lookup, df, texts) took {1000 * longest_s:.0f} ms.\n",
    )


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
def test_connections_that_are_dead_for_ever_without_knowing_it_are_replaced(rigs: Rigs) -> None:
    rig = rigs(options=QUICK, with_wire=True)
    assert rig.wire is not None
    first, second = rig.results(rig.hold(pattern_file(MIB), pattern_file(MIB)))
    assert first.read_bytes() == rig.truth(first)
    rig.wire.strand()
    assert second.read_bytes() == rig.truth(second)
    # Listings, too, go on over a new one.
    rig.hold(pattern_file(1000))


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_connections_that_end_again_and_again_cost_no_byte(rigs: Rigs, kind: str) -> None:
    rig = rigs(options=QUICK, with_wire=True)
    assert rig.wire is not None
    results = rig.results(rig.hold(pattern_file(8 * MIB), pattern_file(8 * MIB)))
    readers = [programs.sha256sum(result) for result in results]
    with programs.running(*readers):
        for _ in range(6):
            wait_for_bytes(rig.wire, readers)
            getattr(rig.wire, kind)()
        for reader, result in zip(readers, results, strict=True):
            programs.check_hash(reader, rig.truth(result))


def wait_for_bytes(wire: Wire, readers: list[programs.Program]) -> None:
    carried = wire.carried_bytes
    wait_until(lambda: wire.carried_bytes > carried + MIB or done(readers), "bytes")


def done(readers: list[programs.Program]) -> bool:
    return all(reader.process.poll() is not None for reader in readers)


# -- failing fast -----------------------------------------------------------------------


@pytest.mark.expects_warnings(AWAY)
def test_a_small_read_of_a_stuck_session_waits_for_one_deadline_and_not_for_that_of_the_kernels_repetition_too(
    rigs: Rigs,
) -> None:
    timeout_s = 10.0
    rig = rigs(options={"read_timeout": f"{timeout_s:g}s"})
    result = only_result(rig)
    fault = rig.sim.faults.add(method="DownloadFile", action="stall", times=10_000)
    assert timeout_s - 1 < fails_within(result, 0) < 2 * timeout_s - 1
    # A program that tries again is served.
    rig.sim.faults.clear()
    assert fault.hits
    assert read_at(result, 0) == rig.truth(result)[:4096]


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
@pytest.mark.expects_warnings("keep-alive failed")
def test_reads_fail_at_once_after_several_have_and_go_on_when_the_server_is_back(rigs: Rigs) -> None:
    rig = rigs(options=QUICK | {"read_timeout": "2s"}, with_wire=True)
    assert rig.wire is not None
    result = only_result(rig)
    assert read_at(result, 0) == rig.truth(result)[:4096]
    rig.wire.freeze()
    waited = [fails_within(result, (4 + 4 * number) * MIB) for number in range(3)]
    assert all(2 <= took_s < 15 for took_s in waited), waited
    wait_until(lambda: '"reads_fail_at_once_since": null' not in stats_text(rig), "the breaker to open")
    assert '"stale_since": null' not in stats_text(rig)
    assert max(fails_within(result, 20 * MIB) for _ in range(5)) < 1
    assert read_at(result, 0) == rig.truth(result)[:4096]
    rig.wire.thaw()
    wait_until(lambda: '"reads_fail_at_once_since": null' in stats_text(rig), "the breaker to close")
    assert result.read_bytes() == rig.truth(result)
    log = rig.log.read_text()
    assert log.count("reads fail at once") == 1
    assert "server answers again" in log


def stats_text(rig: Rig) -> str:
    return (rig.path / ".axxonfs" / "stats.json").read_text()


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may let the kernel send more than 12 reads at once"
)


@needs_root
def test_thirty_two_readers_of_a_stuck_session_hold_no_other_up(rigs: Rigs) -> None:
    rig = rigs(options={"read_timeout": f"{STUCK_TIMEOUT_S:g}s"})
    stuck = rig.hold(*(pattern_file(4 * MIB) for _ in range(32)))
    before, other = only_result(rig, 16 * MIB), only_result(rig, 16 * MIB)
    alone_s = programs.check_hash(programs.sha256sum(before), rig.truth(before))
    rig.sim.faults.add(method="DownloadFile", action="stall", session_id=rig.session_id(stuck), times=10_000)
    readers = [programs.start("cat", result) for result in rig.results(stuck)]
    with programs.running(*readers):
        wait_until(lambda: len(rig.downloads()) >= 12, "the streams to be stuck")
        took_s = programs.check_hash(programs.sha256sum(other), rig.truth(other))
        # Had it waited for a slot of theirs, one of them would have met its deadline first.
        assert not done_some(readers)
        longest_s = programs.longest_s(lambda: programs.look_around(rig), lambda: not done_some(readers))
        assert longest_s < MEMORY_S
        for reader in readers:
            status, text, waited_s = reader.end()
            assert (status, b"Input/output error" in text) == (1, True)
            assert waited_s < 4 * STUCK_TIMEOUT_S
    assert programs.blocked(rig) == {}
    record.record(
        "stalled readers",
        f"16 MiB of another session took {took_s:.2f} s beside 32 readers that were stuck, and {alone_s:.2f} s before; "
        f"the longest look around took {1000 * longest_s:.0f} ms.\n",
    )


def done_some(readers: list[programs.Program]) -> bool:
    return any(reader.process.poll() is not None for reader in readers)


# -- servers that die ---------------------------------------------------------------------


SIZE = 24 * MIB
SERVER = [sys.executable, "-m", "axxonfs", "simulate"]


@contextlib.contextmanager
def served(directory: Path, port: int, sessions: int) -> "Iterator[subprocess.Popen[str]]":
    """Run a server in a process of its own, for it is to be killed."""
    (directory / "password").touch(0o600)
    (directory / "password").write_text(PASSWORD)
    words = ["--listen", f"127.0.0.1:{port}", "--directory", str(directory / "server"), "--user", USER]
    words += ["--password-file", str(directory / "password"), "--sessions", str(sessions), "--file-size", str(SIZE)]
    with subprocess.Popen([*SERVER, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("axxonfs mount")
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
def test_a_server_that_is_killed_and_comes_back_costs_sixteen_readers_no_byte(
    rigs: Rigs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with served(tmp_path, port, 16) as server:
        rig = rigs(options=QUICK)
        rig.stop()
        rig.options["tls_ca"] = str(tmp_path / "server" / "ca.pem")
        monkeypatch.setattr(rig.sim, "port", port)
        rig.start()
        results = [path for session in rig.sessions for path in rig.results(session)]
        assert len(results) == 16
        readers = [programs.sha256sum(result) for result in results]
        with programs.running(*readers):
            wait_until(lambda: rig.stats()["reads"]["fetched_bytes"] > 16 * MIB, "the readers to be on their way")
            server.send_signal(signal.SIGKILL)
            server.wait()
            with served(tmp_path, port, 16):
                back_s = time.monotonic()
                for reader, result in zip(readers, results, strict=True):
                    programs.check_hash(reader, truth_of(result))
                took_s = time.monotonic() - back_s
                assert programs.blocked(rig) == {}
                assert rig.stop() == 0
    record.record(
        "killed server",
        f"16 readers of {SIZE / 1e6:.0f} MB each, the server killed with SIGKILL after 16 MiB of it and started again: "
        f"all had the right bytes {took_s:.1f} s after it answered again.\n",
    )


def truth_of(result: Path) -> bytes:
    """Return the bytes of a sample, whose number is its seed."""
    path = os.getxattr(result, "user.axxonfs.path").decode()
    [seed] = [number for number in range(16) if str(uuid.uuid5(uuid.NAMESPACE_OID, f"sample/{number}")) == path]
    return pattern(seed, 0, SIZE)


# -- mirrors --------------------------------------------------------------------------------


@needs("rsync")
@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
def test_a_mirror_loses_nothing_whatever_the_server_does_to_a_mount_that_starts_again(
    rigs: Rigs, tmp_path: Path
) -> None:
    rig = rigs(options=QUICK, file_size_bytes=1000, sessions=250)
    mirror = tmp_path / "mirror"
    words = ["rsync", "-a", "--delete", "--exclude=status.json", f"{rig.path}/sessions/", f"{mirror}/"]
    subprocess.run(words, check=True, timeout=60)
    before = {path.relative_to(mirror) for path in mirror.rglob("*")}
    rig.stop(signal.SIGKILL)

    def mirrored() -> int:
        status = subprocess.run(words, capture_output=True, timeout=60, check=False).returncode
        assert before <= {path.relative_to(mirror) for path in mirror.rglob("*")}
        return status

    assert mirrored() == 23  # dead, and not empty
    rig.sim.stop()
    assert subprocess.run(rig.command, capture_output=True, timeout=60, check=False).returncode == 6
    assert mirrored() == 23
    rig.sim.start()
    for fault in ({"action": "cut", "after_chunks": 1}, {"action": "endless_pages"}, {"action": "repeat_page"}):
        rig.sim.faults.add(method="ListSessions", **fault, times=10_000)
        assert subprocess.run(rig.command, capture_output=True, timeout=60, check=False).returncode == 6
        rig.sim.faults.clear()
        assert mirrored() == 23
    half = rig.sim.faults.add(method="ListSessions", action="half_list")
    rig.start()
    assert half.hits == 1
    assert mirrored() == 0
    for fault in ({"action": "cut", "after_chunks": 2}, {"action": "half_list"}):
        planned = rig.sim.faults.add(method="ListSessions", **fault)
        rig.look()
        assert rig.sim.faults.wait_for_hits(planned, 1, 30)
        assert mirrored() == 0
