"""Rules for alerts, metrics and their documentation name the same things; and the clocks behind two of them."""

import dataclasses
import math
import re

import pytest
import yaml

from axxonfs.core import sessions, timers
from axxonfs.reading.pool import Counters
from tests.unit import builders
from tests.unit.test_docs import DOCUMENTS, ROOT, SEMANTICS, SOURCES, rows

RULES = [
    rule
    for group in yaml.safe_load((ROOT / "docs" / "axxonfs.rules.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
DOCUMENTED = {word for row in rows(SEMANTICS, "metrics") for word in re.findall(r"`(axxonfs_\w+)`", row[0])}
TABLE = timers.Timers()
# What node_exporter says by itself.
FOREIGN = {"node_textfile_scrape_error"}


def test_every_number_of_reading_is_a_metric_that_is_documented() -> None:
    levels = {"streams_open"}
    numbers = [field.name for field in dataclasses.fields(Counters) if isinstance(field.default, int | float)]
    names = {f"axxonfs_reads_{name}{'' if name in levels else '_total'}" for name in numbers}
    assert {name for name in DOCUMENTED if name.startswith("axxonfs_reads_")} == names


def test_every_metric_in_any_document_is_in_the_table() -> None:
    named = {word for text in DOCUMENTS.values() for word in re.findall(r"axxonfs_[a-z_]+(?=[{`\s])", text)}
    assert named - {"axxonfs_reads_"} <= DOCUMENTED


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_exist_and_says_what_to_do(rule: dict[str, object]) -> None:
    names = set(re.findall(r"\b(?:axxonfs|node)_\w+", str(rule["expr"])))
    assert names
    assert names <= DOCUMENTED | FOREIGN
    annotations = rule["annotations"]
    assert isinstance(annotations, dict)
    assert set(annotations) == {"summary", "description"}
    # A template may only show labels that the metric has.
    shown = set(re.findall(r"\$labels\.(\w+)", str(annotations)))
    assert shown <= {"mountpoint", "state", "instance"}


def test_there_is_an_alert_for_each_thing_that_somebody_must_mend() -> None:
    assert {
        "AxxonfsUnreadSessionNearItsEnd",
        "AxxonfsKeepAliveLate",
        "AxxonfsLoginRefused",
        "AxxonfsCertificateNearItsEnd",
        "AxxonfsBreakerOpen",
    } <= {rule["alert"] for rule in RULES}


def test_only_one_module_makes_metrics() -> None:
    assert [str(path) for path, text in SOURCES.items() if "prometheus_client" in text] == ["fs/metrics.py"]


# -- the clocks ----------------------------------------------------------------------

DONE = sessions.session_of(builders.completed())


def own(**facts: object) -> sessions.Facts:
    return sessions.Facts(own=True, finished_s=1000.0, touched_s=1000.0, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "end_s"),
    [
        (own(), 1000.0 + TABLE.keep_results_s + TABLE.completed_s),
        (own(released=True), 1000.0 + TABLE.completed_s),
        (own(keep_until_s=5000.0), 5000.0 + TABLE.completed_s),
        (own(keep_until_s=math.inf), None),
        (own(read_whole={file.path for file in DONE.files}), None),
        (sessions.Facts(finished_s=2000.0), 2000.0 + TABLE.completed_s),
        (sessions.Facts(), None),
    ],
)
def test_an_unread_session_goes_one_timer_after_the_mount_lets_it_go(
    facts: sessions.Facts, end_s: float | None
) -> None:
    assert sessions.unread_end_s(DONE, facts, TABLE) == end_s


def test_a_keep_alive_is_late_once_its_time_has_passed_and_only_where_one_is_needed() -> None:
    due_s = 1000.0 + TABLE.keep_completed_s
    assert sessions.keep_alive_late_s(DONE, own(), TABLE, due_s - 1) == 0
    assert sessions.keep_alive_late_s(DONE, own(), TABLE, due_s + 7) == 7
    assert sessions.keep_alive_late_s(DONE, own(released=True), TABLE, due_s + 7) == 0
