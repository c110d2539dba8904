"""`doctor --report` tells what a server does: the simulator under each of its switches, seen from outside."""

import dataclasses
import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axxonfs.cli.main import main
from axxonfs.core.options import marker_of
from axxonfs.doctor import shapes
from axxonfs.simulator import switches
from axxonfs.simulator.switches import Switches
from tests.rpc.support import PASSWORD, USER, make_simulator, write_password

KIB = 1024
# A client cannot see these, and why.
UNSEEN = {"chunk_size_zero": "never sent: some servers might do without a bound then"}

Seen = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A switch set to a value, and how that must look in the report."""

    assignment: str
    looks: Callable[[Any], bool]
    question: str = ""  # the switch's name, unless it says otherwise
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    patience: str = "0s"

    @property
    def asked(self) -> str:
        return self.question or self.assignment.partition("=")[0]


def status(name: str) -> Callable[[Seen], bool]:
    return lambda seen: seen["status"] == name


# Live slowly enough to be seen running: 10 s of footage take two.
RUNNING = {"export_speed": 5.0}
LARGE = {"file_size_bytes": 2 << 20}
# A token of two seconds; the mount's timers divided so that an hour is three seconds.
SHORT_TOKEN = LARGE | {"token_life_s": 2.0}
SHORT_HOUR = {"file_size_bytes": 8 << 20, "time_factor": 1200.0, "token_life_s": 300.0 * 1200}

CASES = [
    Case("login=check", lambda seen: seen == "the server takes account and password"),
    Case("login=general", lambda seen: seen.startswith("the server could not log this account in")),
    Case("login=locked", lambda seen: seen.startswith("the account is locked")),
    Case("login=ip_blocked", lambda seen: seen.startswith("the server blocks this machine's address")),
    Case("login=already_logged", lambda seen: seen.startswith("the account is logged in elsewhere")),
    Case("login=second_factor", lambda seen: seen.startswith("the account asks for a second factor")),
    Case("login=limit", lambda seen: seen.startswith("the server has too many connections")),
    Case("token_cuts_streams=false", lambda s: s["came whole"], config=SHORT_TOKEN, patience="10s"),
    Case("token_cuts_streams=true", status("UNAUTHENTICATED"), config=SHORT_TOKEN, patience="10s"),
    Case("session_id=node", lambda seen: seen == ["hosts/a{6}/<uuid>"]),
    Case("session_id=uuid", lambda seen: seen == ["<uuid>"]),
    Case("file_id=uuid", lambda seen: seen == ["<uuid>"]),
    Case("file_id=name", lambda seen: any("DeviceIpint" in form and form.endswith(".mkv") for form in seen)),
    Case("file_id=slash", lambda seen: "<uuid>/9{1}.mkv" in seen),
    *(
        Case(f"timestamp_digits={digits}", lambda s, d=digits: f"9{{8}}T9{{6}}.9{{{d}}}" in s["shapes"])  # type: ignore[misc]
        for digits in (3, 6, 9)
    ),
    Case("session_id=hostile", lambda seen: any("<U+0000>" in form and "<U+202E>" in form for form in seen)),
    Case("file_id=hostile", lambda seen: any("../" in form for form in seen)),
    Case("camera_names=plain", lambda seen: (seen["empty"], seen["not printable"]) == (0, 0)),
    Case("camera_names=hostile", lambda seen: seen["empty"] and seen["not printable"] and seen["longest"] > 255),
    Case("echoed_options=sent", lambda seen: seen == {"equal": True, "the same export": True, "mark kept": True}),
    Case("echoed_options=normalised", lambda seen: (seen["equal"], seen["the same export"]) == (False, True)),
    Case("echoed_options=stripped", lambda seen: (seen["equal"], seen["mark kept"]) == (False, False)),
    Case("timestamp_digits=0", lambda seen: seen["shapes"] == ["9{8}T9{6}"]),
    Case("timestamp_drops_zero=true", lambda seen: seen == ["left out"]),
    Case("timestamp_drops_zero=false", lambda seen: seen == ["written"]),
    Case("mime_type=common", lambda seen: "MKV: 'video/x-matroska'" in seen),
    Case("mime_type=other", lambda seen: "MKV: 'video/mkv'" in seen),
    Case("mime_type=empty", lambda seen: "MKV: ''" in seen),
    Case("running_as=1", lambda seen: seen == [1], config=RUNNING),
    Case("running_as=0", lambda seen: seen == [0], config=RUNNING),
    Case("running_as=17", lambda seen: seen == [17], config=RUNNING),
    Case("partial_result=false", lambda seen: seen["files"] == 0, config=RUNNING),
    Case("partial_result=true", lambda seen: seen["files"] > 0, config=RUNNING),
    Case("exports_fail=false", lambda seen: (seen["failed"], seen["succeeded"]) == (0, 4)),
    Case("exports_fail=true", lambda seen: (seen["failed"], seen["failed with files"]) == (1, 0)),
    Case("agent_file_limit=0", lambda seen: seen["of sessions without max_file_size"] == 1),
    Case("agent_file_limit=8192", lambda seen: seen["of sessions without max_file_size"] > 1),
    Case("size_error=0", lambda seen: seen["bytes"] == 0),
    Case("size_error=5", lambda seen: seen["bytes"] == -5),
    Case("removed_state_s=0", status("NOT_FOUND")),
    Case("removed_state_s=1.5", lambda seen: (seen["status"], seen["state"]) == ("OK", 3)),
    Case("destroys=true", status("NOT_FOUND"), question="removed_state_s"),
    Case("destroys=false", lambda s: (s["status"], s["state"] != 3) == ("OK", True), question="removed_state_s"),
    Case("destroyed_lingers_s=0", lambda seen: seen["listings with it"] == 0),
    Case("destroyed_lingers_s=1.5", lambda seen: seen["listings with it"] > 0 and 1 < seen["seconds"] < 6),
    Case("download_keeps=start", lambda s: s["afterwards"] == "NOT_FOUND", config=SHORT_HOUR, patience="60s"),
    Case("download_keeps=always", lambda s: s["afterwards"] == "OK", config=SHORT_HOUR, patience="60s"),
    Case("stop_completed=OK", status("OK")),
    Case("stop_completed=FAILED_PRECONDITION", status("FAILED_PRECONDITION")),
    Case("early_download=FAILED_PRECONDITION", status("FAILED_PRECONDITION"), config=RUNNING),
    Case("early_download=NOT_FOUND", status("NOT_FOUND"), config=RUNNING),
    Case("early_download=INTERNAL", status("INTERNAL"), config=RUNNING),
    Case("no_agent=", status("OK")),
    Case("no_agent=UNAVAILABLE", status("UNAVAILABLE")),
    Case("no_agent=NOT_FOUND", status("NOT_FOUND")),
    Case("no_agent=INTERNAL", status("INTERNAL")),
    Case("no_agent=INTERNAL", lambda seen: seen["agents"] == 0, question="agents_listed"),
    Case("node_offline=false", status("OK")),
    Case("node_offline=true", status("UNAVAILABLE")),
    Case("bad_time=INVALID_ARGUMENT", status("INVALID_ARGUMENT")),
    Case("bad_time=silent", lambda seen: (seen["status"], seen["it ended with files"]) == ("OK", 0)),
    Case("empty_storages=refuse", status("INVALID_ARGUMENT")),
    Case("empty_storages=accept", lambda seen: (seen["status"], seen["it ended with files"]) == ("OK", 1)),
    Case("chunk_size_limit_kb=65536", lambda seen: seen["1024"]["bytes"] == 1024 * KIB, config=LARGE),
    Case("chunk_size_limit_kb=128", lambda seen: seen["1024"]["bytes"] == 128 * KIB, config=LARGE),
    Case("chunk_index=absolute", lambda seen: seen["index"] == 1, config=LARGE),
    Case("chunk_index=relative", lambda seen: seen["index"] == 0, config=LARGE),
    Case("past_end=OK", lambda seen: (seen["status"], seen["chunks"]) == ("OK", 0)),
    Case("past_end=OUT_OF_RANGE", status("OUT_OF_RANGE")),
    Case("past_end=INVALID_ARGUMENT", status("INVALID_ARGUMENT")),
    Case("empty_last_chunk=false", lambda seen: seen["chunks"] == seen["full chunks"], config=LARGE),
    Case("empty_last_chunk=true", lambda seen: seen["chunks"] == seen["full chunks"] + 1, config=LARGE),
    Case("default_page_size=100", lambda seen: (seen["sessions"], seen["more follow"]) == (4, False)),
    Case("default_page_size=2", lambda seen: (seen["sessions"], seen["more follow"]) == (2, True)),
    Case("token_alone=false", lambda seen: seen == {"with sessions": 1, "alone": 0}),
    Case("token_alone=true", lambda seen: seen == {"with sessions": 0, "alone": 1}),
    Case("sessions_of_all=true", lambda seen: seen["without the mark of axxonfs"] == 3),
    Case("sessions_of_all=false", lambda seen: seen["without the mark of axxonfs"] == 0),
    Case("incomplete_camera=false", lambda seen: seen["incomplete"] == 0),
    Case("incomplete_camera=true", lambda seen: seen["incomplete"] == 1),
    Case("unknown_fields=false", lambda seen: seen == {}),
    Case("unknown_fields=true", lambda seen: seen["ListSessionsResponse"] == [1999]),
]


def report_of(tmp_path: Path, assignment: str, *more: str, options: str = "", **config: Any) -> dict[str, Seen]:
    """Run the command against a simulator with three sessions of somebody else; return the questions by their names."""
    file, password = tmp_path / "report.json", write_password(tmp_path / "password")
    with make_simulator(tmp_path, switches=switches.parse([assignment]), sessions=3, **config) as simulator:
        words = f"tls_ca={simulator.ca_file},password_file={password.path},state_dir={tmp_path / 'state'}{options}"
        main(["doctor", f"{USER}@127.0.0.1:{simulator.port}", "-o", words, "--report", str(file), *more])
        held = simulator.sessions.records()
    left = [record for record in held if marker_of(record.options)]
    assert bool(left) == (assignment == "destroys=false"), "what was started is destroyed, unless the server does not"
    assert not simulator.calls.count("DestroySession") > simulator.calls.count("StartSession")
    text = file.read_text()
    assert PASSWORD not in text
    assert not [name for name in ("Front door", "AliceBlue", "127.0.0.1", "hosts/Server") if name in text]
    return {row["question"]: row for row in json.loads(text)["questions"]}


Reports = Callable[[Case], dict[str, Seen]]


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "missing" / "report.json"
    assert main(["doctor", "--report", str(file)]) == 2
    said = capsys.readouterr()
    assert (said.out, f"--report: {file} cannot be written" in said.err) == ("", True)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """Make the report for a case; what is the default of a switch is the same report for all."""
    made: dict[tuple[Any, ...], dict[str, Seen]] = {}

    def report(case: Case) -> dict[str, Seen]:
        is_default = switches.parse([case.assignment]) == Switches()
        key = ("" if is_default else case.assignment, tuple(case.config.items()), case.patience)
        if key not in made:
            options = f",time_factor={case.config.get('time_factor', 1.0)}"
            words = ("--start", "--patience", case.patience)
            made[key] = report_of(
                tmp_path_factory.mktemp("report"), case.assignment, *words, options=options, **case.config
            )
        return made[key]

    return report


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.assignment} {case.question}".strip())
def test_the_report_tells_what_a_switch_does(case: Case, reports: Reports) -> None:
    row = reports(case)[case.asked]
    assert row["observed"] is not None, row["why_not"]
    assert case.looks(row["observed"]), row["observed"]


def test_every_value_of_every_switch_is_looked_at_or_it_is_said_why_not() -> None:
    wanted = set()
    for field in dataclasses.fields(Switches):
        kind = typing.get_type_hints(Switches)[field.name]
        values: tuple[object, ...] = (False, True) if kind is bool else typing.get_args(kind)
        shown = {str(value).lower() if isinstance(value, bool) else str(value) for value in values}
        wanted |= {(field.name, value) for value in shown if field.name not in UNSEEN}
        if not values:
            assert len({case.assignment for case in CASES if case.asked == field.name}) > 1, field.name
    assert wanted <= {(name, value) for case in CASES for name, _, value in [case.assignment.partition("=")]}


@pytest.mark.parametrize("switch", UNSEEN)
def test_what_cannot_be_seen_is_in_the_report_with_why(switch: str, tmp_path: Path) -> None:
    row = report_of(tmp_path, f"{switch}={Switches().chunk_size_zero}")[switch]
    assert (row["observed"], row["why_not"]) == (None, UNSEEN[switch])


def test_without_consent_only_what_exists_is_looked_at(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    report = report_of(tmp_path, "login=check", call_log=log, file_size_bytes=64 * KIB)
    made = {json.loads(line)["method"] for line in log.read_text().splitlines()}
    assert not made & {"StartSession", "StopSession", "DestroySession"}
    assert report["chunk_index"]["observed"] == {"index": 1, "status": "OK", "words": ""}
    assert report["early_download"]["why_not"] == "only an export shows it: --start"
    assert '"chunk_size_kb": "0"' not in log.read_text()


def test_a_report_that_cannot_be_written_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--report", str(tmp_path / "no" / "report.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_no_start_of_the_report_leaves_an_export_behind_or_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, password = tmp_path / "report.json", write_password(tmp_path / "password")
    with make_simulator(tmp_path, switches=Switches(bad_time="silent", empty_storages="accept")) as simulator:
        # The first is the examination's; then come the report's three.
        simulator.faults.add(method="StartSession", action="lose_reply", times=4)
        words = f"tls_ca={simulator.ca_file},password_file={password.path},state_dir={tmp_path / 'state'}"
        command = ["doctor", f"{USER}@127.0.0.1:{simulator.port}", "-o", words, "--report", str(file), "--start"]
        main(command)
        assert (simulator.calls.count("StartSession"), simulator.sessions.records()) == (4, [])
        assert not capsys.readouterr().err
        simulator.faults.add(method="DestroySession", times=100)
        main(command)
        left, said = simulator.sessions.records(), capsys.readouterr()
    assert len(left) == 4
    assert all(record.session_id in " ".join((said.out + said.err).split()) for record in left)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("hosts/ACME-HQ/4c4f1d2e-0000-4000-8000-00000000beef", "hosts/a{4}-a{2}/<uuid>"),
        (
            "hosts/Server/DeviceIpint.12/SourceEndpoint.video:0:0",
            "hosts/a{6}/DeviceIpint.9{2}/SourceEndpoint.video:9{1}:9{1}",
        ),
        ("20260511T080814.064000", "9{8}T9{6}.9{6}"),
        ("Склад_DeviceIpint.1[a].mp4", "a{5}_DeviceIpint.9{1}[a{1}].mp4"),
        ("myhosts", "a{7}"),
        ("", ""),
    ],
)
def test_a_shape_says_what_a_text_is_made_of_and_not_whose_it_is(text: str, form: str) -> None:
    assert shapes.shape(text) == form


def test_a_sentence_keeps_its_words_and_loses_its_names() -> None:
    text = "Can't resolve reference to hosts/ACME/DeviceIpint.1 of 'Bank vault' on vms.acme.com now"
    said = shapes.sentence(text)
    assert not [name for name in ("ACME", "vault", "acme") if name in said]
    assert said.startswith("Can't resolve reference to hosts/a{4}/DeviceIpint.9{1}")
    assert said.endswith("now")
