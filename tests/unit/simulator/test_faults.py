import threading

from axxonfs.simulator.faults import Faults


def test_a_fault_is_met_as_often_as_planned_and_by_its_method_only() -> None:
    faults = Faults()
    fault = faults.add(method="ListSessions", times=2)
    assert faults.take("GetSessionState") == ()
    assert [len(faults.take("ListSessions")) for _ in range(3)] == [1, 1, 0]
    assert fault.hits == 2


def test_several_faults_can_meet_in_one_call() -> None:
    faults = Faults()
    planned = (
        faults.add(method="DownloadFile", action="delay", delay_s=1),
        faults.add(method="DownloadFile", action="cut", after_chunks=3),
    )
    assert faults.take("DownloadFile") == planned


def test_clearing_forgets_the_plan_and_lets_held_calls_go() -> None:
    faults = Faults()
    fault = faults.add(method="DownloadFile", action="stall")
    held = threading.Thread(target=faults.hold, args=(fault, lambda: False))
    held.start()
    faults.clear()
    held.join(10)
    assert not held.is_alive()
    assert faults.take("DownloadFile") == ()


def test_a_held_call_goes_when_it_is_over() -> None:
    faults = Faults()
    fault = faults.add(method="DownloadFile", action="stall")
    over = threading.Event()
    held = threading.Thread(target=faults.hold, args=(fault, over.is_set))
    held.start()
    over.set()
    faults.wake()
    held.join(10)
    assert not held.is_alive()
