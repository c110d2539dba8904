import json
from pathlib import Path

import pytest

from axxonfs.simulator.calls import RUNNING, CallLog, summary
from axxonfs.wire.authentication_pb2 import AuthenticateRequest
from axxonfs.wire.export_pb2 import Options
from axxonfs.wire.export_service_pb2 import ListSessionsRequest, StartSessionRequest


def test_no_password_is_ever_written_down() -> None:
    options = Options()
    options.stream.settings.add(password="s3cr3t")
    options.settings.add(comment="kept")
    texts = [
        summary(AuthenticateRequest(user_name="root", password="s3cr3t")),
        summary(StartSessionRequest(session_options=options)),
    ]
    assert "s3cr3t" not in "".join(texts)
    assert 'user_name: "root"' in texts[0]
    assert "kept" in texts[1]


def test_a_request_is_summed_up_with_its_maps_and_in_any_script() -> None:
    options = Options()
    options.archive.sources.add(origin="Склад").mask_filter["x"].allow = True
    assert "Склад" in summary(StartSessionRequest(session_options=options))


def test_a_call_is_counted_from_its_beginning_and_has_its_status_from_its_end() -> None:
    log = CallLog()
    call = log.begin("ListSessions", ListSessionsRequest(page_size=3))
    assert log.count("ListSessions") == 1
    assert [entry.status for entry in log.entries()] == [RUNNING]
    log.end(call, "OK")
    assert [(entry.method, entry.request, entry.status) for entry in log.entries()] == [
        ("ListSessions", "page_size: 3", "OK")
    ]
    log.clear()
    assert log.count("ListSessions") == 0


def test_waiting_for_a_call_that_does_not_come_ends() -> None:
    log = CallLog()
    log.begin("ListSessions", ListSessionsRequest())
    with pytest.raises(TimeoutError, match="ListSessions"):
        log.wait_for("ListSessions", 1, timeout_s=0.01)


def test_the_file_has_a_line_of_json_for_each_call(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.jsonl")
    for status in ("OK", "NOT_FOUND"):
        log.end(log.begin("ListSessions", ListSessionsRequest()), status)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [(line["method"], line["status"]) for line in lines] == [
        ("ListSessions", "OK"),
        ("ListSessions", "NOT_FOUND"),
    ]
