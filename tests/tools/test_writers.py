"""How programs write specs: what each of them reports, how many exports start, and what `new/` shows then.

The programs are the real ones, on a real mount; which requests each of them
sends stands in docs/design.md. A row is a shell script; in its environment are
DOC and OTHER (files with specs of equal length), HALF (the beginning of DOC),
BAD (a spec that is refused), SPEC (the file in new/), NEW (its directory) and DIR
(a scratch directory elsewhere).
"""

import dataclasses
import datetime as dt
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse.harness import CLIP, Rig, module_rig, wait_until

_numbers = itertools.count()
DONE = {"NAME.json", "NAME.session"}
REFUSED = {"NAME.json", "NAME.error"}
JSON_DUMP = 'import json, sys; json.dump(json.load(open(sys.argv[1])), open(sys.argv[2], "w", buffering=64), indent=2)'
VIM = "vim -u NONE -N -es"
TYPE = """-c "call setline(1, readfile('$DOC'))\""""  # what a person does at the keyboard


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A script, and what it must come to."""

    script: str
    starts: int = 1
    status: int = 0
    shows: frozenset[str] = frozenset(DONE)
    needs: str = "bash"

    def __str__(self) -> str:
        return self.script


def row(script: str, *, starts: int = 1, status: int = 0, shows: set[str] = DONE, needs: str = "bash") -> Row:
    return Row(script, starts, status, frozenset(shows), needs)


ONCE = [
    row('echo "$(cat "$DOC")" > "$SPEC"'),
    row("""dash -c 'echo "$(cat "$DOC")" > "$SPEC"'""", needs="dash"),
    row('printf %s "$(cat "$DOC")" > "$SPEC"'),
    row('cat "$DOC" > "$SPEC"'),
    row('cat > "$SPEC" <<END\n$(cat "$DOC")\nEND'),
    row('cp "$DOC" "$SPEC"'),
    row('cp -p "$DOC" "$SPEC"'),
    row('install -m 640 "$DOC" "$SPEC"'),
    row('tee "$SPEC" < "$DOC" > "$DIR/copy"'),
    row('dd if="$DOC" of="$SPEC" bs=1 status=none'),
    row('dd if="$DOC" of="$SPEC" bs=64K status=none'),
    row(f'{shlex.quote(sys.executable)} -c {shlex.quote(JSON_DUMP)} "$DOC" "$SPEC"'),
    row('gio copy "$DOC" "$SPEC"', needs="gio"),
    row('mv "$DOC" "$SPEC"'),
    row('cp "$DOC" "$NEW/.NAME.tmp" && mv "$NEW/.NAME.tmp" "$SPEC"'),
    row('rsync "$DOC" "$SPEC"', needs="rsync"),
    row('rsync --inplace "$DOC" "$SPEC"', needs="rsync"),
    row(f'{VIM} {TYPE} -c wq "$SPEC"', needs="vim"),
]

# A document may arrive in pieces, and closing a copy of the descriptor is not the end of it.
PIECES = [
    row('{ cat "$DOC"; echo; echo; } > "$SPEC"'),
    row('(head -c 9 "$DOC"; tail -c +10 "$DOC") > "$SPEC"'),
    row('{ printf "{"; tail -c +2 "$DOC"; } > "$SPEC"'),
    row('exec 3> "$SPEC"; cat "$HALF" >&3 2> "$DIR/said"; tail -c +10 "$DOC" >&3; exec 3>&-'),
    row('touch "$SPEC"; cat "$DOC" > "$SPEC"'),
    row('touch "$SPEC"', starts=0, shows={"NAME.json"}),
    row('cat "$HALF" > "$SPEC"', starts=0, status=1, shows=REFUSED),
    row('cat "$HALF" > "$SPEC" || tail -c +10 "$DOC" >> "$SPEC"'),
    row(
        'head -c 9 "$DOC" > "$NEW/NAME.txt"; cp "$DOC" "$NEW/.NAME.json"',
        starts=0,
        shows={"NAME.txt", ".NAME.json"},
    ),
]

# The same document again starts nothing again, whoever repeats it and how.
AGAIN = [
    row('echo "$(cat "$DOC")" > "$SPEC"; echo "$(cat "$DOC")" > "$SPEC"'),
    row('cp "$DOC" "$SPEC"; cp "$DOC" "$SPEC"'),
    row('cp -p "$DOC" "$SPEC"; cp -p "$DOC" "$SPEC"'),
    row('tee "$SPEC" < "$DOC" > "$SPEC"x; tee "$SPEC" < "$DOC" > "$SPEC"x', shows={*DONE, "NAME.jsonx"}),
    row('rsync "$DOC" "$SPEC"; touch -d @5 "$DOC"; rsync "$DOC" "$SPEC"', needs="rsync"),
    row('rsync -a "$DOC" "$SPEC"; rsync -a "$DOC" "$SPEC"', needs="rsync"),
    row('rsync --inplace "$DOC" "$SPEC"; touch -d @5 "$DOC"; rsync --inplace "$DOC" "$SPEC"', needs="rsync"),
    row('cp "$DOC" "$SPEC"; dd if="$DOC" of="$SPEC" conv=notrunc status=none'),
    row('cp "$DOC" "$SPEC"; touch "$SPEC"; : >> "$SPEC"; echo >> "$SPEC"'),
    row('cp "$DOC" "$SPEC"; mv "$SPEC" "$SPEC~"; mv "$SPEC~" "$SPEC"'),
    row('cp "$DOC" "$SPEC"; sed -i s/mp4/mp4/ "$SPEC"'),
    row(f'{VIM} {TYPE} -c w -c wq "$SPEC"', needs="vim"),
    row(f'cp "$DOC" "$SPEC"; {VIM} -c w -c wq "$SPEC"', needs="vim"),
    row('cat "$DOC" > "$SPEC" & cat "$DOC" > "$SPEC" & wait'),
    row('cp "$DOC" "$NEW/.NAME.a"; cp "$DOC" "$NEW/.NAME.b"; mv "$NEW/.NAME.a" "$SPEC"; mv "$NEW/.NAME.b" "$SPEC"'),
]

# Another document in the same place starts another export, and never a mixture of both.
OTHER = [
    row('cp "$DOC" "$SPEC"; cp "$OTHER" "$SPEC"', starts=2),
    row('cp "$DOC" "$SPEC"; dd if="$OTHER" of="$SPEC" conv=notrunc status=none', starts=2),
    row('cp "$DOC" "$SPEC"; dd if="$OTHER" of="$SPEC" conv=notrunc bs=1 status=none', starts=2),
    row('cp "$DOC" "$SPEC"; rsync -I --inplace "$OTHER" "$SPEC"', starts=2, needs="rsync"),
    row('cp "$DOC" "$SPEC"; sed -i s/mp4/mkv/ "$SPEC"', starts=2),
    row(f'cp "$DOC" "$SPEC"; {VIM} -c %s/mp4/mkv/ -c w -c wq "$SPEC"', starts=2, needs="vim"),
    row('cp "$DOC" "$SPEC"; cp "$OTHER" "$SPEC"; cp "$DOC" "$SPEC"', starts=2),
]

# What is wrong is said by the program, starts nothing, and leaves the session of an earlier document alone.
WRONG = [
    row('cp "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED),
    row('mv "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED),
    row('install "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED),
    row('dd if="$BAD" of="$SPEC" bs=1 status=none', starts=0, status=1, shows=REFUSED),
    row('tee "$SPEC" < "$BAD" > "$DIR/copy"', starts=0, status=1, shows=REFUSED),
    row('rsync "$BAD" "$SPEC"', starts=0, status=23, shows={"NAME.error"}, needs="rsync"),
    row(
        'cp "$BAD" "$NEW/.NAME.tmp" && mv "$NEW/.NAME.tmp" "$SPEC"',
        starts=0,
        status=1,
        shows={".NAME.tmp", "NAME.error"},
    ),
    row('{ cat "$DOC"; echo more; } > "$SPEC"', status=1, shows={*DONE, "NAME.error"}),
    row('cp "$BAD" "$SPEC"; cp "$DOC" "$SPEC"'),
    row('cp "$DOC" "$SPEC"; cp "$BAD" "$SPEC"', status=1, shows={*DONE, "NAME.error"}),
    row('cp "$BAD" "$SPEC"; rm "$SPEC"', starts=0, shows={"NAME.error"}),
    row(
        f'cp "$DOC" "$SPEC"; {VIM} -c %s/camera/kamera/ -c wq "$SPEC"',
        status=1,
        shows={*DONE, "NAME.error"},
        needs="vim",
    ),
]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount whose exports are a few bytes: what is tested here is how they start."""
    with module_rig(tmp_path_factory, options={"time_factor": "20"}, file_size_bytes=1000) as rig:
        yield rig


