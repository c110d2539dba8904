"""What shells offer for a line that somebody is typing: bash and fish are asked, zsh sits at a terminal."""

import os
import pty
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from release import documents
from tests.fuse.harness import wait_until

SHELLS = tuple(documents.COMPLETIONS)
_BASH = """
source "$0"; read -ra COMP_WORDS <<< "$1"; [[ $1 != *" " ]] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); complete -p axxonfs >/dev/null && _shtab_axxonfs
printf "%s\\n" "${COMPREPLY[@]}"
"""
# `string` fails where nothing is offered.
_FISH = "source $argv[1]; complete -C $argv[2] | string split -f1 \\t; true"
# Beside what it does, each offer is written down, and so is the end.
_ZSH = """
PROMPT=; cd {home}; fpath=({directory} $fpath); autoload -Uz compinit; compinit -D -u
compadd() {{ local -a hits; builtin compadd -O hits "$@"; print -rl -- $hits >>{home}/offers; builtin compadd "$@" }}
ended() {{ : >{home}/ended }}; comppostfuncs=(ended); : >{home}/ready
"""


def offers(shell: str, written: Path, line: str, home: Path) -> list[str]:
    """Return what a shell offers in the directory `home`, which is empty; `written` is what `make package` writes."""
    if shutil.which(shell) is None:
        pytest.skip(f"not installed, see scripts/setup: {shell}")
    script = written / documents.COMPLETIONS[shell]
    if shell == "zsh":
        return _at_a_terminal(script.parent, line, home)
    words = {"bash": ["bash", "-c", _BASH], "fish": ["fish", "--no-config", "-c", _FISH]}[shell]
    environment = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [*words, script, line], capture_output=True, text=True, check=True, cwd=home, env=environment, timeout=60
    )
    return [word for word in done.stdout.splitlines() if word]


def _at_a_terminal(directory: Path, line: str, home: Path) -> list[str]:
    child, terminal = pty.fork()
    if not child:
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8"})
    try:
        for text in _ZSH.format(home=shlex.quote(str(home)), directory=shlex.quote(str(directory))).splitlines():
            os.write(terminal, f"{text}\n".encode())
        wait_until((home / "ready").exists, "zsh")
        os.write(terminal, f"{line}\t".encode())
        wait_until((home / "ended").exists, "the end of the completion")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    found = home / "offers"
    return [word for word in found.read_text().splitlines() if word] if found.exists() else []
