"""What systemd is told of a mount: that it answers, how it is, and that it still works.

The watchdog is driven from a process of its own that does what users do: it asks
the mount, through the kernel, for its free space and for the attributes of a
text. A thread of the daemon must not: while the daemon is stuck it would wait
for the daemon, could not be killed, and would keep the connection to the kernel
open, and with it the dead mount. The process is forked before anything of gRPC
or trio exists, and ends with the daemon. Facts: sd_notify(3) of systemd 252.
"""

import contextlib
import os
import select
import signal
import socket
from pathlib import Path
from typing import Final, Self

from axxonfs.fs import detached

# A start that waits for its server says so every few seconds, and is given this much longer each time.
PATIENCE_S: Final = 60
# Asked this often within the time that systemd allows, so that a moment of load does no harm.
PER_WATCHDOG: Final = 4
# Its attributes are never remembered by the kernel: each `stat` of it is a request.
_LOOKED_AT: Final = ".axxonfs/stats.json"
_NAME: Final = "axxonfs-watch"  # what `ps -o comm` shows; at most 15 bytes
_MICROSECONDS: Final = 1_000_000


class Service:
    """The mount as a service of systemd; all of it does nothing where systemd did not start this process."""

    def __init__(self, address: str, watchdog_s: float, mountpoint: Path) -> None:
        self._address = address
        self._is_ready = False
        self._said = ""
        self._begin: int | None = None
        if address and watchdog_s:
            self._begin = _fork_watchdog(address, mountpoint, watchdog_s / PER_WATCHDOG)

    @classmethod
    def of_environment(cls, mountpoint: Path) -> Self:
        """Return the service that systemd's variables speak of, and take them away from later children."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        period = os.environ.pop("WATCHDOG_USEC", "0")
        meant = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        address = "\0" + address[1:] if address.startswith("@") else address
        return cls(address, int(period) / _MICROSECONDS if meant else 0.0, mountpoint)

    def ready(self) -> None:
        """Say that the mount answers, and have it watched from now on."""
        self._is_ready = True
        self._send("READY=1")
        if self._begin is not None:
            # Kept open: its end tells the watchdog that the daemon has ended.
            os.write(self._begin, b"!")

    def say(self, text: str) -> None:
        """Say how the mount is, in a line for `systemctl status`."""
        line = " ".join(text.split())
        if not self._is_ready:
            self._send(f"STATUS={line}\nEXTEND_TIMEOUT_USEC={PATIENCE_S * _MICROSECONDS}")
        elif line != self._said:
            self._send(f"STATUS={line}")
        self._said = line

    def _send(self, text: str) -> None:
        if self._address:
            _notify(self._address, text)


def _notify(address: str, text: str) -> None:
    # Whoever stops listening must not end the mount; a full queue must not stop it.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)  # noqa: FBT003 - the signature is the library's
        sender.sendto(text.encode(), address)


def _fork_watchdog(address: str, mountpoint: Path, every_s: float) -> int:
    """Start the process that watches; return the pipe that makes it begin, and whose end makes it end."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(writer)
        try:
            _watch(address, mountpoint, reader, every_s)
        finally:
            os._exit(0)
    os.close(reader)
    return writer


def _watch(address: str, mountpoint: Path, begin: int, every_s: float) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(_NAME, "ascii")
    # The daemon ends it by ending itself; what is for the daemon is not for this.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not os.read(begin, 1):
        return
    while not select.select([begin], [], [], every_s)[0]:
        # A mount that fails here is not reported as alive, and systemd acts. Seen so, it can be unmounted meanwhile.
        with contextlib.suppress(OSError), detached.view(mountpoint) as root:
            os.statvfs(root)
            os.stat(_LOOKED_AT, dir_fd=root)
            _notify(address, "WATCHDOG=1")
