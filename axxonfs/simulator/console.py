"""Commands to a simulator that runs: one line of words each, for testers who do not write Python.

Decides what the words mean and what is said of a mistake. Belongs to one thread
at a time; the simulator's own methods lock themselves.
"""

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from typing import Any, get_args

import grpc

from axxonfs.simulator import switches
from axxonfs.simulator.certificates import Change
from axxonfs.simulator.faults import ANY, MEANINGS
from axxonfs.simulator.server import Simulator
from axxonfs.wire import authentication_pb2, domain_pb2, export_service_pb2

_ALWAYS = 10**9
_STATUSES = [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
_FILES = (export_service_pb2.DESCRIPTOR, domain_pb2.DESCRIPTOR, authentication_pb2.DESCRIPTOR)
_SERVICES = [service for file in _FILES for service in file.services_by_name.values()]
METHODS = (ANY, *(method for service in _SERVICES for method in service.methods_by_name))

COMMANDS: Mapping[str, str] = {
    "fault CALL ACTION [times=N] [after=N] [status=NAME] [delay=SECONDS] [session=ID]": "let something go wrong",
    "clear": "end all faults; what they hold goes on",
    "switch NAME=VALUE...": "set switches; the others are as at the start",
    "revoke": "end every token",
    "password TEXT": "change the password of the account; tokens stay valid",
    "add N": "let so many finished sessions appear",
    "remove N": "let the oldest so many sessions vanish",
    "restart [away=SECONDS] [forget]": "restart the server; `forget` loses all sessions",
    "certificate renewed|expired|renamed|other_ca": "restart with another certificate",
    "help": "list commands and actions",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Console:
    """Carries out commands; see `COMMANDS`."""

    simulator: Simulator
    user: str  # whose password is changed

    def do(self, line: str) -> str:
        """Carry out one line and return what to say; ValueError says what is wrong with it."""
        name, *words = shlex.split(line, comments=True) or [""]
        commands: dict[str, Callable[[list[str]], str]] = {
            "": lambda _: "",
            "fault": self._fault,
            "clear": self._clear,
            "switch": self._switch,
            "revoke": self._revoke,
            "password": self._password,
            "add": self._add,
            "remove": self._remove,
            "restart": self._restart,
            "certificate": self._certificate,
            "help": lambda _: help_text(),
        }
        if name not in commands:
            raise ValueError(f"{name!r} is no command; `help` lists them")
        return commands[name](words)

    def _fault(self, words: list[str]) -> str:
        plan = fault_words(words)
        self.simulator.faults.add(**plan)
        return f"{plan['action']} for {plan['method']}"

    def _clear(self, words: list[str]) -> str:
        _expect(words, 0)
        self.simulator.faults.clear()
        return "no faults"

    def _switch(self, words: list[str]) -> str:
        start = self.simulator.config.switches
        changed = switches.parse(words)
        named = {word.partition("=")[0]: getattr(changed, word.partition("=")[0]) for word in words}
        self.simulator.switches = dataclasses.replace(start, **named)
        return f"{len(words)} switches set"

    def _revoke(self, words: list[str]) -> str:
        _expect(words, 0)
        self.simulator.logins.revoke_all()
        return "no token is valid"

    def _password(self, words: list[str]) -> str:
        _expect(words, 1)
        self.simulator.logins.set_password(self.user, words[0])
        return "password changed"

    def _add(self, words: list[str]) -> str:
        _expect(words, 1)
        return f"{len(self.simulator.add_samples(_number(words[0])))} sessions added"

    def _remove(self, words: list[str]) -> str:
        _expect(words, 1)
        gone = [record.session_id for record in self.simulator.sessions.records()][: _number(words[0])]
        self.simulator.sessions.remove_many(gone)
        return f"{len(gone)} sessions removed"

    def _restart(self, words: list[str]) -> str:
        forget = "forget" in words
        given = _pairs([word for word in words if word != "forget"], {"away"})
        self.simulator.restart(forget=forget, away_s=_seconds(given.get("away", "0")))
        return "restarted"

    def _certificate(self, words: list[str]) -> str:
        _expect(words, 1)
        for change in get_args(Change):
            if words[0] == change:
                self.simulator.change_certificate(change)
                return f"certificate {change}"
        raise ValueError(f"a certificate is one of {', '.join(get_args(Change))}, not {words[0]!r}")


def fault_words(words: list[str]) -> dict[str, Any]:
    """Return what `Faults.add` takes; ValueError says what is wrong."""
    if len(words) < 2:  # noqa: PLR2004 - the call and the action
        raise ValueError("a fault needs a call and an action; `help` lists them")
    method, action, *rest = words
    _check(method, METHODS, "call")
    _check(action, MEANINGS, "action")
    given = _pairs(rest, {"times", "after", "status", "delay", "session"})
    _check(given.get("status", "UNAVAILABLE"), _STATUSES, "status")
    times = given.get("times", "1")
    return {
        "method": method,
        "action": action,
        "times": _ALWAYS if times == "always" else _number(times),
        "after_chunks": _number(given.get("after", "0")),
        "status": given.get("status", "UNAVAILABLE"),
        "delay_s": _seconds(given.get("delay", "1")),
        "session_id": given.get("session", ""),
    }


def help_text() -> str:
    """Return the commands and the actions of faults."""
    commands = [f"{words}\n    {meaning}" for words, meaning in COMMANDS.items()]
    actions = [f"    {action:14} {meaning}" for action, meaning in MEANINGS.items()]
    return "\n".join([*commands, f"calls: {' '.join(METHODS)}", "actions:", *actions])


def _check(word: str, known: Any, what: str) -> None:  # noqa: ANN401 - any container of words
    if word not in known:
        raise ValueError(f"{word!r} is no {what}: {', '.join(known)}")


def _expect(words: list[str], count: int) -> None:
    if len(words) != count:
        raise ValueError(f"{len(words)} words where {count} belong; `help` shows how")


def _pairs(words: list[str], known: set[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or name not in known:
            raise ValueError(f"{word!r} is none of {', '.join(f'{name}=' for name in sorted(known))}")
        pairs[name] = value
    return pairs


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None
