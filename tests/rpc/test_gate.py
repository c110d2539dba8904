"""The way into gRPC around a fork."""

import _thread
import threading

from axxonfs.remote.gate import Gate

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
