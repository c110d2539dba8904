"""One file system in many processes: forked, spawned, pickled, killed, and bounded in logins and connections."""

import hashlib
import multiprocessing
import pickle
import re
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from axxonfs.core.line import MIB
from axxonfs.fsspec import AxxonFileSystem
from tests.fuse.harness import wait_until
from tests.rpc.file_systems import PASSWORD, Site, made_site

SIZE = 6 * MIB + 123
TIMEOUT_S = 60.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with made_site(tmp_path) as site:
        yield site


def open_logins(site: Site) -> int:
    return site.sim.calls.count("AuthenticateEx2") - site.sim.calls.count("CloseSession")


# In a program of its own: this process serves gRPC as well, and no process that does can be forked safely.
POOL = """
    import hashlib, multiprocessing, os, sys, threading
    from axxonfs.fsspec import AxxonFileSystem

    def digest(fs, path):
        return hashlib.sha256(fs.cat_file(path)).hexdigest()

    def read_on(fs, path, stop):
        while not stop.is_set():
            digest(fs, path)

    if __name__ == "__main__":
        fs, paths = AxxonFileSystem(**{words!r}), {paths!r}
        before = digest(fs, paths[0])  # the parent is connected
        stop = threading.Event()
        busy = [threading.Thread(target=read_on, args=(fs, paths[0], stop)) for _ in range(2)]
        for thread in busy:
            thread.start()  # and reads while its children are made
        with multiprocessing.get_context({method!r}).Pool(3) as pool:
            print(*pool.starmap(digest, [(fs, path) for path in paths], chunksize=1))
            pool.close()
            pool.join()
        stop.set()
        for thread in busy:
            thread.join()
        assert digest(fs, paths[0]) == before
"""

FORK = """
    import os
    from axxonfs.fsspec import AxxonFileSystem
    fs, path = AxxonFileSystem(**{words!r}), {paths!r}[0]
    file = fs.open(path)
    begin = file.read(1_500_000)
    child = os.fork()
    if child == 0:
        # The open file goes on as well as a new one does; both read to the end.
        whole = fs.cat_file(path)
        status = int(not (begin + file.read() == whole))
        fs.close()
        os._exit(status)
    rest = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fs.cat_file(path) == begin + rest
    idle = os.fork()
    if idle == 0:
        os._exit(0)  # a child that does nothing leaves the parent's login alone
    os.waitpid(idle, 0)
    assert fs.cat_file(path) == begin + rest
    print(len(begin + rest))
"""


def output_of(site: Site, text: str, **words: object) -> str:
    """Run a program, which must end without a complaint, and return what it prints."""
    program = textwrap.dedent(text.format(words=site.words, **words))
    path = site.scratch / "program.py"  # a file: what is spawned imports it
    path.write_text(program)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_every_kind_read_and_log_out_while_their_parent_reads(site: Site, method: str) -> None:
    fs = site.fs()
    held = [site.hold_one(fs, SIZE + number) for number in range(8)]
    fs.close()
    printed = output_of(site, POOL, paths=[path for path, _ in held], method=method)
    assert printed.split() == [hashlib.sha256(data).hexdigest() for _, data in held]
    assert open_logins(site) == 0
    assert 3 <= site.sim.calls.count("AuthenticateEx2") <= 5


def test_a_child_that_is_forked_in_the_middle_of_a_download_reads_and_so_does_its_parent(site: Site) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, 20 * MIB)
    fs.close()
    assert output_of(site, FORK, paths=[path]) == f"{len(data)}\n"
    assert site.sim.calls.count("AuthenticateEx2") == 3
    assert open_logins(site) == 0


# Twenty MiB in blocks of one, as they come from a server, made and let go again and again.
BLOCKS = """
    import resource
    from axxonfs.fsspec import AxxonFileSystem

    def new_pages(rounds):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(rounds):
            blocks = [bytes([number]) * (1 << 20) for number in range(20)]
            del blocks
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    fs = AxxonFileSystem(**{words!r})
    new_pages(2)
    before = new_pages(10)
    assert fs.find("")
    new_pages(2)
    print(before, new_pages(10))
    fs.close()
"""
BLOCKS_PAGES = 10 * (20 << 20) // resource.getpagesize()