def _documents(directory: Path, number: int) -> dict[str, Path]:
    """Write the specs that a script may use; they differ from those of other rows."""
    spec = CLIP()
    other = {**spec, "to": (dt.datetime.fromisoformat(spec["to"]) + dt.timedelta(seconds=1)).isoformat()}
    text = json.dumps({**spec, "comment": f"row {number}"})
    texts = {
        "DOC": text,
        "OTHER": json.dumps({**other, "comment": f"row {number}"}),
        "HALF": text[:9],
        "BAD": json.dumps({**spec, "kamera": "1"}),
    }
    for name, content in texts.items():
        (directory / name).write_text(content)
    return {name: directory / name for name in texts}


def _fence(rig: Rig) -> None:
    """Return once whatever a rename has started behind has been asked for: starts leave in their order."""
    rig.write_spec(f"fence{next(_numbers)}", camera="1", at="-1h")


@pytest.mark.parametrize("row", [*ONCE, *PIECES, *AGAIN, *OTHER, *WRONG], ids=str)
def test_a_program_that_writes_a_spec(quick: Rig, tmp_path: Path, row: Row) -> None:
    if not shutil.which(row.needs):
        pytest.skip(f"{row.needs} is not installed")
    number = next(_numbers)
    name = f"row{number}"
    before = quick.starts
    places = {"NEW": quick.new, "SPEC": quick.new / f"{name}.json", "DIR": tmp_path, **_documents(tmp_path, number)}
    done = _run(row.script.replace("NAME", name), places)
    _fence(quick)
    wait_until(lambda: row.shows <= _shown(quick, name), f"{row.shows}: {_shown(quick, name)}", timeout_s=5)
    seen = (done.returncode, quick.starts - before - 1, _shown(quick, name))
    assert seen == (row.status, row.starts, row.shows), done.stderr


def _run(script: str, places: dict[str, Path]) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **{name: str(path) for name, path in places.items()}, "LC_ALL": "C"}
    words = ["bash", "-c", script]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _shown(rig: Rig, name: str) -> frozenset[str]:
    return frozenset(path.name.replace(name, "NAME") for path in rig.new.iterdir() if name in path.name)
