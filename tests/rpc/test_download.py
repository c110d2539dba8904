"""Streams of chunks into trio, from the simulator over TLS and from a server that counts what it gave away."""

import collections
import contextlib
import itertools
import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
import trio
import trio.testing

from axxonfs.core import errors
from axxonfs.core.chunks import KIB, ChunkSizeClampedError, CountedAnewError
from axxonfs.core.line import IN_FLIGHT_BYTES
from axxonfs.remote import download
from axxonfs.remote.channel import MOUNT_CONNECTIONS
from axxonfs.remote.download import Batch, DownloadStream, Limits
from axxonfs.remote.exports import ExportClient
from axxonfs.simulator.faults import Action
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.wire import authentication_pb2, domain_pb2, export_service_pb2
from tests.rpc.support import GOOD_LOGIN, TIMEOUT_S, connect, finished, make_simulator, scripted

CHUNK = 16 * KIB
SIZE = 100 * CHUNK + 77
COUNT = 101
LARGE_CHUNK = 64 * KIB
WIDE_BYTES = IN_FLIGHT_BYTES[3]


class Result:
    """A finished export of a simulator, and the bytes that its file must have."""

    def __init__(self, simulator: Simulator, client: ExportClient) -> None:
        self.simulator = simulator
        self.client = client
        self.session_id, self.file = finished(simulator, client)
        self.content = simulator.sessions.result_bytes(self.session_id, self.file.path)

    def stream(
        self,
        start_index: int = 0,
        *,
        chunk_size_bytes: int = CHUNK,
        relative: bool | None = None,
        stall_timeout_s: float = TIMEOUT_S,
        waiting_bytes: int = 64 * CHUNK,
    ) -> DownloadStream:
        return DownloadStream(
            self.client,
            self.session_id,
            self.file.path,
            chunk_size_bytes=chunk_size_bytes,
            start_index=start_index,
            file_size_bytes=self.file.size,
            relative=relative,
            limits=Limits(waiting_bytes, stall_timeout_s),
        )


@pytest.fixture
def result(tmp_path: Path) -> Iterator[Result]:
    with (
        make_simulator(tmp_path, file_size_bytes=SIZE) as simulator,
        contextlib.closing(connect(simulator, tmp_path)) as link,
    ):
        yield Result(simulator, ExportClient(link))


async def read(stream: DownloadStream, before: Batch | None = None) -> Batch:
    """Return all that a stream brings, added to `before`, which has it even if the stream ends in an error."""
    chunks = [] if before is None else before
    async with contextlib.aclosing(stream):
        while batch := await stream.receive():
            chunks += batch
        return chunks


def joined(chunks: Batch) -> bytes:
    return b"".join(data for _, data in chunks)


def download_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("download-")]


# --- right bytes


