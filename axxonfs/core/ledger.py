"""What a batch of exports has come to, so that an interruption loses nothing: the ledger in its directory.

Decides what its lines mean, and where each export goes on. A ledger is a text of
JSON lines, only ever appended to: the first says whose it is, each other one what
happened to one export. A last line without its newline was being written when the
machine stopped, and counts as not written. Never a secret. Pure; imports batch,
delivery and the errors.
"""

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any

from axxonfs.core.batch import Order
from axxonfs.core.delivery import Outcome
from axxonfs.core.errors import InvalidError

VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """Whose ledger it is."""

    batch: str  # a part of the names in new/, so that no two batches meet there
    server: str
    account: str
    started: str  # RFC 3339


@dataclasses.dataclass(slots=True)
class Copy:
    """A result on its way into the directory."""

    name: str  # there
    size: int
    sha256: str | None = None  # known once all of it is there


@dataclasses.dataclass(slots=True)
class Item:
    """One export of the batch and what became of it."""

    name: str
    masked: Mapping[str, Any]
    fixed: Mapping[str, str]
    secret: bool = False
    asked: bool = False  # its document was about to be submitted
    session: str | None = None  # the name of its directory
    session_id: str | None = None
    copies: dict[str, Copy] = dataclasses.field(default_factory=dict)  # by the server's id of the file
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # for the manifest, once it is exported
    verdict: tuple[Outcome, str] | None = None  # how it will have come out once its results are copied, and why
    outcome: Outcome = Outcome.UNFINISHED
    why: str = ""

    @property
    def fetched(self) -> bool:
        """Whether it is exported and all of its results that can be downloaded are in the directory."""
        there = {path for path, copy in self.copies.items() if copy.sha256 is not None}
        return self.verdict is not None and there >= {
            file["path"] for file in self.facts["files"] if file["downloadable"]
        }


@dataclasses.dataclass(slots=True)
class Ledger:
    """What a ledger says."""

    header: Header
    items: dict[str, Item] = dataclasses.field(default_factory=dict)
    boot: str = ""  # which run of the machine it was last written in

    @property
    def local_names(self) -> set[str]:
        """The names in the directory that are given away."""
        return {copy.name for item in self.items.values() for copy in item.copies.values()}

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return all(item.outcome is not Outcome.UNFINISHED for item in self.items.values())

    def take(self, event: Mapping[str, Any]) -> None:
        """Take note of what happened to one export.

        Raises:
            KeyError, ValueError: it is no such event.
        """
        name = event["name"]
        match event["event"]:
            case "boot":
                self.boot = name
            case "ordered":
                self.items[name] = Item(name, event["spec"], event["fixed"], event["secret"])
            case "asked":
                self.items[name].asked = True
            case "started":
                self.items[name].session, self.items[name].session_id = event["session"], event["id"]
            case "claimed":
                self.items[name].copies[event["path"]] = Copy(event["file"], event["size"])
            case "copied":
                self.items[name].copies[event["path"]].sha256 = event["sha256"]
            case "exported":
                self.items[name].verdict = Outcome(event["outcome"]), event["why"]
                self.items[name].facts = event["facts"]
            case "ended":
                self.items[name].outcome, self.items[name].why = Outcome(event["outcome"]), event["why"]
            case unknown:
                raise ValueError(unknown)


def first_line(header: Header) -> bytes:
    """Return the line that a ledger begins with."""
    return line_of({"axxonfs_export": VERSION, **dataclasses.asdict(header)})


def ordered(order: Order) -> dict[str, Any]:
    """Return the event that an export was ordered."""
    return {
        "event": "ordered",
        "name": order.name,
        "spec": order.masked,
        "fixed": order.fixed,
        "secret": order.has_secrets,
    }


def line_of(event: Mapping[str, Any]) -> bytes:
    """Return the line of an event."""
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def whole_lines(text: bytes) -> bytes:
    """Return a ledger without a last line that was not written to its end."""
    return text[: text.rfind(b"\n") + 1]


def read(text: bytes) -> Ledger:
    """Return what a ledger says.

    Raises:
        InvalidError: it is none, or of another version.
    """
    lines = whole_lines(text).splitlines()
    try:
        head = json.loads(lines[0]) if lines else {}
        if head.pop("axxonfs_export", None) != VERSION:
            raise InvalidError("it is not the ledger of an export, or of another version of axxonfs")
        ledger = Ledger(Header(**head))
        for line in lines[1:]:
            ledger.take(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(f"it is damaged: {error!r}") from error
    return ledger


class Step(enum.Enum):
    """Where an export goes on."""

    DONE = "done"
    END = "all of it is here: say so"
    ASK = "submit its document"
    AWAIT = "its document was submitted: the mount will say what became of it"
    FOLLOW = "follow its session"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What `new/` shows of an export."""

    link: bool = False
    error: bool = False
    spec_bytes: int = 0  # 0 also where there is no file


def next_step(item: Item, seen: Seen) -> Step:
    """Return where an export goes on after an interruption, without starting it twice.

    A link says that it was started, whoever did not live to hear of it. Where the
    document is in `new/` and neither link nor error, the mount is still asking the
    server. After an error the document may be submitted again: what was refused
    starts nothing, and where it is not known, the mount looks before it starts.
    """
    if item.outcome is not Outcome.UNFINISHED:
        return Step.DONE
    if item.fetched:
        return Step.END
    if item.session is not None or (item.asked and seen.link):
        return Step.FOLLOW
    return Step.AWAIT if item.asked and seen.spec_bytes and not seen.error else Step.ASK
