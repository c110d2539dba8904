"""What a mount gives up before it does anything: capabilities as root, core files, its password in the environment.

Decides which capabilities a mount by root needs; an ordinary user has none to
give up. Capabilities belong to a thread: call this before there are others.
Imports nothing of ours. No library: the two on PyPI have had no release for
years, and it is three system calls. Facts: capabilities(7), capget(2), proc(5).
"""

import contextlib
import ctypes
import itertools
import os
import resource
from pathlib import Path

# To unmount; to reach a mountpoint and a password file in a directory that only its owner may enter.
_CAP_DAC_READ_SEARCH, _CAP_SYS_ADMIN = 2, 21
KEPT = 1 << _CAP_DAC_READ_SEARCH | 1 << _CAP_SYS_ADMIN

_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24
_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")


def give_up() -> None:
    """Keep what a mount needs, here and in every program that it runs, and make no core files.

    A core file would hold the password. Where this process may not give up (in
    some containers), it goes on with what it has.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # What a child gets from being root is bounded by this set.
    with contextlib.suppress(OSError):
        for capability in range(int(_LAST_CAPABILITY.read_text()) + 1):
            if not KEPT & 1 << capability:
                libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    # Twice effective, permitted, inheritable: the lower 32 capabilities and the upper.
    sets = (ctypes.c_uint32 * 6)()
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    libc.capget(header, sets)
    kept = [value & mask for value, mask in zip(sets, (KEPT, KEPT, 0, 0, 0, 0), strict=True)]
    libc.capset(header, (ctypes.c_uint32 * 6)(*kept))


def forget_variable(name: str) -> None:
    """Take a variable out of the environment, and its value from where /proc/PID/environ shows it.

    `unsetenv` alone leaves the text in its place.
    """
    prefix = os.fsencode(name) + b"="
    block = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    for address in itertools.takewhile(bool, (block[place] for place in itertools.count())):
        entry = ctypes.string_at(address)
        if entry.startswith(prefix):
            ctypes.memset(address + len(prefix), 0, len(entry) - len(prefix))
    os.environ.pop(name, None)
