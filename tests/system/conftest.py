"""The machine of the system tier, and a report that names what was promised and shown."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machine import Machine, cannot_boot, packages
from tests.system.site import Site, prepare

PROMISE = "promise"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{PROMISE}(text): what the test shows, for the report")


def pytest_runtest_makereport(item: pytest.Item) -> None:
    for mark in item.iter_markers(PROMISE):
        if (PROMISE, mark.args[0]) not in item.user_properties:
            item.user_properties.append((PROMISE, mark.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        (dict(report.user_properties)[PROMISE], outcome, report.duration)
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and PROMISE in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("what was promised")
    for promise, outcome, duration_s in rows:
        terminalreporter.write_line(f"{'shown' if outcome == 'passed' else outcome:<8} {promise} ({duration_s:.1f} s)")


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the packages installed, booted."""
    if reason := cannot_boot():
        pytest.skip(reason)
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        machine.boot()
        for path in packages():
            subprocess.run(["cp", path, machine.root / "root"], check=True)
        names = " ".join(f"./{path.name}" for path in packages())
        machine.run(f"cd /root && apt-get install -y --no-install-recommends {names}", timeout_s=300)
        yield machine
    finally:
        try:
            _keep_journal(machine)
        finally:
            machine.close()


def _keep_journal(machine: Machine) -> None:
    """Leave the journal where somebody may look who has to find out why a test failed."""
    if where := os.environ.get("AXXONFS_SYSTEM_JOURNAL"):
        Path(where).write_text(machine.ask("journalctl --no-pager"))


@pytest.fixture
def site(machine: Machine) -> Iterator[Site]:
    """The machine with a simulated server that answers, and nothing mounted."""
    site = prepare(machine)
    yield site
    site.clean()
