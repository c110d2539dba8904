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


def test_a_thread_that_a_signal_kept_from_leaving_leaves_the_next_time() -> None:
    gate = Gate()
    gate.__enter__()
    with gate:
        pass
    gate.shut()
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


CLIENT = """
import os, re, resource, signal, sys, threading
from pathlib import Path
from axxonfs.core import errors
from axxonfs.core.line import IN_FLIGHT_BYTES
from axxonfs.remote.channel import Link
from axxonfs.remote.credentials import Credentials, PasswordFile
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.gate import gate
from axxonfs.remote.trust import Endpoint, TrustOptions, establish

port, ca, password, user = sys.argv[1:]
endpoint = Endpoint("127.0.0.1", int(port))
trust = establish(endpoint, TrustOptions(ca_file=Path(ca)), learnt_name=None, timeout_s=10)
credentials = Credentials(user, PasswordFile(Path(password)))
link = Link(endpoint, trust, credentials)
"""

NO_THREAD = """
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
link.warm(IN_FLIGHT_BYTES[0])
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert client.list_sessions() == []
link.close()
"""


# A child that hangs is ended by its alarm.
WARMED = """
def disconnect():
    gate.shut()
    link.disconnect()
    gate.settle(2.0)

os.register_at_fork(before=disconnect, after_in_parent=gate.open, after_in_child=gate.renew)
failed = 0
for _ in range(12):
    for step in IN_FLIGHT_BYTES:
        link.warm(step)
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(ExportClient(Link(endpoint, trust, credentials)).list_sessions() != [])
    failed += os.waitpid(child, 0)[1] != 0
print(failed)
link.close()
"""


def run(program: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program that has a link to a server."""
    with make_simulator(directory) as simulator:
        write_password(directory / "password")
        words = [str(simulator.port), str(simulator.ca_file), str(directory / "password"), USER]
        command = [sys.executable, "-c", CLIENT + program, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_calls_go_on_after_one_for_which_there_was_no_thread(tmp_path: Path) -> None:
    done = run(NO_THREAD, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "gRPC gets no thread: can't start new thread\n", "")


def test_children_that_are_forked_while_connections_are_made_do_not_hang(tmp_path: Path) -> None:
    done = run(WARMED, tmp_path)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
