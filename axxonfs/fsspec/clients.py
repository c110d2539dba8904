"""The clients of this process: one for each server, account and set of options.

Decides when a client is made (at its first use, so after any fork), how it comes to
its login (not before there is a slot for it), and that all are closed at the end of
the process. Connections end before a fork, nobody makes one until it is over, and they
are made anew after it; a child starts without any client: what it inherited cannot be
used there and is left alone, but for the slots, which stay the parent's. Any thread may call.
"""

import functools
import hashlib
import multiprocessing.util
import os
import threading

from axxonfs.core.line import MIB
from axxonfs.fsspec import slots
from axxonfs.fsspec.client import Client
from axxonfs.fsspec.options import Setup
from axxonfs.remote.channel import Link
from axxonfs.remote.connecting import open_link
from axxonfs.remote.credentials import Credentials, password_source
from axxonfs.remote.gate import gate
from axxonfs.remote.locks import FileLock
from axxonfs.remote.refusals import SharedRefusals

# Of what the process does at its end; larger is earlier. Before the temporary directories go.
_EXIT_PRIORITY = 100

# The largest block, but for malloc's own bytes, from which glibc learns how much to keep (mallopt(3)).
_LEARNT_BYTES = 31 * MIB

# How long a fork waits for gRPC to come to rest; ended connections take a few hundredths (measured).
_SETTLE_TIMEOUT_S = 2.0


class _Place:
    """What there is of one setup: first its link, which remembers a refused login, then the rest."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._slot: FileLock | None = None
        self._client: Client | None = None

    def client(self) -> Client:
        """Return the client, made or made anew where there is none that runs."""
        with self._lock:
            if self._client is None or not self._client.runs:
                self._client = self._made()
            return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            slot, self._slot = self._slot, None
            link, self._link = self._link, None
        if client is not None:
            client.close()
        if link is not None:
            link.close()
        if slot is not None:
            slot.release()

    def disconnect(self) -> None:
        """End the connections for now; downloads go on where they were over new ones."""
        link = self._link
        if link is not None:
            link.disconnect()

    def leave_slot(self) -> None:
        """In a forked child: what it inherited would hold the parent's slot for as long as the child lives."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.leave()

    def _made(self) -> Client:
        endpoint, options = self._setup
        account = f"{options.user}@{endpoint}"
        name = hashlib.sha256(account.encode()).hexdigest()[:16]
        directory = slots.default_directory()
        if self._slot is None:
            self._slot = slots.take(directory, name, slots=options.max_logins, wait_s=options.login_wait)
        if self._link is None:
            credentials = Credentials(options.user, password_source(options.password_file))
            self._link = open_link(endpoint, credentials, options, SharedRefusals(account, directory / name))
        _keep_freed_memory()
        return Client(self._setup, self._link)


class _Registry:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Setup, _Place] = {}
        self._ends = False  # whether the end of the process was provided for

    def place(self, setup: Setup) -> _Place:
        with self._lock:
            if not self._ends:
                # Processes of multiprocessing end without atexit, this is called by both; but a child of it
                # forgets all that was said before it began to work.
                self._ends = True
                multiprocessing.util.Finalize(None, self.close_all, exitpriority=_EXIT_PRIORITY)
            return self._places.setdefault(setup, _Place(setup))

    def close(self, setup: Setup) -> None:
        with self._lock:
            place = self._places.pop(setup, None)
        if place is not None:
            place.close()

    def disconnect(self) -> None:
        for place in list(self._places.values()):
            place.disconnect()

    def leave_slots(self) -> None:
        for place in self._places.values():
            place.leave_slot()

    def close_all(self) -> None:
        for setup in list(self._places):
            self.close(setup)


@functools.cache  # a second time it would come from what malloc keeps, and be cleared; forked children have learnt it
def _keep_freed_memory() -> None:
    """Have malloc keep what is freed for what comes next, as in a process that has let a large array go.

    gRPC makes and frees blocks for all that it receives. Of what lies free, glibc gives back to the system what is
    more than twice the largest block ever let go, and new pages have to be cleared: reading took half as much
    processor time again (measured). What the environment says of malloc stays in force.
    """
    bytes(_LEARNT_BYTES)  # not touched, so it takes no memory


_registry = _Registry()
_inherited: list[_Registry] = []


def client(setup: Setup) -> Client:
    """Return this process's client for a setup.

    Raises:
        AxxonfsError: there is none, as axxonfs.remote.connecting.open_link and slots.take.
    """
    return _registry.place(setup).client()


def close(setup: Setup) -> None:
    """End this process's client for a setup and its login; the next use makes a new one."""
    _registry.close(setup)


def _forget() -> None:
    """Start anew in a forked child; of what it inherited only the locks are closed, for the logins are the parent's."""
    global _registry  # noqa: PLW0603 - there is one for each process
    gate.renew()
    _inherited.append(_registry)
    _registry = _Registry()
    _inherited[-1].leave_slots()


def _disconnect() -> None:
    # With a connection in use gRPC hangs or crashes in the child (measured), without any it does not.
    gate.shut()
    _registry.disconnect()
    gate.settle(_SETTLE_TIMEOUT_S)


os.register_at_fork(before=_disconnect, after_in_parent=gate.open, after_in_child=_forget)
