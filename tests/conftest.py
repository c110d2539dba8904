"""What holds for all tests: a skip is a failure in CI, and undeclared warnings in the log fail a test."""

import logging
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("any speed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

pytest_plugins = ["tests.fuse.harness"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {report.longrepr}"
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "expects_warnings(part): the log may hold warnings whose text has this part")


@pytest.fixture(autouse=True)
def no_undeclared_warnings(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    parts = declared_warnings(request)
    records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    undeclared = [
        record.getMessage()
        for record in records
        if record.levelno >= logging.WARNING and not any(part in record.getMessage() for part in parts)
    ]
    assert not undeclared, undeclared


def declared_warnings(request: pytest.FixtureRequest) -> list[str]:
    """Return the parts of warnings that the test says it expects."""
    return [mark.args[0] for mark in request.node.iter_markers("expects_warnings")]
