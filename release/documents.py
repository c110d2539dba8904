"""`python -m release.documents DIRECTORY`: manual pages and shell completions, where a package installs them.

Both are made from the parsers that `--help` is printed from, the completions by
shtab. What only a running system knows, the sessions of the mounts that are
there, is looked up when somebody presses the key.
"""

import argparse
import gzip
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import shtab

from axxonfs.cli import helper, main
from release import manual

_COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/axxonfs",
    "zsh": "usr/share/zsh/vendor-completions/_axxonfs",
    "fish": "usr/share/fish/vendor_completions.d/axxonfs.fish",
}
# What an argument is, by what its usage calls it.
_DIRECTORIES: Final = {"MOUNTPOINT", "DIR", "DIRECTORY"}
_FILES: Final = {"FILE", "SPEC"}
_SESSIONS: Final = {"PATH"}
_COLUMNS: Final = "80"
_HOME: Final = "/home/you"

# Prints the session directories of all mounts that are there; awk's octal escapes are those of mountinfo.
_LIST_SESSIONS: Final = r"""awk '/ - fuse\.axxonfs / { print $5 }' /proc/self/mountinfo |
    while read -r where; do printf '%b\n' "$where"/sessions/*/; done"""
_PREAMBLE: Final = {
    "bash": f"""_axxonfs_sessions_file() {{
  compgen -W "$({_LIST_SESSIONS})" -- "$1"
  compgen -f -- "$1"
}}
""",
    "zsh": f"""_axxonfs_sessions() {{
  local -a found
  found=(${{(f)"$({_LIST_SESSIONS})"}})
  compadd -f -a found
  _files
}}
""",
    "fish": f"""function _axxonfs_sessions
  sh -c '{_LIST_SESSIONS.replace("'", chr(39) + chr(92) + chr(39) + chr(39))}'
  __fish_complete_path (commandline -ct)
end
""",
}
_COMPLETE_SESSIONS: Final = {
    "bash": "_axxonfs_sessions_file",
    "zsh": "_axxonfs_sessions",
    "fish": "(_axxonfs_sessions)",
}


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each manual page."""
    version = importlib.metadata.version("axxonfs")
    whole = main.parser(main.COMMANDS)
    commands = ", ".join(f"axxonfs-{name}(1)" for name in main.COMMANDS)
    yield (
        "axxonfs.1",
        manual.page(
            whole,
            section=1,
            summary="Axxon One export sessions as a file system",
            version=version,
            see_also=f"{commands}, mount.axxonfs(8)",
            statuses=exit_statuses(),
        ),
    )
    for name, parser in parsers(whole).items():
        summary = main.COMMANDS[name]
        text = manual.page(parser, section=1, summary=summary, version=version, see_also="axxonfs(1), mount.axxonfs(8)")
        yield f"axxonfs-{name}.1", text
    yield (
        "mount.axxonfs.8",
        manual.page(
            helper.parser(),
            section=8,
            summary="mount an Axxon One server by mount(8) and fstab",
            version=version,
            see_also="axxonfs-mount(1), mount(8), fstab(5), systemd.mount(5)",
        ),
    )


def exit_statuses() -> list[tuple[str, str]]:
    """Return the table of exit statuses in the documents, which a test compares with the code."""
    text = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text("utf-8")
    table = text.partition("<!-- checked: exit statuses -->\n")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return [(status.strip(), meaning.strip()) for status, meaning in rows]


def parsers(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands by their names."""
    [subparsers] = [
        action
        for action in whole._actions  # noqa: SLF001 - argparse has no other door
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    ]
    return dict(subparsers.choices)


def completion(shell: str) -> str:
    """Return the completion for a shell."""
    whole = main.parser(main.COMMANDS)
    for parser in parsers(whole).values():
        for action in parser._actions:  # noqa: SLF001 - as above
            _say_what_it_is(action)
    text: str = shtab.complete(whole, shell, preamble=_PREAMBLE[shell])
    return text


def _say_what_it_is(action: argparse.Action) -> None:
    kinds = ((_DIRECTORIES, shtab.DIRECTORY), (_FILES, shtab.FILE), (_SESSIONS, _COMPLETE_SESSIONS))
    for names, kind in kinds:
        if action.metavar in names:
            action.complete = kind  # type: ignore[attr-defined] # where shtab looks for it


def write(directory: Path) -> None:
    """Write all of it below a directory, as a package of Debian has it."""
    for name, text in pages():
        path = directory / f"usr/share/man/man{name[-1]}/{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a time in it, the same text is the same file.
        path.write_bytes(gzip.compress(text.replace(_HOME, "~").encode(), mtime=0))
    for shell, place in _COMPLETIONS.items():
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(completion(shell).replace(_HOME, "~"), "utf-8")


if __name__ == "__main__":
    # A page must neither name the home of whoever made it nor be as wide as their terminal.
    os.environ |= {"HOME": _HOME, "COLUMNS": _COLUMNS}
    write(Path(sys.argv[1]))
