"""What was asked for on the command line, as documents: from files, a directory, standard input, or options.

Decides where documents come from and what they are called. A password is read
from a file or asked for, never taken from the command line.
"""

import argparse
import getpass
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from axxonfs.core import batch, errors, spec
from axxonfs.core.cameras import Camera
from axxonfs.remote.credentials import PasswordFile

Named = tuple[str, Mapping[str, Any]]
_KEYS = {"begin": "from", "until": "to", "at": "at", "format": "format"}


def is_given(args: argparse.Namespace) -> bool:
    """Whether anything was asked for."""
    return bool(args.specs or args.cameras)


def documents(args: argparse.Namespace, cameras: Sequence[Camera]) -> list[Named]:
    """Return name and document of each export that was asked for; `cameras` are all that there are.

    Raises:
        ConfigurationError: something is missing, contradicts itself, or cannot be read.
    """
    settings = _settings(args)
    if args.specs:
        if args.cameras or settings:
            raise errors.ConfigurationError("give spec files, or --camera with its settings, but not both")
        return [named for word in args.specs for named in _from_word(word)]
    if not args.cameras:
        raise errors.ConfigurationError(
            "nothing to export: give spec files, a directory of them, or - for standard input; or --camera with --from "
            "and --until"
        )
    return list(batch.named_by_camera(args.cameras, settings, cameras))


def problem(args: argparse.Namespace, error: errors.SpecError) -> str:
    """Return what is wrong with a document, in the words of those who gave options instead."""
    if args.specs:
        return str(error)
    given = [getattr(args, name) or "" for name in _KEYS]
    return batch.in_options(str(error), [*given, *args.cameras, *args.settings])


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keys that the options stand for."""
    given = {key: getattr(args, name) for name, key in _KEYS.items() if getattr(args, name) is not None}
    try:
        for text in args.settings:
            key, value = batch.read_setting(text)
            if key in given:
                raise errors.ConfigurationError(f'"{key}" is given twice: keep one of them')
            given[key] = value
    except errors.SpecError as error:
        raise errors.ConfigurationError(f"--set: {error}") from error
    return {**given, **_password(args)}


def _password(args: argparse.Namespace) -> dict[str, str]:
    if args.password_file:
        return {"password": PasswordFile(args.password_file).read().value}
    if not args.ask_password:
        return {}
    if not sys.stdin.isatty():
        raise errors.ConfigurationError("--ask-password: nobody can be asked here: use --password-file")
    return {"password": getpass.getpass("Password of the clips: ")}


def _from_word(word: str) -> Iterator[Named]:
    if word == "-":
        texts = batch.split_documents(_read(Path("/dev/stdin")).decode("utf-8", "replace"))
        if not texts:
            # What was to write them has perhaps failed: nothing to do is not the same as done.
            raise errors.ConfigurationError("standard input holds no document")
        yield from ((f"stdin{number}", _parse("standard input", text.encode())) for number, text in enumerate(texts, 1))
        return
    path = Path(word)
    paths = _specs_in(path) if path.is_dir() else [path]
    yield from ((path.name.removesuffix(".json"), _parse(str(path), _read(path))) for path in paths)


def _specs_in(directory: Path) -> list[Path]:
    """Return what would be specs in `new/`, too."""
    paths = [path for path in directory.iterdir() if path.suffix == ".json" and not path.name.startswith(".")]
    if not paths:
        raise errors.ConfigurationError(f"{directory} holds no NAME.json")
    return sorted(paths)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _parse(where: str, data: bytes) -> Mapping[str, Any]:
    try:
        return spec.parse_document(data)
    except errors.SpecError as error:
        raise errors.ConfigurationError(f"{where}: {error}") from error
