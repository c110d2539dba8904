"""`axxon://`: the export sessions of a server as fsspec shows file systems.

Decides what each question of fsspec means here: a session is a directory, its
results are files, and nothing can be written but exports started. What it was made
from is all that it is pickled with; what else it holds can be had again from that,
so it can be forked and used by many threads. State is the client's of the process.
"""

import collections
import contextlib
import datetime as dt
import errno
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, ClassVar

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import AbstractFileSystem

from axxonfs.core import errors
from axxonfs.core.chunks import Data
from axxonfs.core.spec import parse_document
from axxonfs.fsspec import clients, options, picture, urls
from axxonfs.fsspec.client import Client
from axxonfs.fsspec.failures import translated, translated_error
from axxonfs.fsspec.files import AxxonFile, joined
from axxonfs.reading.loans import Loan
from axxonfs.reading.pool import Counters

Info = dict[str, Any]

# Of one cat_ranges; each has several streams.
_MOST_RESULTS_AT_ONCE = 4


class AxxonFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The exports of one server; options are the words of docs/fsspec.md."""

    protocol: ClassVar[str] = urls.PROTOCOL
    root_marker = ""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        with translated():
            self._words = options.check(words)
        self._last: Client | None = None

    # -- names and pickles -------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        with translated():
            return urls.path_of(str(path))

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a path; it names the server, and nobody's account."""
        return urls.url_of(self._setup.endpoint, self._strip_protocol(name))

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        with translated():
            return options.words_of_url(path)

    @property
    def fsid(self) -> str:
        """What tells servers apart."""
        return f"{urls.PROTOCOL}_{self._setup.endpoint}"

    def __dask_tokenize__(self) -> tuple[str, ...]:
        """Return the same for equal file systems in all processes."""
        return (type(self).__qualname__, *(f"{name}={value}" for name, value in sorted(self._words.items())))

    @functools.cached_property
    def _setup(self) -> options.Setup:
        return options.complete(self._words)

    @property
    def _client(self) -> Client:
        """The client of this process: the one used last, unless it was closed or left in a parent."""
        if self._last is None or not self._last.runs:
            self._last = clients.client(self._setup)
        return self._last

    def close(self) -> None:
        """End this process's connections and login; the next use makes new ones."""
        with translated():
            clients.close(self._setup)

    def counters(self) -> Counters:
        """Return what this process has read, in bytes and streams."""
        with translated():
            return self._client.counters()

    # -- looking -------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, refresh: bool = False, **_: Any) -> list[Any]:
        """Return what there is in a directory: sessions, or the results of one; names only without `detail`."""
        session, file = urls.split(self._strip_protocol(path))
        with translated():
            client = self._client
            found = [client.info(session, file)] if file else client.listing(session, refresh=refresh)
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **_: Any) -> Info:
        """Return what is known of a session or a result."""
        session, file = urls.split(self._strip_protocol(path))
        with translated():
            return self._client.info(session, file)

    def exists(self, path: str, **_: Any) -> bool:
        """Tell whether a session or a result exists; trouble with the server is an error and not a no."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Tell whether it is the root or a session; raises as `exists`."""
        return self.exists(path) and self.info(path)["type"] == "directory"

    def isfile(self, path: str) -> bool:
        """Tell whether it is a result; raises as `exists`."""
        return self.exists(path) and self.info(path)["type"] == "file"

    def walk(
        self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = "omit", **kwargs: Any
    ) -> Iterator[Any]:
        """Walk as fsspec does, but never take a server that does not answer for an empty directory."""
        yield from super().walk(path, maxdepth, topdown, _unless_missing if on_error == "omit" else on_error, **kwargs)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Have the next look ask the server."""
        super().invalidate_cache(path)
        with translated():
            self._client.forget_picture()

    def status(self, path: str) -> Info:
        """Return all that is known of a session, as its `status.json` in a mount."""
        with translated():
            return self._client.status(self._session(path))

    def spec(self, path: str) -> Info:
        """Return a spec that asks for a session's export again, as its `spec.json` in a mount."""
        with translated():
            return self._client.spec(self._session(path))

    def ukey(self, path: str) -> str:
        """Return what never changes for a result, and differs for all others."""
        info = self.info(path)
        words = (info["session_id"], info["path"], info["size"]) if info["type"] == "file" else tuple(info.items())
        return hashlib.sha256(repr(words).encode("utf-8", "surrogatepass")).hexdigest()

    def checksum(self, path: str) -> int:
        """Return `ukey` as a number."""
        return int(self.ukey(path), 16)

    def modified(self, path: str) -> dt.datetime:
        """Return when the clip ends: a result has no other time."""
        return dt.datetime.fromtimestamp(self.info(path).get("mtime", 0), dt.UTC)

    def created(self, path: str) -> dt.datetime:
        """Return the same as `modified`."""
        return self.modified(path)

    # -- reading -------------------------------------------------------------------------

    def _open(
        self, path: str, mode: str = "rb", block_size: Any = None, cache_options: Any = None, **kwargs: Any
    ) -> AxxonFile:
        if mode != "rb":
            raise _read_only()
        return AxxonFile(self, path, mode, block_size=block_size, cache_options=cache_options, **kwargs)

    def read_pieces(self, info: Info, start: int, end: int, waited_s: float = 0.0) -> Sequence[Data]:
        """Return bytes of a result, in pieces of any size; `info` is its description.

        For the first of them the caller has waited `waited_s` already, which its read timeout includes.
        """
        with translated():
            return self._client.read(picture.wanted(info), start, end, waited_s)

    def lend(self, info: Info) -> Loan | None:
        """Return a loan of the stream that brings a result, if there may be one."""
        with translated():
            return self._client.lend(picture.wanted(info))

    def leave(self, info: Info) -> None:
        """Take note that a file on a result was closed."""
        # A client that was closed, or left in a parent, has nothing on its way; none is made for this.
        if self._last is not None and self._last.runs:
            self._last.leave(picture.wanted(info))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return a result, or a range of it; negative ends count from behind, as in slices."""
        info = self.info(path)
        first, last, _step = slice(start, end).indices(info["size"])
        with translated():
            pieces = self._client.read(picture.wanted(info), first, max(first, last))
        return joined(pieces)

    def cat_ranges(
        self,
        paths: list[str],
        starts: list[int] | int | None,
        ends: list[int] | int | None,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Return many ranges, of many results at once; nothing is fetched but the chunks that they touch.

        A `max_gap` does not matter: what shares a chunk is fetched as one, what does not is fetched alone.
        """
        del max_gap
        rows = _rows(paths, starts, ends)
        places = collections.defaultdict[str, list[int]](list)
        for number, (path, _start, _end) in enumerate(rows):
            places[self._strip_protocol(path)].append(number)
        out: list[Any] = [None] * len(rows)
        with futures.ThreadPoolExecutor(min(_MOST_RESULTS_AT_ONCE, max(1, len(places)))) as pool:
            found = pool.map(lambda path: self._ranges(path, [rows[number][1:] for number in places[path]]), places)
            for numbers, answers in zip(places.values(), found, strict=True):
                for number, answer in zip(numbers, answers, strict=True):
                    out[number] = answer
        if on_error != "return":
            for answer in out:
                if isinstance(answer, Exception):
                    raise answer
        return out

    def _ranges(self, path: str, ends: Sequence[tuple[int | None, int | None]]) -> Sequence[bytes | Exception]:
        try:
            info = self.info(path)
            ranges = [slice(*pair).indices(info["size"])[:2] for pair in ends]
            with translated():
                return self._client.read_ranges(picture.wanted(info), ranges)
        except (OSError, ValueError) as error:
            return [error] * len(ends)

    def get_file(
        self, rpath: str, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **kwargs: Any
    ) -> None:
        """Copy one result to a file here; of a copy that failed nothing is left that could pass for a whole one."""
        try:
            super().get_file(rpath, lpath, callback=callback, outfile=outfile, **kwargs)
        except BaseException:
            if outfile is None and isinstance(lpath, str | os.PathLike):
                with contextlib.suppress(OSError):
                    Path(lpath).unlink()
            raise

    # -- exports -------------------------------------------------------------------------

    def start(self, spec: Mapping[str, Any] | str | bytes) -> str:
        """Start the export that a spec asks for, and return the path of its session.

        It is started exactly once, also where the server's answer is lost: then an
        error says so, and the same spec again first looks for it. While it runs,
        this process keeps it alive.

        Args:
            spec: an object with the keys of docs/semantics.md, or a text of JSON.
        """
        text = spec if isinstance(spec, str | bytes) else json.dumps(spec, default=_instant)
        with translated():
            document = parse_document(text.encode() if isinstance(text, str) else text)
            return self._client.start(document)

    def wait(self, path: str | Sequence[str], timeout: float = 3600.0, on_error: str = "raise") -> Any:
        """Wait for the end of exports, and return the paths of their results.

        Args:
            path: a session, or several.
            timeout: in seconds.
            on_error: what to do about exports that failed or are gone: `raise`, `omit`, or `return` the exception.

        Returns:
            the results of one session, or a dictionary of them by the path of each.

        Raises:
            TimeoutError: one still runs; all go on.
        """
        paths = [path] if isinstance(path, str) else [*path]
        names = {one: self._session(one) for one in paths}
        with translated():
            failures = self._client.wait([*names.values()], timeout)
        found: dict[str, Any] = {}
        for one, name in names.items():
            failure = failures[name]
            if failure is None:
                found[one] = self.ls(name, detail=False)
            elif on_error == "raise":
                raise translated_error(failure)
            elif on_error == "return":
                found[one] = translated_error(failure)
        return found[path] if isinstance(path, str) else found

    @contextlib.contextmanager
    def keep(self, paths: str | Iterable[str]) -> Iterator[None]:
        """Keep sessions alive, with their results, as long as the block runs and this process does, and no longer."""
        names = {self._session(path) for path in ([paths] if isinstance(paths, str) else paths)}
        with translated():
            client = self._client
            held = client.hold(names)
        try:
            yield
        finally:
            # A client that was closed meanwhile keeps nothing alive any more.
            with contextlib.suppress(errors.ServerAwayError):
                client.let_go(held)

    def stop(self, path: str) -> None:
        """Finish an export now; what there is of it is kept."""
        with translated():
            self._client.stop(self._session(path))

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Destroy sessions with their results, by the rules of the option `destroy`; a single result is only hidden."""
        del maxdepth
        chosen = [urls.split(one) for one in self.expand_path(path)]
        if not all(session for session, _ in chosen):
            raise OSError(errno.EPERM, "all sessions at once are not removed: name them, as in rm('*')")
        with translated():
            self._client.remove(chosen, recursive=recursive)

    def rm_file(self, path: str) -> None:
        """Hide a result in this process, or destroy a session that shows none."""
        self.rm(path)

    def rmdir(self, path: str) -> None:
        """Destroy a session that shows no results."""
        self.rm(path)

    def _session(self, path: str) -> str:
        name, _ = urls.split(self._strip_protocol(path))
        if not name:
            raise ValueError(f"{path!r} names no session")
        return name

    # -- what is refused -----------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Refuse."""
        del path, create_parents, kwargs
        raise _read_only()

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Refuse."""
        del path, exist_ok
        raise _read_only()

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Refuse."""
        del path1, path2, kwargs
        raise _read_only()

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Refuse, before anything is copied."""
        del path1, path2, kwargs
        raise _read_only()


def _read_only() -> OSError:
    return OSError(errno.EPERM, "exports are written by the server: start(spec) asks for one")


def _unless_missing(error: Exception) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _instant(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    raise TypeError(f"a spec holds no {type(value).__name__}")


def _rows(paths: list[str], starts: Any, ends: Any) -> list[tuple[str, int | None, int | None]]:
    if not isinstance(paths, list):
        raise TypeError("cat_ranges takes a list of paths")
    starts, ends = (value if isinstance(value, list) else [value] * len(paths) for value in (starts, ends))
    return list(zip(paths, starts, ends, strict=True))
