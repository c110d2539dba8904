"""Bytes for results whose content does not matter: computed anywhere, different in every page.

Pure. A page holds its number and then a body that depends on the seed, so that
bytes of another page, another file or shifted by any distance are told from the
right ones. Made as a join of shared pieces: some GB/s, which keeps benchmarks of
clients from measuring this instead.
"""

import functools
import hashlib
import struct

PAGE_BYTES = 4096
_NUMBER = struct.Struct("<Q")


def pattern(seed: int, offset: int, length: int) -> bytes:
    """Return `length` bytes from `offset` of the endless file that belongs to `seed`."""
    if length <= 0:
        return b""
    body = _body(seed)
    first, last = offset // PAGE_BYTES, (offset + length - 1) // PAGE_BYTES
    pieces = [body] * (2 * (last - first + 1))
    pieces[::2] = [_NUMBER.pack(number) for number in range(first, last + 1)]
    skipped = offset - first * PAGE_BYTES
    return b"".join(pieces)[skipped : skipped + length]


@functools.lru_cache(maxsize=64)
def _body(seed: int) -> bytes:
    return hashlib.shake_256(str(seed).encode()).digest(PAGE_BYTES - _NUMBER.size)
