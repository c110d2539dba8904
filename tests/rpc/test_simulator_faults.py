"""Faults on demand, over TLS."""

import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from axxonfs.simulator.faults import Action
from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.server import Simulator
from axxonfs.wire import domain_pb2
from tests.rpc.simulated import TIMEOUT_S, Client, clip, refusal, simulated

Served = tuple[Simulator, Client]
Status = grpc.StatusCode
KIB = 1024
ALL = domain_pb2.ListCamerasRequest()
SIZE = 10 * KIB


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with simulated(tmp_path_factory.mktemp("simulator"), file_size_bytes=SIZE) as pair:
        yield pair


@pytest.fixture(autouse=True)
def no_faults_left(served: Served) -> Iterator[None]:
    served[0].calls.clear()
    yield
    served[0].faults.clear()


def add(served: Served) -> str:
    return served[0].sessions.add(files=[ResultFile(path="x", size=SIZE, kind="mkv", seed=9)])


def test_a_call_is_refused_as_often_as_planned(served: Served) -> None:
    simulator, client = served
    fault = simulator.faults.add(method="ListSessions", status="INTERNAL", details="CORBA", times=2)
    assert [refusal(client.listing) for _ in range(2)] == [(Status.INTERNAL, "CORBA")] * 2
    client.listing()
    assert fault.hits == 2


def test_even_a_login_can_fail(served: Served) -> None:
    served[0].faults.add(method="AuthenticateEx2", status="DEADLINE_EXCEEDED")
    assert refusal(served[1].log_in)[0] is Status.DEADLINE_EXCEEDED


def test_a_reply_can_be_lost_after_the_work_was_done(served: Served) -> None:
    simulator, client = served
    before = len(simulator.sessions.records())
    simulator.faults.add(method="StartSession", action="lose_reply")
    assert refusal(client.start, clip())[0] is Status.UNAVAILABLE
    assert len(simulator.sessions.records()) == before + 1


def test_a_delayed_call_waits_until_its_time_or_until_it_is_let_go(served: Served) -> None:
    simulator, client = served
    fault = simulator.faults.add(method="ListSessions", action="delay", delay_s=3600)
    caller = threading.Thread(target=client.listing)
    caller.start()
    assert simulator.faults.wait_for_hits(fault, 1, TIMEOUT_S)
    assert caller.is_alive()
    simulator.faults.clear()
    caller.join(TIMEOUT_S)
    assert not caller.is_alive()
    simulator.faults.add(method="ListSessions", action="delay", delay_s=0.01)
    client.listing()


def test_a_stalled_stream_sends_nothing_more_until_its_deadline(served: Served) -> None:
    simulator, client = served
    simulator.faults.add(method="DownloadFile", action="stall", after_chunks=3)
    call = client.download(add(served), "x", kb=1, timeout_s=0.5)
    assert [next(call).index for _ in range(3)] == [0, 1, 2]
    assert refusal(next, call)[0] is Status.DEADLINE_EXCEEDED
    simulator.calls.wait_for("DownloadFile", 1, TIMEOUT_S)
    assert simulator.calls.entries()[-1].status == "CANCELLED"


def test_a_stalled_stream_goes_on_when_the_fault_is_cleared(served: Served) -> None:
    simulator, client = served
    fault = simulator.faults.add(method="DownloadFile", action="stall", after_chunks=3)
    call = client.download(add(served), "x", kb=1)
    assert simulator.faults.wait_for_hits(fault, 1, TIMEOUT_S)
    simulator.faults.clear()
    assert len(list(call)) == 10


@pytest.mark.parametrize("after", [0, 3, 10])
def test_a_stream_is_cut_after_so_many_chunks(served: Served, after: int) -> None:
    served[0].faults.add(method="DownloadFile", action="cut", after_chunks=after, status="ABORTED")
    call = served[1].download(add(served), "x", kb=1)
    assert len([next(call) for _ in range(after)]) == after
    assert refusal(next, call)[0] is Status.ABORTED


def test_a_stream_can_end_early_as_if_it_were_complete(served: Served) -> None:
    served[0].faults.add(method="DownloadFile", action="end", after_chunks=4)
    assert len(list(served[1].download(add(served), "x", kb=1))) == 4


def test_a_listing_can_break_off_in_the_middle(served: Served) -> None:
    simulator, client = served
    for _ in range(50):
        add(served)
    simulator.faults.add(method="ListSessions", action="cut", after_chunks=1)
    assert refusal(client.listing, 100)[0] is Status.UNAVAILABLE


def test_a_slow_stream_is_complete_in_the_end(served: Served) -> None:
    served[0].faults.add(method="DownloadFile", action="slow", delay_s=0.001)
    assert served[1].read(add(served), "x", kb=1) == pattern(9, 0, SIZE)


