"""What a check found: a verdict, words, and a cure. Pure values."""

import dataclasses
import enum
from collections.abc import Iterable


class Verdict(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    SKIPPED = "skipped"  # it could not be looked at; the words say why
    WARNING = "warning"  # a mount works, but not as well as it could, or not for long
    PROBLEM = "problem"  # a mount, or an export, fails


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; texts are for people and hold no secret."""

    check: str
    verdict: Verdict
    words: str
    cure: str = ""


def ok(check: str, words: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, words)


def skipped(check: str, words: str) -> Finding:
    """Return that a check was not made."""
    return Finding(check, Verdict.SKIPPED, words)


def warning(check: str, words: str, cure: str) -> Finding:
    """Return what does no harm yet."""
    return Finding(check, Verdict.WARNING, words, cure)


def problem(check: str, words: str, cure: str) -> Finding:
    """Return what stops a mount or an export."""
    return Finding(check, Verdict.PROBLEM, words, cure)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing was found that stops a mount or an export."""
    return all(finding.verdict is not Verdict.PROBLEM for finding in findings)