def test_a_process_that_reads_keeps_the_memory_that_it_let_go(site: Site) -> None:
    site.hold_one(site.fs(), 1000)
    before, after = map(int, output_of(site, BLOCKS).split())
    assert before > BLOCKS_PAGES // 2
    assert after < BLOCKS_PAGES // 20


# Other servers and accounts, and connections made anew, have clients of their own.
CLIENTS = """
    import resource
    from axxonfs.fsspec import AxxonFileSystem

    def used(number):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        fs = AxxonFileSystem(**{words!r}, max_logins=10 + number)
        assert fs.find("")
        fs.close()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    print(max([used(number) for number in range(6)][1:]))
"""


def test_what_teaches_a_process_to_keep_memory_takes_none_itself(site: Site) -> None:
    site.hold_one(site.fs(), 1000)
    assert int(output_of(site, CLIENTS)) < (31 << 20) // resource.getpagesize() // 2


def test_what_the_environment_says_of_memory_stays_in_force(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.hold_one(site.fs(), 1000)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", str(64 << 10))
    before, after = map(int, output_of(site, BLOCKS).split())
    assert min(before, after) > BLOCKS_PAGES // 2


def digest(fs: AxxonFileSystem, path: str) -> str:
    return hashlib.sha256(fs.cat_file(path)).hexdigest()


def read_rest(pickled: bytes) -> bytes:
    with pickle.loads(pickled) as file:
        rest: bytes = file.read()
        return rest


def test_an_open_file_goes_on_in_another_process_where_it_was(site: Site) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        file.seek(100_000)
        pickled = pickle.dumps(file)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_rest, (pickled,)) == data[100_000:]


def test_logins_of_a_machine_are_bounded_and_a_process_waits_for_its_turn(site: Site) -> None:
    fs = site.fs(max_logins=1, login_wait="0.3s")
    path, data = site.hold_one(fs, 1000)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(PermissionError, match="all 1 logins that max_logins allows"):
            pool.apply(digest, (fs, path))
        patient = site.fs(max_logins=1, login_wait="60s")
        waiting = pool.apply_async(digest, (patient, path))
        time.sleep(0.5)
        assert not waiting.ready()
        fs.close()
        assert waiting.get(TIMEOUT_S) == hashlib.sha256(data).hexdigest()
        pool.close()
        pool.join()
    assert open_logins(site) == 0


def begin_together(barrier: "threading.Barrier") -> None:
    barrier.wait(TIMEOUT_S)


def refusal(words: dict[str, Any]) -> str:
    """Return why a worker sees nothing."""
    fs = AxxonFileSystem(**words)
    try:
        return f"seen: {fs.ls('')}"
    except PermissionError as error:
        return str(error)
    finally:
        fs.close()