@pytest.mark.parametrize(
    ("action", "index", "data"),
    [
        ("wrong_index", 4, pattern(9, 3 * KIB, KIB)),
        ("short_chunk", 3, pattern(9, 3 * KIB, KIB - 1)),
        ("wrong_byte", 3, pattern(9, 3 * KIB, KIB - 1) + bytes([pattern(9, 4 * KIB - 1, 1)[0] ^ 0xFF])),
    ],
)
def test_a_chunk_can_be_spoilt(served: Served, action: Action, index: int, data: bytes) -> None:
    served[0].faults.add(method="DownloadFile", action=action, after_chunks=3)
    chunks = list(served[1].download(add(served), "x", kb=1))
    assert (chunks[3].index, chunks[3].data) == (index, data)
    assert [chunk.data for chunk in chunks[:3]] == [pattern(9, start * KIB, KIB) for start in range(3)]
    assert len(chunks) == 10


def test_chunks_can_be_left_out_sent_twice_emptied_and_blown_up(served: Served) -> None:
    simulator, client = served
    lengths = {}
    for action in ("skip_chunk", "repeat_chunk", "empty_chunk", "long_chunk"):
        simulator.faults.add(method="DownloadFile", action=action, after_chunks=3)
        chunks = list(client.download(add(served), "x", kb=1))
        lengths[action] = [(chunk.index, len(chunk.data)) for chunk in chunks[2:5]]
    assert lengths == {
        "skip_chunk": [(2, KIB), (4, KIB), (5, KIB)],
        "repeat_chunk": [(2, KIB), (3, KIB), (3, KIB)],
        "empty_chunk": [(2, KIB), (3, 0), (3, KIB)],
        "long_chunk": [(2, KIB), (3, KIB + 1), (4, KIB)],
    }


def test_a_message_can_be_larger_than_a_client_takes(served: Served) -> None:
    served[0].faults.add(method="DownloadFile", action="huge_chunk", after_chunks=1)
    chunks = list(served[1].download(add(served), "x", kb=1))
    assert [len(chunk.data) for chunk in chunks[:3]] == [KIB, 17 * KIB * KIB, KIB]


def test_a_fault_can_be_for_one_session_or_for_every_call(served: Served) -> None:
    simulator, client = served
    one, other = add(served), add(served)
    fault = simulator.faults.add(method="*", session_id=one, times=2)
    client.state(other)
    client.listing()
    assert refusal(client.state, one)[0] is Status.UNAVAILABLE
    assert refusal(client.destroy, one)[0] is Status.UNAVAILABLE
    assert fault.hits == 2


def tokens(client: Client, pages: int) -> list[str]:
    found, token = [], ""
    for _ in range(pages):
        token = client.listing(10, token)[-1].next_page_token
        found.append(token)
    return found


def test_pages_can_repeat_and_never_end(served: Served) -> None:
    simulator, client = served
    simulator.sessions.remove_many([record.session_id for record in simulator.sessions.records()])
    add(served)
    assert tokens(client, 1) == [""]
    simulator.faults.add(method="ListSessions", action="repeat_page", times=3)
    assert len(set(tokens(client, 3))) == 1
    simulator.faults.add(method="ListSessions", action="endless_pages", times=5)
    assert len(set(tokens(client, 5))) == 5


def test_half_a_list_looks_complete(served: Served) -> None:
    simulator, client = served
    simulator.sessions.remove_many([record.session_id for record in simulator.sessions.records()])
    for _ in range(30):
        add(served)
    simulator.faults.add(method="ListSessions", action="half_list")
    [half] = client.listing(20)
    assert (len(half.sessions), half.next_page_token) == (10, "")


def test_a_state_can_be_one_that_no_definition_knows(served: Served) -> None:
    simulator, client = served
    simulator.faults.add(method="*", action="unknown_state", times=2)
    session_id = add(served)
    assert client.state(session_id).state == 17
    assert client.listed()[session_id] == 17


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_every_call_can_end_with_every_status(served: Served, status: grpc.StatusCode) -> None:
    simulator, client = served
    session_id = add(served)
    simulator.faults.add(method="*", status=status.name, times=8)
    calls: list[Callable[[], object]] = [
        client.log_in,
        client.listing,
        lambda: client.start(clip()),
        lambda: client.state(session_id),
        lambda: client.stop(session_id),
        lambda: client.destroy(session_id),
        lambda: list(client.download(session_id, "x")),
        lambda: list(client.call(client.domain.ListCameras, ALL)),
    ]
    assert [refusal(call)[0] for call in calls] == [status] * 8


def test_a_restart_can_forget_everything(served: Served) -> None:
    simulator, client = served
    session_id = add(served)
    simulator.restart()
    client.log_in()
    assert session_id in client.listed()
    simulator.restart(forget=True)
    client.log_in()
    assert client.listed() == {}
    assert len(simulator.add_samples(1000)) == 1000
    assert len(client.listed()) == 100


def test_stopping_the_simulator_ends_calls_that_are_held(served: Served) -> None:
    simulator, client = served
    simulator.faults.add(method="DownloadFile", action="stall", after_chunks=1)
    call = client.download(add(served), "x", kb=1)
    next(call)
    simulator.stop()
    # The connection ends, or the call on it: which of them the client sees first is not said.
    assert refusal(next, call)[0] in (Status.UNAVAILABLE, Status.CANCELLED)
    simulator.calls.wait_for("DownloadFile", 1, TIMEOUT_S)
    simulator.start()
    client.log_in()
