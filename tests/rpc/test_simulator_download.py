"""DownloadFile of the simulator, over TLS."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.wire import export_pb2
from axxonfs.wire.export_service_pb2 import EState
from tests.rpc.simulated import TIMEOUT_S, Client, clip, finish, live_clip, refusal, simulated

Served = tuple[Simulator, Client]
Status = grpc.StatusCode
SIZE = 5_000_001
BIG = 1 << 40


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with simulated(tmp_path_factory.mktemp("simulator"), file_size_bytes=SIZE) as pair:
        yield pair


@pytest.fixture(autouse=True)
def usual_switches(served: Served) -> Iterator[None]:
    yield
    served[0].switches = Switches()


def add(served: Served, size: int = SIZE) -> str:
    """Add a finished session whose only result is called x."""
    return served[0].sessions.add(files=[ResultFile(path="x", size=size, kind="mkv", seed=9)])


@pytest.mark.parametrize("kb", [1, 16, 64, 1000, 4095, 100_000])
def test_a_result_comes_whole_whatever_the_size_of_chunks(served: Served, kb: int) -> None:
    session_id = add(served)
    chunks = list(served[1].download(session_id, "x", kb))
    assert b"".join(chunk.data for chunk in chunks) == pattern(9, 0, SIZE)
    assert [chunk.index for chunk in chunks] == list(range(-(-SIZE // (kb * 1024))))


def test_a_download_can_start_in_the_middle(served: Served) -> None:
    session_id = add(served)
    chunks = list(served[1].download(session_id, "x", kb=100, start=40))
    assert chunks[0].index == 40
    assert b"".join(chunk.data for chunk in chunks) == pattern(9, 40 * 102_400, SIZE - 40 * 102_400)


def test_the_log_says_how_many_chunks_each_download_has_sent(served: Served) -> None:
    simulator, client = served
    session_id = add(served)
    simulator.calls.clear()
    for start in (0, 40):
        assert list(client.download(session_id, "x", kb=100, start=start))
    simulator.calls.wait_for("DownloadFile", 2, TIMEOUT_S)
    assert [entry.messages for entry in simulator.calls.entries()] == [49, 9]


def test_the_tail_of_a_terabyte_is_there_at_once(served: Served) -> None:
    session_id = add(served, BIG)
    [chunk] = served[1].download(session_id, "x", kb=1024, start=(BIG >> 20) - 1)
    assert chunk.data == pattern(9, BIG - (1 << 20), 1 << 20)


@pytest.mark.parametrize(
    ("switches", "status"),
    [
        (Switches(early_download="FAILED_PRECONDITION"), Status.FAILED_PRECONDITION),
        (Switches(early_download="NOT_FOUND"), Status.NOT_FOUND),
        (Switches(early_download="INTERNAL"), Status.INTERNAL),
    ],
)
def test_nothing_can_be_downloaded_before_completion(served: Served, switches: Switches, status: Status) -> None:
    session_id = served[1].start(live_clip())
    served[0].switches = switches
    assert refusal(served[1].read, session_id, "x")[0] is status


def test_an_unknown_file_is_not_found(served: Served) -> None:
    assert refusal(served[1].read, add(served), "y")[0] is Status.NOT_FOUND


@pytest.mark.parametrize(
    ("switches", "status"),
    [
        (Switches(past_end="OUT_OF_RANGE"), Status.OUT_OF_RANGE),
        (Switches(past_end="INVALID_ARGUMENT"), Status.INVALID_ARGUMENT),
    ],
)
def test_switches_refuse_a_start_past_the_end(served: Served, switches: Switches, status: Status) -> None:
    session_id = add(served)
    assert list(served[1].download(session_id, "x", 64, 1000)) == []
    served[0].switches = switches
    assert refusal(lambda: list(served[1].download(session_id, "x", 64, 1000)))[0] is status


def test_a_cancelled_download_ends_at_once(served: Served) -> None:
    simulator, client = served
    session_id = add(served, BIG)
    simulator.calls.clear()
    call = client.download(session_id, "x", kb=1024)
    next(call)
    call.cancel()
    simulator.calls.wait_for("DownloadFile", 1, TIMEOUT_S)
    assert [entry.status for entry in simulator.calls.entries()] == ["CANCELLED"]


def test_a_download_of_a_destroyed_session_is_aborted(served: Served) -> None:
    session_id = add(served, BIG)
    call = served[1].download(session_id, "x", kb=1024)
    next(call)
    served[1].destroy(session_id)
    assert refusal(lambda: [None for _ in call])[0] is Status.NOT_FOUND


def test_many_downloads_run_side_by_side_and_leave_room_for_other_calls(served: Served) -> None:
    session_id = add(served, BIG)
    stalled = [served[1].download(session_id, "x", kb=64) for _ in range(50)]
    for call in stalled:
        next(call)
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda _: served[1].read(add(served), "x"), range(4))
    assert [len(content) for content in results] == [SIZE] * 4
    for call in stalled:
        call.cancel()


def test_a_drawn_result_is_downloaded_as_it_lies_on_disk(tmp_path: Path) -> None:
    with simulated(tmp_path) as (simulator, client):
        session_id, state = finish(simulator, client, clip())
        [file] = state.result.files
        content = client.read(session_id, file.path, kb=1)
        assert len(content) == file.size
        assert content == simulator.sessions.result_bytes(session_id, file.path)


@pytest.mark.parametrize("keeps", ["start", "always"])
def test_a_download_starts_the_hour_anew(tmp_path: Path, keeps: str) -> None:
    # An hour is a second.
    switches = Switches(download_keeps=keeps)  # type: ignore[arg-type]  # a table of literals
    with simulated(tmp_path, time_factor=3600, file_size_bytes=BIG, switches=switches) as (simulator, client):
        session_id, state = finish(simulator, client, clip())
        call = client.download(session_id, state.result.files[0].path, kb=1024)
        deadline_s = simulator.sessions.record(session_id).used_s + 2.0
        if keeps == "start":
            assert refusal(lambda: [None for _ in call])[0] is Status.NOT_FOUND
        else:
            while simulator.sessions.record(session_id).used_s < deadline_s:
                next(call)
            assert simulator.sessions.record(session_id).state == EState.S_COMPLETED
            call.cancel()


def test_large_pattern_results_are_split_at_the_limit(served: Served) -> None:
    options = clip()
    options.max_file_size = 2_000_000
    session_id, state = finish(*served, options)
    assert [file.size for file in state.result.files] == [2_000_000, 2_000_000, 1_000_001]
    contents = {served[1].read(session_id, file.path) for file in state.result.files}
    assert len(contents) == 3


def test_several_cameras_can_have_a_result_each(served: Served) -> None:
    options = clip((1, 2))
    options.archive.discrete = True
    assert len(finish(*served, options)[1].result.files) == 2
    options.stream.format = export_pb2.StreamType.AVI
    options.archive.discrete = False
    [file] = finish(*served, options)[1].result.files
    assert file.mime_type == "video/x-msvideo"
