"""The three timers of an export session, and the cadence at which the mount looks and keeps alive.

One table for both sides: the mount keeps sessions alive by it, the simulator
lets them expire by it. One scale factor divides every time, so that a test can
run both sides sixty times faster. Pure numbers; imports nothing.

Source: the vendor's data export page (5 minutes, 30 minutes, 1 hour); the
cadences are chosen so that three calls in a row may be lost before a timer ends.
"""

import dataclasses

# What somebody waits who started an export and got no answer: its session is looked for so long, and so often. Where
# the server or the line said at once that the start failed, a complete listing a while after that is enough.
LOOK_FOR_S = 10.0
LOOK_EVERY_S = 1.0
LISTED_AFTER_S = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Timers:
    """Times in seconds; see `scaled`."""

    # The server's side (documented by the vendor).
    live_clip_s: float = 300.0  # a running live clip stops this long after the last GetSessionState
    running_s: float = 1800.0  # any other running export
    completed_s: float = 3600.0  # results are deleted; GetSessionState and DownloadFile start it anew

    # The mount's side (chosen).
    poll_active_s: float = 2.0  # between listings while something of its own runs or is watched
    poll_idle_s: float = 30.0  # between listings otherwise
    keep_live_clip_s: float = 60.0  # between keep-alives: a fifth of live_clip_s
    keep_running_s: float = 90.0
    keep_completed_s: float = 900.0  # a quarter of completed_s
    keep_retry_s: float = 10.0  # between attempts while the server does not answer
    doubt_s: float = 30.0  # a start that no listing had after so long was not made: it gets 20 s, and a listing may lag
    lingers_s: float = 60.0  # a destroyed session may be listed for so long (10 s seen); then its state is asked for
    keep_results_s: float = 24 * 3600.0  # own results that nobody read are let go then
    tombstone_s: float = 7 * 24 * 3600.0  # how long a session that went unread is remembered
    error_text_s: float = 3600.0  # how long NAME.error outlives its spec


def scaled(factor: float) -> Timers:
    """Return the table with every time divided by `factor` (> 0); 60 turns a minute into a second."""
    plain = Timers()
    return Timers(**{field.name: getattr(plain, field.name) / factor for field in dataclasses.fields(Timers)})
