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

COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/axxonfs",
    "zsh": "usr/share/zsh/vendor-completions/_axxonfs",
    "fish": "usr/share/fish/vendor_completions.d/axxonfs.fish",
}
# What an argument is, by what its usage calls it.
_DIRECTORIES: Final = {"MOUNTPOINT", "DIR", "DIRECTORY"}
_FILES: Final = {"FILE", "SPEC"}
_SESSIONS: Final = {"PATH"}
# Whose MOUNTPOINT is one that is mounted already.
_OF_MOUNTS: Final = {"umount", "export"}
_COLUMNS: Final = "80"
_HOME: Final = "/home/you"

# Print the mounts that are there, and all their session directories; awk's octal escapes are those of mountinfo.
_LIST_MOUNTS: Final = r"""awk '/ - fuse\.axxonfs / { print $5 }' /proc/self/mountinfo |
    while read -r where; do printf '%b\n' "$where"; done"""
_LIST_SESSIONS: Final = rf"""{_LIST_MOUNTS} |
    while read -r where; do find "$where/sessions/" -mindepth 1 -maxdepth 1 -type d 2>/dev/null; done"""


def _preamble(shell: str, name: str, program: str, plain: str) -> str:
    """Return a function of the shell that offers what a program of sh prints, and then plain files or directories."""
    quoted = program.replace("'", r"'\''")
    return {
        "bash": f"""{name}() {{
  compgen -W "$({program})" -- "$1"
  compgen {"-d" if plain == "directories" else "-f"} -- "$1"
}}
""",
        "zsh": f"""{name}() {{
  local -a found
  found=(${{(f)"$({program})"}})
  compadd -f -a found
  _files{" -/" if plain == "directories" else ""}
}}
""",
        "fish": f"""function {name}
  sh -c '{quoted}'
  __fish_complete_{"directories" if plain == "directories" else "path"} (commandline -ct)
end
""",
    }[shell]


# Whole paths of sessions and mounts are offered beside what is in the directory where somebody is.
_FUNCTIONS: Final = {"_axxonfs_sessions": (_LIST_SESSIONS, "files"), "_axxonfs_mounts": (_LIST_MOUNTS, "directories")}


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
    for command, parser in parsers(whole).items():
        for action in parser._actions:  # noqa: SLF001 - as above
            _say_what_it_is(action, command)
    preamble = "".join(_preamble(shell, name, *words) for name, words in _FUNCTIONS.items())
    text: str = shtab.complete(whole, shell, preamble=preamble)
    return text


def _say_what_it_is(action: argparse.Action, command: str) -> None:
    kinds = [(_DIRECTORIES, shtab.DIRECTORY), (_FILES, shtab.FILE), (_SESSIONS, _function("_axxonfs_sessions"))]
    if command in _OF_MOUNTS:
        kinds.insert(0, ({"MOUNTPOINT"}, _function("_axxonfs_mounts")))
    for names, kind in kinds:
        if action.metavar in names:
            action.complete = kind  # type: ignore[attr-defined] # where shtab looks for it
            return


def _function(name: str) -> dict[str, str]:
    """Return how each shell is told to complete by a function."""
    return {"bash": name, "zsh": name, "fish": f"({name})"}


def write(directory: Path) -> None:
    """Write all of it below a directory, as a package of Debian has it."""
    for name, text in pages():
        path = directory / f"usr/share/man/man{name[-1]}/{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a time in it, the same text is the same file.
        path.write_bytes(gzip.compress(text.replace(_HOME, "~").encode(), mtime=0))
    for shell, place in COMPLETIONS.items():
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(completion(shell).replace(_HOME, "~"), "utf-8")


if __name__ == "__main__":
    # A page must neither name the home of whoever made it nor be as wide as their terminal.
    os.environ |= {"HOME": _HOME, "COLUMNS": _COLUMNS}
    write(Path(sys.argv[1]))