@pytest.mark.parametrize("switches", [Switches(), Switches(unknown_fields=True), Switches(empty_last_chunk=True)])
@pytest.mark.parametrize("chunk_size_bytes", [CHUNK, SIZE - SIZE % KIB, 4095 * KIB])
async def test_a_whole_file_arrives_in_order(result: Result, switches: Switches, chunk_size_bytes: int) -> None:
    result.simulator.switches = switches
    chunks = await read(result.stream(chunk_size_bytes=chunk_size_bytes))
    assert [index for index, _ in chunks] == [*range(-(-SIZE // chunk_size_bytes))]
    assert joined(chunks) == result.content


async def test_a_file_that_ends_with_an_empty_chunk_is_whole(tmp_path: Path) -> None:
    switches = Switches(empty_last_chunk=True)
    made = make_simulator(tmp_path, file_size_bytes=4 * CHUNK, switches=switches)
    with made as simulator, contextlib.closing(connect(simulator, tmp_path)) as link:
        assert len(await read(Result(simulator, ExportClient(link)).stream())) == 4


@pytest.mark.parametrize("start_index", [1, 50, COUNT - 1])
@pytest.mark.parametrize("counting", ["absolute", "relative"])
async def test_a_file_is_read_from_the_middle_whatever_the_server_counts_from(
    result: Result, start_index: int, counting: str
) -> None:
    result.simulator.switches = Switches(chunk_index="relative" if counting == "relative" else "absolute")
    stream = result.stream(start_index)
    chunks = await read(stream)
    assert stream.relative is (counting == "relative")
    assert [index for index, _ in chunks] == [*range(start_index, COUNT)]
    assert joined(chunks) == result.content[start_index * CHUNK :]


async def test_what_was_learnt_about_the_server_holds_for_the_next_stream(result: Result) -> None:
    with pytest.raises(CountedAnewError):
        await read(result.stream(5, relative=True))


async def test_a_start_at_the_end_of_the_file_brings_nothing(result: Result) -> None:
    assert await read(result.stream(COUNT)) == []


# --- or an error


@pytest.mark.parametrize("action", ["wrong_index", "short_chunk"])
@pytest.mark.parametrize("after_chunks", [0, 3, COUNT - 1])
async def test_a_chunk_that_is_not_the_one_that_was_due_is_never_delivered(
    result: Result, action: Action, after_chunks: int
) -> None:
    result.simulator.faults.add(method="DownloadFile", action=action, after_chunks=after_chunks)
    received: Batch = []
    with pytest.raises(errors.WrongBytesError):
        await read(result.stream(), received)
    assert len(received) == after_chunks
    assert result.content.startswith(joined(received))


async def test_a_server_that_limits_chunks_is_recognised_with_the_size_to_use(result: Result) -> None:
    result.simulator.switches = Switches(chunk_size_limit_kb=8)
    with pytest.raises(ChunkSizeClampedError) as caught:
        await read(result.stream())
    chunks = await read(result.stream(chunk_size_bytes=caught.value.chunk_size_bytes))
    assert joined(chunks) == result.content


@pytest.mark.parametrize("difference", [-1, 1, -CHUNK, CHUNK])
async def test_a_file_of_another_size_than_was_listed_is_an_error(result: Result, difference: int) -> None:
    result.file.size += difference
    with pytest.raises((errors.WrongBytesError, errors.StreamBrokenError)):
        await read(result.stream())


async def test_an_early_end_is_a_break(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="end", after_chunks=7)
    with pytest.raises(errors.StreamBrokenError, match="ended before chunk 7"):
        await read(result.stream())


@pytest.mark.parametrize("status", ["UNAVAILABLE", "INTERNAL", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED"])
async def test_a_stream_that_is_cut_is_a_break_that_can_be_resumed(result: Result, status: str) -> None:
    result.simulator.faults.add(method="DownloadFile", action="cut", status=status, after_chunks=7)
    received: Batch = []
    with pytest.raises(errors.StreamBrokenError):
        await read(result.stream(), received)
    received += await read(result.stream(7))
    assert joined(received) == result.content


async def test_a_failure_after_the_last_chunk_is_the_end_of_the_file(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="cut", after_chunks=COUNT)
    assert joined(await read(result.stream())) == result.content


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("UNAVAILABLE", errors.ServerAwayError),
        ("NOT_FOUND", errors.SessionGoneError),
        ("PERMISSION_DENIED", errors.AccessError),
        ("FAILED_PRECONDITION", errors.RefusedError),
    ],
)
async def test_a_download_that_does_not_begin_says_why(
    result: Result, status: str, kind: type[errors.AxxonfsError]
) -> None:
    result.simulator.faults.add(method="DownloadFile", status=status)
    with pytest.raises(kind) as caught:
        await read(result.stream())
    assert type(caught.value) is kind


async def test_a_session_that_is_destroyed_meanwhile_is_gone(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="cut", status="NOT_FOUND", after_chunks=3)
    with pytest.raises(errors.SessionGoneError):
        await read(result.stream())


async def test_an_unexpected_exception_in_the_thread_is_raised_to_the_reader(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("axxonfs.core.chunks.ChunkStream.accept", fail)
    with pytest.raises(ZeroDivisionError):
        await read(result.stream())
    assert download_threads() == []


# --- tokens


async def test_a_token_rejected_at_the_start_costs_one_fresh_login(result: Result) -> None:
    before = result.simulator.calls.count("AuthenticateEx2")
    result.simulator.logins.revoke_all()
    assert joined(await read(result.stream())) == result.content
    assert result.simulator.calls.count("AuthenticateEx2") == before + 1


async def test_a_token_rejected_again_is_an_error(result: Result) -> None:
    before = result.simulator.calls.count("AuthenticateEx2")
    result.simulator.faults.add(method="DownloadFile", status="UNAUTHENTICATED", times=10)
    with pytest.raises(errors.TokenRejectedError):
        await read(result.stream())
    assert result.simulator.calls.count("AuthenticateEx2") == before + 1
    assert result.simulator.calls.count("DownloadFile") == 2
    assert result.client.server_version()


async def test_a_token_that_ends_in_the_middle_is_for_the_reader_to_resume(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="cut", status="UNAUTHENTICATED", after_chunks=7)
    before = result.simulator.calls.count("AuthenticateEx2")
    with pytest.raises(errors.TokenRejectedError):
        await read(result.stream())
    assert result.simulator.calls.count("DownloadFile") == 1
    assert joined(await read(result.stream(7))) == result.content[7 * CHUNK :]
    assert result.simulator.calls.count("AuthenticateEx2") == before + 1


# --- waiting


async def test_a_silent_stream_is_a_break(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=7)
    received: Batch = []
    with pytest.raises(errors.StreamBrokenError, match="brought nothing for 1 s"):
        await read(result.stream(stall_timeout_s=1.0), received)
    assert len(received) == 7


async def test_a_silent_server_after_the_last_chunk_is_the_end_of_the_file(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=COUNT)
    assert joined(await read(result.stream(stall_timeout_s=1.0))) == result.content


async def test_a_cancelled_receive_loses_nothing(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=7)
    received: Batch = []
    async with contextlib.aclosing(result.stream()) as stream:
        while len(received) < 7:
            received += await stream.receive()
        with trio.move_on_after(0.05) as scope:
            await stream.receive()
        assert scope.cancelled_caught
        result.simulator.faults.clear()
        received += await read(stream)
    assert joined(received) == result.content


async def test_a_receive_in_a_cancelled_scope_takes_nothing(result: Result) -> None:
    async with contextlib.aclosing(result.stream()) as stream:
        received = [*await stream.receive()]
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive()
        assert scope.cancelled_caught
        received += await read(stream)
    assert joined(received) == result.content


# --- lent to a thread


AT_ONCE, LATER = 0.0, 0.002  # when the thread comes back for the next chunk


def take_all(stream: DownloadStream, start_index: int, pauses_s: Sequence[float]) -> Batch:
    """Be the thread: take chunks until there is none, with a pause after each; `pauses_s` are gone through again."""
    taken: Batch = []
    for pause_s in itertools.cycle(pauses_s):
        data = stream.take(start_index + len(taken), TIMEOUT_S)
        if data is None:
            return taken
        taken.append((start_index + len(taken), data))
        time.sleep(pause_s)
    raise AssertionError


async def lent(stream: DownloadStream, *, patience_s: float = TIMEOUT_S, keep: bool = True) -> Batch:
    """Lend a stream that has begun, and return what it brought before."""
    before = await stream.receive()
    stream.lend(patience_s, keep=keep)
    return before


@pytest.fixture
def in_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the thread count as one that comes back at once, however busy the machine is."""
    monkeypatch.setattr(download, "_AWAY_S", math.inf)


@contextlib.contextmanager
def counted_turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[collections.Counter[str]]:
    """Count who takes chunks out of the call: by the names of the threads, without their numbers."""
    turns: collections.Counter[str] = collections.Counter()
    fetch = DownloadStream._fetch

    def counted(stream: DownloadStream, **words: bool) -> None:
        turns[threading.current_thread().name.partition("-")[0]] += 1
        fetch(stream, **words)

    with monkeypatch.context() as patch:
        patch.setattr(DownloadStream, "_fetch", counted)
        yield turns


@pytest.mark.parametrize("pauses_s", [[AT_ONCE], [LATER], [AT_ONCE, AT_ONCE, LATER, AT_ONCE]])
async def test_a_thread_takes_each_chunk_once_however_soon_it_comes_back(
    result: Result, pauses_s: Sequence[float]
) -> None:
    async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
        before = await lent(stream)
        taken = await trio.to_thread.run_sync(take_all, stream, len(before), pauses_s)
        assert [(chunk.index, chunk.size_bytes) for chunk in stream.taken()] == [(i, len(data)) for i, data in taken]
        rest = await trio_rest(stream)
    assert joined([*before, *taken, *rest]) == result.content


async def trio_rest(stream: DownloadStream) -> Batch:
    """Take a stream back and return what it still brings."""
    stream.taken(back=True)
    return await read(stream)


async def test_who_comes_back_at_once_waits_in_the_call_and_for_others_it_is_fetched_meanwhile(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause_s, away_s, is_own in ((AT_ONCE, math.inf, True), (LATER, LATER / 2, False)):
        monkeypatch.setattr(download, "_AWAY_S", away_s)
        async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
            before = await lent(stream)
            with counted_turns(monkeypatch) as turns:
                await trio.to_thread.run_sync(take_all, stream, len(before), [pause_s])
            assert (turns["download"] < turns.total() / 2) == is_own, turns


async def test_what_is_not_to_be_kept_does_not_come_back(result: Result) -> None:
    async with contextlib.aclosing(result.stream()) as stream:
        before = await lent(stream, keep=False)
        await trio.to_thread.run_sync(take_all, stream, len(before), [AT_ONCE])
        taken = stream.taken()
    assert taken
    assert all(chunk.data is None for chunk in taken)
    assert [chunk.size_bytes for chunk in taken] == [CHUNK] * len(taken)


@pytest.mark.usefixtures("in_the_call")
async def test_a_chunk_that_a_thread_waits_for_is_not_lost_when_the_stream_is_taken_back(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=7)
    async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
        received = [*await lent(stream)]

        async def take() -> None:
            received.extend(await trio.to_thread.run_sync(take_all, stream, len(received), [AT_ONCE]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await waits_in_the_call(stream, 7)
            taken = stream.taken(back=True)
            result.simulator.faults.clear()
        assert [chunk.index for chunk in taken] == [index for index, _ in received[-len(taken) :]]
        received += await read(stream)
    assert joined(received) == result.content


async def waits_in_the_call(stream: DownloadStream, index: int) -> None:
    """Return once a thread waits for a chunk that does not come."""
    with trio.fail_after(TIMEOUT_S):
        while not stream.is_waited_for or stream._chunks._next != index:  # noqa: ASYNC110 - no event tells
            await trio.sleep(0.001)


@pytest.mark.parametrize(
    ("action", "kind"),
    [("cut", errors.StreamBrokenError), ("end", errors.StreamBrokenError), ("wrong_index", errors.WrongBytesError)],
)
@pytest.mark.parametrize("pause_s", [AT_ONCE, LATER])
async def test_what_a_thread_meets_in_the_call_is_raised_to_the_loop(
    result: Result, action: Action, kind: type[errors.AxxonfsError], pause_s: float
) -> None:
    result.simulator.faults.add(method="DownloadFile", action=action, after_chunks=7)
    async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
        before = await lent(stream)
        taken = await trio.to_thread.run_sync(take_all, stream, len(before), [pause_s])
        assert len(before) + len(taken) == 7
        stream.taken(back=True)
        with pytest.raises(kind):
            await stream.receive()
    assert download_threads() == []


@pytest.mark.usefixtures("in_the_call")
async def test_a_thread_that_waits_in_vain_is_let_go_after_its_patience(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=7)
    async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
        before = await lent(stream, patience_s=0.2)
        taken = await trio.to_thread.run_sync(take_all, stream, len(before), [AT_ONCE])
        assert len(before) + len(taken) == 7
        stream.taken(back=True)
        with pytest.raises(errors.StalledError):
            await stream.receive()
    assert download_threads() == []


@pytest.mark.usefixtures("in_the_call")
async def test_a_thread_that_waits_in_vain_is_let_go_of_a_stream_that_was_taken_back(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=7)
    async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
        before = await lent(stream, patience_s=0.2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, take_all, stream, len(before), [AT_ONCE])
            await waits_in_the_call(stream, 7)
            stream.taken(back=True)
            with pytest.raises(errors.StalledError, match=r"0\.2 s"):
                await stream.receive()


@pytest.mark.usefixtures("in_the_call")
async def test_after_the_last_chunk_the_call_ends_though_nobody_takes_more(result: Result) -> None:
    async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
        before = await lent(stream)
        for index in range(len(before), COUNT):
            assert await trio.to_thread.run_sync(stream.take, index, TIMEOUT_S) is not None
            assert stream.taken()
        with trio.fail_after(TIMEOUT_S):
            await stream._finished.wait()


@pytest.mark.usefixtures("in_the_call")
async def test_a_cancel_wakes_a_thread_that_waits_in_the_call(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=7)
    stream = result.stream(waiting_bytes=CHUNK)
    before = await lent(stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, take_all, stream, len(before), [AT_ONCE])
        await waits_in_the_call(stream, 7)
        stream.cancel()
    await stream.aclose()
    assert download_threads() == []


@pytest.mark.usefixtures("in_the_call")
@pytest.mark.parametrize("signal", [KeyboardInterrupt, TimeoutError])
async def test_a_signal_that_interrupts_a_thread_in_the_call_is_for_that_thread_and_breaks_the_stream(
    result: Result, monkeypatch: pytest.MonkeyPatch, signal: type[BaseException]
) -> None:
    async with contextlib.aclosing(result.stream(waiting_bytes=CHUNK)) as stream:
        before = await lent(stream)
        monkeypatch.setattr(stream, "_call", Interrupted(signal))
        with pytest.raises(signal):
            await trio.to_thread.run_sync(take_all, stream, len(before), [AT_ONCE])
        stream.taken(back=True)
        with pytest.raises(errors.StreamBrokenError, match="interrupted"):
            await read(stream)
    assert download_threads() == []


class Interrupted:
    """A call that a signal comes into, whose handler raises."""

    def __init__(self, signal: type[BaseException]) -> None:
        self._signal = signal

    def __next__(self) -> None:
        raise self._signal


# --- cancelling


async def test_cancel_wakes_the_reader_and_ends_the_thread_and_the_call(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=1)
    stream = result.stream()
    assert len(await stream.receive()) == 1

    async def wait() -> None:
        with pytest.raises(errors.StreamBrokenError, match="given up"):
            await stream.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        stream.cancel()
    await stream.aclose()
    assert download_threads() == []
    await trio.to_thread.run_sync(result.simulator.calls.wait_for, "DownloadFile", 1, TIMEOUT_S)
    assert result.simulator.calls.entries()[-1].status == "CANCELLED"


async def test_a_stream_that_is_cancelled_during_its_login_ends_without_waiting_for_chunks(tmp_path: Path) -> None:
    asked, may_answer, finished_call = threading.Event(), threading.Event(), threading.Event()

    def log_in(_request: object, _context: object) -> authentication_pb2.AuthenticateResponseEx:
        asked.set()
        may_answer.wait(TIMEOUT_S)
        return GOOD_LOGIN

    def silence(_request: object, context: grpc.ServicerContext) -> Iterator[export_service_pb2.FileChunk]:
        if context.add_callback(finished_call.set):
            finished_call.wait(TIMEOUT_S)
        return iter(())

    with scripted(tmp_path, AuthenticateEx2=log_in, DownloadFile=silence) as client:
        stream = endless_stream(client)
        assert await trio.to_thread.run_sync(asked.wait, TIMEOUT_S)
        stream.cancel()
        may_answer.set()
        await stream.aclose()
        assert download_threads() == []


async def test_closing_a_parked_stream_ends_its_thread(result: Result) -> None:
    stream = result.stream(waiting_bytes=CHUNK)
    await stream.receive()
    await stream.aclose()
    await stream.aclose()
    assert download_threads() == []


async def test_what_a_cancel_dropped_is_not_taken_for_the_end_of_the_file(result: Result) -> None:
    stream = result.stream(COUNT - 1)
    await stream._finished.wait()
    stream.cancel()
    with pytest.raises(errors.StreamBrokenError, match="given up"):
        await stream.receive()


async def test_a_cancel_after_the_end_changes_nothing(result: Result) -> None:
    stream = result.stream()
    chunks = await read(stream)
    stream.cancel()
    assert await stream.receive() == []
    assert joined(chunks) == result.content


async def test_a_stream_can_be_closed_in_a_cancelled_scope(result: Result) -> None:
    with trio.CancelScope() as scope:
        async with contextlib.aclosing(result.stream()):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert download_threads() == []


async def test_closing_the_link_breaks_its_streams(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=3)
    received: Batch = []
    async with contextlib.aclosing(result.stream()) as stream:
        while len(received) < 3:
            received += await stream.receive()
        await trio.to_thread.run_sync(result.client.link.close)
        with pytest.raises(errors.StreamBrokenError):
            await stream.receive()


async def test_sixteen_players_that_begin_together_share_no_connection(tmp_path: Path) -> None:
    peers: set[str] = set()

    def answer(_request: object, context: grpc.ServicerContext) -> Iterator[export_service_pb2.FileChunk]:
        peers.add(context.peer())
        yield export_service_pb2.FileChunk(index=0, data=bytes(CHUNK))

    with scripted(tmp_path, least_connections=MOUNT_CONNECTIONS, DownloadFile=answer) as client:
        for _ in range(16):
            stream = DownloadStream(
                client, "s", "f", chunk_size_bytes=CHUNK, start_index=0, file_size_bytes=CHUNK, limits=Limits()
            )
            async with contextlib.aclosing(stream):
                assert len(joined(await read(stream))) == CHUNK
    assert len(peers) == 16


# --- back-pressure


class Counting:
    """DownloadFile of an endless file, which counts the chunks that gRPC took from it in all calls."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(
        self, request: export_service_pb2.DownloadFileRequest, _: object
    ) -> Iterator[export_service_pb2.FileChunk]:
        data = bytes(request.chunk_size_kb * KIB)
        for index in itertools.count():
            yield export_service_pb2.FileChunk(index=index, data=data)
            self.given += 1

    async def settled(self) -> int:
        """Return how many were given once that number stands still."""
        before = -1
        while self.given != before:
            before = self.given
            await trio.sleep(0.1)
        return self.given


@contextlib.contextmanager
def endless(tmp_path: Path) -> Iterator[tuple[Counting, ExportClient]]:
    counting = Counting()
    version = domain_pb2.GetVersionResponse(Version="4")
    with scripted(tmp_path, DownloadFile=counting, GetVersion=lambda _request, _context: version) as client:
        yield counting, client


def endless_stream(client: ExportClient) -> DownloadStream:
    limits = Limits(waiting_bytes=4 * LARGE_CHUNK, in_flight_bytes=WIDE_BYTES)
    return DownloadStream(
        client, "s", "f", chunk_size_bytes=LARGE_CHUNK, start_index=0, file_size_bytes=1 << 40, limits=limits
    )


async def test_a_reader_that_takes_its_time_stops_the_server(tmp_path: Path) -> None:
    with endless(tmp_path) as (counting, client):
        async with contextlib.aclosing(endless_stream(client)) as stream:
            await stream.receive()
            given = await counting.settled()
            assert given * LARGE_CHUNK < 3 * WIDE_BYTES
            received = 0
            while received <= given:
                received += len(await stream.receive())
            assert await counting.settled() > given


async def test_a_batch_is_never_larger_than_what_may_wait(tmp_path: Path) -> None:
    with endless(tmp_path) as (counting, client):
        async with contextlib.aclosing(endless_stream(client)) as stream:
            await stream.receive()
            await counting.settled()
            assert len(await stream.receive()) == 4


async def test_control_and_other_streams_work_while_parked_streams_fill_the_data_connection(tmp_path: Path) -> None:
    with endless(tmp_path) as (counting, client):
        async with contextlib.AsyncExitStack() as stack:
            parked = [await stack.enter_async_context(contextlib.aclosing(endless_stream(client))) for _ in range(4)]
            for stream in parked:
                await stream.receive()
            await counting.settled()
            assert await trio.to_thread.run_sync(client.server_version) == "4"
            other = await stack.enter_async_context(contextlib.aclosing(endless_stream(client)))
            received = 0
            while received * LARGE_CHUNK < 2 * WIDE_BYTES:
                received += len(await other.receive())


async def test_control_works_while_downloads_saturate_the_data_connection(result: Result) -> None:
    async with trio.open_nursery() as nursery:

        async def saturate() -> None:
            while True:
                await read(result.stream())

        for _ in range(4):
            nursery.start_soon(saturate)
        for _ in range(20):
            await trio.to_thread.run_sync(result.client.session_state, result.session_id)
        nursery.cancel_scope.cancel()
    calls = [call.method for call in result.simulator.calls.entries()]
    assert 0 < calls.index("DownloadFile") < max(place for place, name in enumerate(calls) if name == "GetSessionState")


async def test_streams_have_threads_beyond_those_that_trio_lends(result: Result) -> None:
    result.simulator.faults.add(method="DownloadFile", action="stall", after_chunks=1, times=50)
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(contextlib.aclosing(result.stream())) for _ in range(50)]
        for stream in streams:
            assert len(await stream.receive()) == 1
        assert len(download_threads()) == 50
    assert download_threads() == []