@pytest.mark.parametrize("source", ["file", "variable"])
def test_a_wrong_password_is_tried_once_by_all_workers_of_a_machine(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    words, wrong = dict(site.words), tmp_path / "wrong"
    if source == "file":
        wrong.touch(mode=0o600)
        wrong.write_text("hunter2")
        words["password_file"] = str(wrong)
    else:
        del words["password_file"]
        monkeypatch.setenv("AXXONFS_PASSWORD", "hunter2")
    # All of them would be on their way before the first is refused.
    site.sim.faults.add(method="AuthenticateEx2", action="delay", delay_s=3.0)
    context = multiprocessing.get_context("spawn")
    with context.Pool(4, initializer=begin_together, initargs=(context.Barrier(4),)) as pool:
        refused = pool.map(refusal, [words] * 12, chunksize=1)
        pool.close()
        pool.join()
    assert all("password is wrong" in text and "hunter2" not in text for text in refused), refused
    assert site.sim.calls.count("AuthenticateEx2") == 1
    [notes] = (tmp_path / "run").glob("axxonfs/*/refused.json")
    assert "hunter2" not in notes.read_text()
    if source == "file":
        wrong.write_text(PASSWORD + "\n")
    else:
        monkeypatch.setenv("AXXONFS_PASSWORD", PASSWORD)
        assert "is not tried again on this machine before" in refusal(words)
        notes.write_text(re.sub('"until": "[0-9]+"', '"until": "0"', notes.read_text()))  # and that moment comes
    assert refusal(words) == "seen: []"
    assert site.sim.calls.count("AuthenticateEx2") == 2


def test_a_process_has_one_login_one_loop_and_a_bounded_number_of_connections(site: Site) -> None:
    fs = site.fs()
    held = [site.hold_one(fs, 20 * MIB) for _ in range(4)]
    threads = [threading.Thread(target=lambda path=path: site.fs().cat_file(path)) for path, _ in held * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fs.cat_ranges([held[0][0]] * 20, list(range(0, 20 * MIB, MIB)), [place + 10 for place in range(0, 20 * MIB, MIB)])
    mine = [one for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == site.sim.port]
    assert 2 <= len(mine) <= 15
    assert site.sim.calls.count("AuthenticateEx2") == 1
    assert [thread.name for thread in threading.enumerate()].count(f"axxonfs 127.0.0.1:{site.sim.port}") == 1


PROGRAM = """
    import sys
    from axxonfs.fsspec import AxxonFileSystem
    if __name__ == "__main__":
        fs = AxxonFileSystem(**{words!r})
        file = fs.open({path!r})
        assert len(file.read(3_000_000)) == 3_000_000
        print("read", flush=True)
        {then}
"""


def run_program(site: Site, path: str, then: str) -> "subprocess.Popen[str]":
    text = textwrap.dedent(PROGRAM.format(words=site.words, path=path, then=then))
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "read\n", process.stderr and process.stderr.read()
    return process


@pytest.mark.parametrize("then", ["pass", "sys.exit(0)", "raise SystemExit", "fs.close()"])
def test_a_program_that_ends_in_the_middle_of_a_file_ends_at_once_and_logs_out(site: Site, then: str) -> None:
    path, _ = site.hold_one(site.fs(), 40 * MIB)
    before = open_logins(site)
    with run_program(site, path, then) as process:
        _, complaints = process.communicate(timeout=20)
        assert (process.returncode, complaints) == (0, "")
    assert open_logins(site) == before


def test_a_program_that_is_killed_leaves_others_their_slots(site: Site) -> None:
    path, data = site.hold_one(site.fs(), 4 * MIB)
    site.fs().close()
    words = {**site.words, "max_logins": 1, "login_wait": "10s"}
    with run_program(Site(site.sim, site.scratch, words), path, "sys.stdin.read()") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        fs = AxxonFileSystem(**words)
        assert fs.cat_file(path) == data
        fs.close()


# The parent ends without a word, as one that is killed does; the child lives on and has no part in the pipes.
ORPHAN = """
    import os, signal
    from axxonfs.fsspec import AxxonFileSystem
    AxxonFileSystem(**{words!r}).cat_file({path!r})
    child = os.fork()
    if child == 0:
        os.closerange(0, 3)
        while True:
            signal.pause()
    print(child, flush=True)
    os._exit(0)
"""


def test_a_child_that_outlives_its_parent_does_not_hold_the_slot_of_that(site: Site) -> None:
    path, data = site.hold_one(site.fs(), 4 * MIB)
    site.fs().close()
    words = {**site.words, "max_logins": 1, "login_wait": "10s"}
    orphan = psutil.Process(int(output_of(Site(site.sim, site.scratch, words), ORPHAN, path=path)))
    try:
        fs = AxxonFileSystem(**words)
        assert fs.cat_file(path) == data
        assert orphan.is_running()
        fs.close()
    finally:
        orphan.kill()


def test_after_closing_the_next_use_connects_anew_and_calls_in_flight_end(site: Site) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, 1000)
    with fs.open(path) as file:
        assert file.read(10) == data[:10]
        fs.close()
        file.seek(0)
        assert file.read() == data
    site.sim.faults.add(method="DownloadFile", action="stall", times=100)
    other, _ = site.hold_one(fs, MIB)
    failures: list[Exception] = []

    def read() -> None:
        try:
            fs.cat_file(other)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: site.downloads()[-1].status == "RUNNING", "a stalled download")
    fs.close()
    thread.join(20)
    assert len(failures) == 1
    site.sim.faults.clear()
