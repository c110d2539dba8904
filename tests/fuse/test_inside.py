"""What a mount lets be seen of itself: metrics that Prometheus can read, its tasks, and who read what."""

import os
import re
import signal
import subprocess
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fuse.harness import PASSWORD, QUICK, USER, Rig, pattern_file, wait_until
from tests.unit.test_monitoring import DOCUMENTED

Rigs = Callable[..., Rig]


def series(rig: Rig) -> dict[str, float]:
    """Return the values by name and labels, without the label that all have."""
    text = (rig.path / ".axxonfs" / "metrics.prom").read_text()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("mountpoint") == str(rig.path)
            name = sample.name + "".join(f",{key}={value}" for key, value in sorted(labels.items()) if key != "version")
            found[name] = sample.value
    return found


def wait_for(rig: Rig, name: str, value: float) -> None:
    wait_until(lambda: series(rig).get(name) == value, f"{name} {value}")


def test_metrics_are_those_that_are_documented_and_no_secret_is_among_them(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    rig.exported()
    wait_for(rig, "axxonfs_sessions,own=true,state=completed", 1)
    names = {name.partition(",")[0] for name in series(rig)}
    assert names == DOCUMENTED
    text = (rig.path / ".axxonfs" / "metrics.prom").read_text()
    assert PASSWORD not in text
    assert USER not in re.sub(re.escape(str(rig.path)), "", text)


def test_metrics_follow_what_happens(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    before = series(rig)
    assert before["axxonfs_login_state,state=ok"] == 1
    assert before["axxonfs_certificate_not_after_timestamp_seconds"] > 4e9
    assert abs(before["axxonfs_clock_ahead_seconds"]) < 5
    clip = rig.exported()
    wait_for(rig, "axxonfs_unread_sessions", 1)
    assert series(rig)["axxonfs_unread_session_end_timestamp_seconds"] > before["axxonfs_mount_start_time_seconds"]
    with clip.open("rb") as file:
        size = len(file.read())
        wait_for(rig, "axxonfs_results_open", 1)
        assert series(rig)["axxonfs_reads_served_bytes_total"] >= size
    wait_for(rig, "axxonfs_unread_sessions", 0)
    wait_for(rig, "axxonfs_results_open", 0)


@pytest.mark.expects_warnings("server away")
@pytest.mark.expects_warnings("login not renewed")
def test_a_server_that_is_away_and_a_login_that_is_refused_show(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    assert series(rig)["axxonfs_server_away"] == 0
    rig.sim.stop()
    wait_for(rig, "axxonfs_server_away", 1)
    rig.sim.logins.set_password(USER, "another")
    rig.sim.start()
    wait_for(rig, "axxonfs_login_state,state=refused", 1)
    assert series(rig)["axxonfs_login_state,state=ok"] == 0
    (rig.scratch / "password").write_text("another")
    wait_for(rig, "axxonfs_server_away", 0)
    wait_for(rig, "axxonfs_login_state,state=ok", 1)


def test_a_signal_has_tasks_and_reads_that_wait_written_into_the_log(rigs: Rigs) -> None:
    rig = rigs()
    result = rig.hold_bytes(3 << 20)
    fault = rig.sim.faults.add(method="DownloadFile", action="stall", times=100)
    reader = subprocess.Popen(["cat", result], stdout=subprocess.DEVNULL)
    try:
        assert rig.sim.faults.wait_for_hits(fault, 1, 30)
        assert rig.process is not None
        os.kill(rig.process.pid, signal.SIGUSR1)
        [line] = wait_until(lambda: re.findall(r"inside result (.*)", rig.log.read_text()), "the dump")
        assert "waiting_bytes=0-" in line
        log = rig.log.read_text()
        assert re.search(r"inside request name=read numbers=\d+,0,\d+ for_s=", log), log
        assert re.search(r"inside task name=\S+ waits=\S*reader\._\w+:\d+", log), log
    finally:
        rig.sim.faults.clear()
        assert reader.wait(30) == 0


def test_who_read_how_much_of_a_result_is_one_line_of_the_log(rigs: Rigs) -> None:
    rig = rigs()
    result = rig.results(rig.hold(pattern_file(200_000)))[0]
    descriptor = os.open(result, os.O_RDONLY | os.O_DIRECT)
    os.close(descriptor)
    result.read_bytes()
    lines = wait_until(lambda: re.findall(r" INFO .*result closed (.*)", rig.log.read_text())[1:], "both lines")
    first = re.findall(r"result closed (.*)", rig.log.read_text())[0]
    assert f"uid={os.getuid()} bytes=0 whole=no" in first
    assert lines == [first.replace("bytes=0 whole=no", "bytes=200000 whole=yes")]
