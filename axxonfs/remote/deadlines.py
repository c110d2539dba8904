"""Waits for an event up to a deadline, for those that are nearly always over long before.

Decides how late a deadline may be noticed. A cancel scope of trio's with a deadline
is exact, and two of them, one for the read and one for the stream, were an eighth of
what a chunk costs the event loop (docs/design.md, "How is a deadline kept?"). Here one
task looks at all deadlines ten times a second, as long as anybody waits. Belongs to the
event loop.
"""

import trio

# A READ has 30 s, a silent stream 3 at least: so late is early enough.
_LATE_S = 0.1


class _Deadlines:
    """Those of one event loop."""

    def __init__(self) -> None:
        self.of: dict[trio.Event, float] = {}
        self.watched = False

    async def watch(self) -> None:
        """Be the task that looks."""
        try:
            while self.of:
                await trio.sleep(_LATE_S)
                now_s = trio.current_time()
                for event in [event for event, deadline_s in self.of.items() if deadline_s <= now_s]:
                    event.set()
        finally:
            self.watched = False


_of_this_loop: trio.lowlevel.RunVar[_Deadlines | None] = trio.lowlevel.RunVar("axxonfs deadlines")


async def wait_until(event: trio.Event, deadline_s: float) -> None:
    """Wait for an event, which is set at the deadline, or up to a tenth of a second later, if nobody does it before.

    Args:
        event: nobody else waits for it with a deadline.
        deadline_s: on trio's clock.
    """
    deadlines = _of_this_loop.get(None)
    if deadlines is None:
        deadlines = _Deadlines()
        _of_this_loop.set(deadlines)
    deadlines.of[event] = deadline_s
    if not deadlines.watched:
        deadlines.watched = True
        trio.lowlevel.spawn_system_task(deadlines.watch)
    try:
        await event.wait()
    finally:
        del deadlines.of[event]
