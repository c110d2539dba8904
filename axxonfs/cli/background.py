"""Going into the background: the parent waits on a pipe until the mount answers or has failed.

Forks before gRPC or trio exist in the process (measured: make channels after the
fork). One fork and a session of its own are enough: the parent ends at once.
"""

import logging
import os
import signal
import sys
import syslog
import traceback
from collections.abc import Callable
from typing import NoReturn

from axxonfs.cli import exits
from axxonfs.core import errors

_READY = b"ready"


def run(serve: Callable[[Callable[[], None]], None]) -> int:
    """Run `serve` in a child; return 0 once it has called what it is given, else the status of its failure."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(serve, _Parent(writer))
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
    except KeyboardInterrupt:
        # Nobody wants the mount any more, be it there or still waiting for the server.
        os.kill(child, signal.SIGTERM)
        raise
    if answer == _READY:
        return exits.OK
    status, _, text = answer.partition(b" ")
    print(text.decode("utf-8", "replace") or "axxonfs: the mount ended before it answered", file=sys.stderr)
    return int(status or exits.FAILED)


class _Parent:
    """The process that waits to be told."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe

    def tell(self, answer: bytes) -> None:
        """Say the one thing it waits for; OSError where nobody waits (any more)."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            raise BrokenPipeError
        try:
            os.write(pipe, answer)
        finally:
            os.close(pipe)


def _child(serve: Callable[[Callable[[], None]], None], parent: _Parent) -> NoReturn:
    # Ctrl-C is for the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = exits.OK

    def ready() -> None:
        # Not sooner: what mounts below an automount must be in the process group of systemd's mount process, or the
        # kernel takes it for one more access that has to wait for the mount.
        os.setsid()
        parent.tell(_READY)
        _detach()

    try:
        serve(ready)
    except errors.AxxonfsError as error:
        status = exits.status_of(error)
        _report(parent, status, f"axxonfs: {error}")
    except BaseException:  # noqa: BLE001 - the last chance to say anything: the process ends here
        status = exits.FAILED
        _report(parent, status, traceback.format_exc())
    finally:
        logging.shutdown()
        os._exit(status)


def _report(parent: _Parent, status: int, text: str) -> None:
    try:
        parent.tell(f"{status} {text}".encode("utf-8", "replace"))
    except OSError:
        # The mount had answered: nobody waits any more, the log is all there is.
        logging.getLogger(__name__).critical("%s", text)


class _SyslogHandler(logging.Handler):
    """Log lines for syslog, which is where a daemon's go."""

    _LEVELS = ((logging.ERROR, syslog.LOG_ERR), (logging.WARNING, syslog.LOG_WARNING), (logging.INFO, syslog.LOG_INFO))

    def emit(self, record: logging.LogRecord) -> None:
        level = next((level for least, level in self._LEVELS if record.levelno >= least), syslog.LOG_DEBUG)
        syslog.syslog(level, f"{record.name} {self.format(record)}")


def _detach() -> None:
    """Let go of the terminal."""
    syslog.openlog("axxonfs", syslog.LOG_PID, syslog.LOG_DAEMON)
    logging.basicConfig(level=logging.getLogger().level, handlers=[_SyslogHandler()], force=True)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
