"""Where log lines go and what they look like: one line per event, with key=value.

Where standard error is systemd's journal, each line begins with its level in the
form that the journal takes (`<4>`), and leaves the time to it. Facts:
sd-daemon(3) and systemd.exec(5), `JOURNAL_STREAM`.
"""

import json
import logging
import os
import sys
from typing import Any, TextIO

# From the gravest down: the first whose level the record reaches; numbers of syslog.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class _JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)


class _JournalFormatter(logging.Formatter):
    """Each line of another formatter's text with its level before it, for the journal takes lines apart."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(_priority(record.levelno) + line for line in self._inner.format(record).splitlines())


def configure(level: str, form: str) -> None:
    """Log to standard error; `level` and `form` (`text`, `json`) are the words of the options."""
    in_journal = is_journal(sys.stderr)
    text = logging.Formatter(("" if in_journal else "%(asctime)s %(levelname)s ") + "%(name)s %(message)s")
    formatter = _JsonFormatter() if form == "json" else text
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournalFormatter(formatter) if in_journal else formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def prefix(level: int) -> str:
    """Return what makes a line on standard error one of this level: nothing where it is not the journal."""
    return _priority(level) if is_journal(sys.stderr) else ""


def _priority(level: int) -> str:
    return f"<{next((number for least, number in _PRIORITIES if level >= least), _DEBUG)}>"


def is_journal(stream: TextIO) -> bool:
    """Whether what is written to the stream goes to systemd's journal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
