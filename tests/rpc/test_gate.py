"""The way into gRPC around a fork."""

import _thread
import subprocess
import sys
import threading
from pathlib import Path

from axxonfs.remote.gate import Gate
from tests.rpc.support import USER, make_simulator, write_password

WAIT_S = 30.0


def entered(gate: Gate) -> tuple[threading.Thread, threading.Event]:
    """Return a thread that enters, and what it sets inside."""
    inside = threading.Event()

    def go() -> None:
        with gate:
            inside.set()

    thread = threading.Thread(target=go)
    thread.start()
    return thread, inside


def test_nobody_enters_while_one_of_two_has_it_shut() -> None:
    gate = Gate()
    gate.shut()
    gate.shut()
    gate.open()
    thread, inside = entered(gate)
    assert not inside.wait(0.1)
    gate.open()
    assert inside.wait(WAIT_S)
    thread.join(WAIT_S)


def test_settling_waits_for_who_is_inside() -> None:
    gate = Gate()
    with gate:
        gate.shut()
        assert not gate.settle(0.05)
    assert gate.settle(WAIT_S)
    gate.open()


def test_settling_waits_for_threads_that_are_not_of_python_to_rest() -> None:
    gate = Gate()
    gate.shut()
    stop, stopped = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            pass
        stopped.set()

    _thread.start_new_thread(work, ())  # which `threading` does not know, as it does not know gRPC's
    assert not gate.settle(0.2)
    stop.set()
    assert stopped.wait(WAIT_S)
    assert gate.settle(WAIT_S)


def test_a_child_begins_with_an_open_gate_whoever_was_inside() -> None:
    gate = Gate()
    gate.__enter__()
    gate.shut()
    gate.renew()
    thread, inside = entered(gate)
    assert inside.wait(WAIT_S)
    thread.join(WAIT_S)
    assert gate.settle(WAIT_S)


NO_THREAD = """
import re, resource, sys, threading
from pathlib import Path
from axxonfs.core import errors
from axxonfs.remote.channel import Link
from axxonfs.remote.credentials import Credentials, PasswordFile
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.trust import Endpoint, TrustOptions, establish

port, ca, password, user = sys.argv[1:]
endpoint = Endpoint("127.0.0.1", int(port))
trust = establish(endpoint, TrustOptions(ca_file=Path(ca)), learnt_name=None, timeout_s=10)
link = Link(endpoint, trust, Credentials(user, PasswordFile(Path(password))))
client = ExportClient(link)
assert client.list_sessions() == []
ended = threading.Event()
for _ in range(8):  # what threads that have ended leave behind would do for new ones
    threading.Thread(target=ended.wait, daemon=True).start()
size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + (2 << 20), resource.RLIM_INFINITY))
try:
    client.list_sessions()
except errors.ServerAwayError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert client.list_sessions() == []
link.close()
"""


def test_calls_go_on_after_one_for_which_there_was_no_thread(tmp_path: Path) -> None:
    with make_simulator(tmp_path) as simulator:
        write_password(tmp_path / "password")
        words = [str(simulator.port), str(simulator.ca_file), str(tmp_path / "password"), USER]
        done = subprocess.run(
            [sys.executable, "-c", NO_THREAD, *words], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "gRPC gets no thread: can't start new thread\n", "")
