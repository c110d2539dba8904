"""Somebody at the keyboard of nano: `python -m tests.tools.keyboard DOCUMENT NANO...`.

Runs the editor on a terminal of its own, types the document at its end, saves it,
and leaves. The exit status is 1, and what nano said stands on standard error, where
it could not save.
"""

import os
import pty
import re
import select
import struct
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

TIMEOUT_S = 30.0
END, SAVE, ENTER, LEAVE = b"\x1b/", b"\x0f", b"\r", b"\x18"


class Screen:
    """What the program has drawn since the last key."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = b""

    def press(self, keys: bytes) -> None:
        self._seen = b""
        for start in range(0, len(keys), 256):  # a terminal takes no more at once
            os.write(self._descriptor, keys[start : start + 256])
            self.read(0.01)

    def read(self, wait_s: float) -> bool:
        """Take in what was drawn; return whether there may be more."""
        if not select.select([self._descriptor], [], [], wait_s)[0]:
            return True
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:  # it has ended
            return False
        self._seen += piece
        return bool(piece)

    def wait_for(self, *words: str) -> str:
        """Wait until one of the words is on the screen and return the rest of its line."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline_s:
            for word in words:
                found = re.search(rb"%b[^\x1b\r\n]*" % re.escape(word.encode()), self._seen)
                if found:
                    return found[0].decode(errors="replace")
            if not self.read(0.1):
                break
        raise SystemExit(f"none of {words} on the screen: {self._seen!r}")


def type_into(words: list[str], document: bytes) -> str:
    """Return what the editor says about saving."""
    child, descriptor = pty.fork()
    if not child:
        os.execvpe(words[0], words, {**os.environ, "TERM": "xterm", "LC_ALL": "C"})
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    screen = Screen(descriptor)
    screen.wait_for("GNU nano")
    screen.press(END)
    screen.press(document)
    screen.press(SAVE)
    screen.wait_for("Write")
    screen.press(ENTER)
    said = screen.wait_for("Wrote ", "Error writing")
    screen.press(LEAVE)
    if said.startswith("Error"):
        screen.press(b"n")  # to the question whether to save
    while screen.read(TIMEOUT_S):
        pass
    os.waitpid(child, 0)
    return said


if __name__ == "__main__":
    answer = type_into(sys.argv[2:], Path(sys.argv[1]).read_bytes())
    if answer.startswith("Error"):
        sys.exit(answer)
