"""How programs write specs: what each of them reports, how many exports start, and what `new/` shows then.

The programs are the real ones, on a real mount; which requests each of them
sends stands in docs/design.md. A row is a shell script; in its environment are
DOC and OTHER (files with specs of equal length), SHORT and LARGE (others: on one
short line, and of 24 KB), HALF (the beginning of DOC), BAD (a spec that is
refused), SPEC (the file in new/), NEW (its directory) and DIR (a scratch
directory elsewhere). A row says the exit status of the script, what it must have
printed, how many exports started, which entries there are afterwards, and which
document the file holds then; NAME.session leads to what that document asks for.
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
VIM = "vim -u NONE -N -es"
# As vim does outside of /tmp: the old file becomes NAME.json~, and stays there.
VIM_WITH_BACKUP = f"{VIM} --cmd 'set backup backupskip= backupdir=.'"
TYPE = """-c "call setline(1, readfile('$DOC'))\""""  # what a person does at the keyboard


def python(program: str, *arguments: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {' '.join(arguments)}"


JSON_DUMP = 'import json, sys; json.dump(json.load(open(sys.argv[1])), open(sys.argv[2], "w"), indent=2)'
TEXT = """
import sys
with open(sys.argv[2], "w") as out:
    out.write(open(sys.argv[1]).read())
"""
NEVER_CLOSED = 'import sys; open(sys.argv[2], "w").write(open(sys.argv[1]).read())'
LINES = 'import sys; out = open(sys.argv[2], "w", buffering=1); out.writelines(open(sys.argv[1]))'
# A child that ends closes its copies of the descriptors, in the middle of the document.
WITH_CHILD = """
import os, sys
text = open(sys.argv[1]).read()
with open(sys.argv[2], "w") as out:
    print(text[:20], end="", file=out, flush=True)
    if not os.fork():
        os._exit(0)
    os.wait()
    print(text[20:], file=out)
"""
NANO = f"{shlex.quote(sys.executable)} -m tests.tools.keyboard"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A script, and what it must come to."""

    script: str
    starts: int = 1
    status: int = 0
    shows: frozenset[str] = frozenset(DONE)
    says: str = ""  # on standard error
    holds: str = "DOC"
    needs: str = "bash"

    def __str__(self) -> str:
        return self.script


def row(
    script: str,
    *,
    starts: int = 1,
    status: int = 0,
    shows: set[str] = DONE,
    says: str | None = None,
    holds: str = "DOC",
    needs: str = "bash",
) -> Row:
    said = ("Invalid argument" if status else "") if says is None else says
    return Row(script, starts, status, frozenset(shows), said, holds, needs)


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
    row("""dash -c 'cat > "$SPEC" <<END\n$(cat "$DOC")\nEND'""", needs="dash"),
    row('cat "$DOC" >> "$SPEC"'),
    row("""dash -c 'cat "$DOC" >> "$SPEC"'""", needs="dash"),
    row('dd if="$DOC" of="$SPEC" bs=3 conv=notrunc status=none'),
    row('cp "$LARGE" "$SPEC"', holds="LARGE"),
    row(python(JSON_DUMP, '"$LARGE"', '"$SPEC"'), holds="LARGE"),
    row(python(LINES, '"$LARGE"', '"$SPEC"'), holds="LARGE"),
    row('dd if="$LARGE" of="$SPEC" bs=1 status=none', holds="LARGE"),
    row(python(TEXT, '"$DOC"', '"$SPEC"')),
    row(python(WITH_CHILD, '"$DOC"', '"$SPEC"')),
    row('gio copy "$DOC" "$SPEC"', needs="gio"),
    row('gio save "$SPEC" < "$DOC"', needs="gio"),
    row('mv "$DOC" "$SPEC"'),
    row('cp "$DOC" "$NEW/.NAME.tmp" && mv "$NEW/.NAME.tmp" "$SPEC"'),
    row('rsync "$DOC" "$SPEC"', needs="rsync"),
    row('rsync --inplace "$DOC" "$SPEC"', needs="rsync"),
    row(f'{VIM} {TYPE} -c wq "$SPEC"', needs="vim"),
    row(f'{VIM_WITH_BACKUP} {TYPE} -c wq "$SPEC"', needs="vim"),
    row(f'{NANO} "$DOC" nano --ignorercfiles "$SPEC"', needs="nano"),
]

# A document may arrive in pieces, and closing a copy of the descriptor is not the end of it.
PIECES = [
    row('{ cat "$DOC"; echo; echo; } > "$SPEC"'),
    row('(head -c 9 "$DOC"; tail -c +10 "$DOC") > "$SPEC"'),
    row("""dash -c '{ cat "$DOC"; echo; echo; } > "$SPEC"'""", needs="dash"),
    row("""dash -c '(head -c 9 "$DOC"; tail -c +10 "$DOC") > "$SPEC"'""", needs="dash"),
    row("""dash -c 'exec 3> "$SPEC"; cat "$DOC" >&3; exec 3>&-'""", needs="dash"),
    row('printf "%s \t\n\n \n" "$(cat "$DOC")" > "$SPEC"'),
    row('{ printf "{"; tail -c +2 "$DOC"; } > "$SPEC"'),
    row('exec 3> "$SPEC"; cat "$HALF" >&3 2> "$DIR/said"; tail -c +10 "$DOC" >&3; exec 3>&-'),
    row('touch "$SPEC"; cat "$DOC" > "$SPEC"'),
    row('touch "$SPEC"', starts=0, shows={"NAME.json"}, holds=""),
    row('cat "$HALF" > "$SPEC"', starts=0, status=1, shows=REFUSED, holds="HALF"),
    row('cat "$HALF" > "$SPEC" || tail -c +10 "$DOC" >> "$SPEC"', says="Invalid argument"),
    row(
        'head -c 9 "$DOC" > "$NEW/NAME.txt"; cp "$DOC" "$NEW/.NAME.json"',
        starts=0,
        shows={"NAME.txt", ".NAME.json"},
        holds="",
    ),
]

# The same document again starts nothing again, whoever repeats it and how.
AGAIN = [
    row('echo "$(cat "$DOC")" > "$SPEC"; echo "$(cat "$DOC")" > "$SPEC"'),
    row('cp "$DOC" "$SPEC"; cp "$DOC" "$SPEC"'),
    row('cp -p "$DOC" "$SPEC"; cp -p "$DOC" "$SPEC"'),
    row("""for n in 1 2; do dash -c 'echo "$(cat "$DOC")" > "$SPEC"'; done""", needs="dash"),
    row('install "$DOC" "$SPEC"; install "$DOC" "$SPEC"'),
    row('cp "$DOC" "$DIR/again"; mv "$DOC" "$SPEC"; mv "$DIR/again" "$SPEC"'),
    row('gio copy "$DOC" "$SPEC"; gio copy "$DOC" "$SPEC"', needs="gio"),
    row(f"{python(TEXT, '$DOC', '$SPEC')}; {python(TEXT, '$DOC', '$SPEC')}"),
    row(f"cp $LARGE $SPEC; {python(JSON_DUMP, '$LARGE', '$SPEC')}", holds="LARGE"),
    row(f'cp "$DOC" "$SPEC"; {NANO} /dev/null nano --ignorercfiles "$SPEC"', needs="nano"),
    row(
        f'cp "$DOC" "$SPEC"; {NANO} /dev/null nano --ignorercfiles --backup "$SPEC"',
        shows={*DONE, "NAME.json~"},
        needs="nano",
    ),
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
    row(f'cp "$DOC" "$SPEC"; {VIM_WITH_BACKUP} -c w -c wq "$SPEC"', shows={*DONE, "NAME.json~"}, needs="vim"),
    row('cat "$DOC" > "$SPEC" & cat "$DOC" > "$SPEC" & wait'),
    row('cp "$DOC" "$NEW/.NAME.a"; cp "$DOC" "$NEW/.NAME.b"; mv "$NEW/.NAME.a" "$SPEC"; mv "$NEW/.NAME.b" "$SPEC"'),
]

# Another document in the same place starts another export, and never a mixture of both.
OTHER = [
    row('cp "$DOC" "$SPEC"; cp "$OTHER" "$SPEC"', starts=2, holds="OTHER"),
    row('cp "$DOC" "$SPEC"; dd if="$OTHER" of="$SPEC" conv=notrunc status=none', starts=2, holds="OTHER"),
    row('cp "$DOC" "$SPEC"; dd if="$OTHER" of="$SPEC" conv=notrunc bs=1 status=none', starts=2, holds="OTHER"),
    row('cp "$DOC" "$SPEC"; rsync -I --inplace "$OTHER" "$SPEC"', starts=2, holds="OTHER", needs="rsync"),
    row('cp "$DOC" "$SPEC"; rsync -I --inplace "$SHORT" "$SPEC"', starts=2, holds="SHORT", needs="rsync"),
    row('cp "$LARGE" "$SPEC"; rsync -I --inplace "$DOC" "$SPEC"', starts=2, needs="rsync"),
    row('cp "$LARGE" "$SPEC"; cp "$SHORT" "$SPEC"', starts=2, holds="SHORT"),
    row('cp "$SHORT" "$SPEC"; cp "$LARGE" "$SPEC"', starts=2, holds="LARGE"),
    row('cp "$SHORT" "$SPEC"; dd if="$DOC" of="$SPEC" conv=notrunc status=none', starts=2),
    row('cp "$SHORT" "$SPEC"; dd if="$DOC" of="$SPEC" conv=notrunc bs=7 status=none', starts=2),
    row('cp "$DOC" "$SPEC"; mv "$SHORT" "$SPEC"', starts=2, holds="SHORT"),
    row('cp "$DOC" "$SPEC"; install "$SHORT" "$SPEC"', starts=2, holds="SHORT"),
    row('cp "$DOC" "$SPEC"; gio copy "$SHORT" "$SPEC"', starts=2, holds="SHORT", needs="gio"),
    row('cp "$DOC" "$SPEC"; tee "$SPEC" < "$SHORT" > "$DIR/copy"', starts=2, holds="SHORT"),
    row('cat "$DOC" > "$SPEC" & cat "$OTHER" > "$SPEC" & wait', starts=2, holds="DOC or OTHER"),
    row('cp "$DOC" "$SPEC"; sed -i s/mp4/mkv/ "$SPEC"', starts=2, holds="DOC as mkv"),
    row(f'cp "$DOC" "$SPEC"; {VIM} -c %s/mp4/mkv/ -c w -c wq "$SPEC"', starts=2, holds="DOC as mkv", needs="vim"),
    row(
        f'cp "$DOC" "$SPEC"; {VIM_WITH_BACKUP} -c %s/mp4/mkv/ -c w -c wq "$SPEC"',
        starts=2,
        shows={*DONE, "NAME.json~"},
        holds="DOC as mkv",
        needs="vim",
    ),
    row('cp "$DOC" "$SPEC"; cp "$OTHER" "$SPEC"; cp "$DOC" "$SPEC"', starts=2),
]

# What is wrong is said by the program, starts nothing, and leaves the session of an earlier document alone.
WRONG = [
    row('echo "$(cat "$BAD")" > "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row(
        """dash -c 'echo "$(cat "$BAD")" > "$SPEC"'""",
        starts=0,
        status=1,
        shows=REFUSED,
        says="I/O error",
        holds="BAD",
        needs="dash",
    ),
    row('cat > "$SPEC" <<END\n$(cat "$BAD")\nEND', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('cat "$BAD" >> "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('cp "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('cp -p "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('mv "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('install "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('dd if="$BAD" of="$SPEC" bs=1 status=none', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('tee "$SPEC" < "$BAD" > "$DIR/copy"', starts=0, status=1, shows=REFUSED, holds="BAD"),
    row(python(TEXT, '"$BAD"', '"$SPEC"'), starts=0, status=1, shows=REFUSED, holds="BAD"),
    # What the garbage collector meets Python tells nobody: NAME.error is all there is.
    row(python(NEVER_CLOSED, '"$BAD"', '"$SPEC"'), starts=0, shows=REFUSED, holds="BAD"),
    row(python(WITH_CHILD, '"$BAD"', '"$SPEC"'), starts=0, status=1, shows=REFUSED, holds="BAD"),
    row('gio copy "$BAD" "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD", needs="gio"),
    row(f'{NANO} "$BAD" nano --ignorercfiles "$SPEC"', starts=0, status=1, shows=REFUSED, holds="BAD", needs="nano"),
    row(
        'cp "$DOC" "$SPEC"; dd if="$SHORT" of="$SPEC" conv=notrunc status=none',
        status=1,
        shows={*DONE, "NAME.error"},
        holds="",
    ),
    row('rsync "$BAD" "$SPEC"', starts=0, status=23, shows={"NAME.error"}, holds="", needs="rsync"),
    row('rsync --inplace "$BAD" "$SPEC"', starts=0, status=11, shows=REFUSED, holds="BAD", needs="rsync"),
    row(
        'cp "$BAD" "$NEW/.NAME.tmp" && mv "$NEW/.NAME.tmp" "$SPEC"',
        starts=0,
        status=1,
        shows={".NAME.tmp", "NAME.error"},
        says="subdirectory of itself",  # what mv makes of EINVAL
        holds="",
    ),
    row('{ cat "$DOC"; echo more; } > "$SPEC"', status=1, shows={*DONE, "NAME.error"}, holds=""),
    row('cp "$BAD" "$SPEC"; cp "$DOC" "$SPEC"', says="Invalid argument"),
    row('cp "$DOC" "$SPEC"; cp "$BAD" "$SPEC"', status=1, shows={*DONE, "NAME.error"}, holds="BAD"),
    row('cp "$BAD" "$SPEC"; rm "$SPEC"', starts=0, shows={"NAME.error"}, says="Invalid argument", holds=""),
    row(
        f'cp "$DOC" "$SPEC"; {VIM} -c %s/camera/kamera/ -c wq "$SPEC"',
        status=1,
        shows={*DONE, "NAME.error"},
        says="",
        holds="",
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
    masks = [[[corner / 100, side / 10] for corner in range(50)] for side in range(10)]
    texts = {
        "DOC": text,
        "OTHER": json.dumps({**other, "comment": f"row {number}"}),
        "SHORT": json.dumps({**spec, "camera": "1"}),
        "LARGE": json.dumps({**spec, "comment": f"row {number}", "masks": masks}, indent=2),
        "HALF": text[:9],
        "BAD": json.dumps({**spec, "kamera": "1"}),
    }
    for name, content in texts.items():
        (directory / name).write_text(content)
        (directory / f"was-{name}").write_text(content)  # scripts may move or change theirs
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
    assert row.says in done.stderr
    if row.holds:
        _check_holds(quick, name, row.holds, tmp_path)


def _check_holds(rig: Rig, name: str, holds: str, documents: Path) -> None:
    """Check that NAME.json is one of these documents, and that NAME.session leads to what it asks for."""
    word, _, form = holds.partition(" as ")
    texts = [(documents / f"was-{which}").read_text() for which in word.split(" or ")]
    expected = [text.replace("mp4", form) if form else text for text in texts]
    text = (rig.new / f"{name}.json").read_text()
    assert text.rstrip() in [each.rstrip() for each in expected] or json.loads(text) in map(json.loads, expected)
    if not (rig.new / f"{name}.session").is_symlink() or (rig.new / f"{name}.error").exists():
        return
    asked, said = json.loads(text), rig.status(rig.session_of(name))
    assert said["format"] == asked["format"]
    for key, wanted in (("from", asked["from"]), ("to", asked["to"])):
        assert dt.datetime.fromisoformat(said["requested"][key]) == dt.datetime.fromisoformat(wanted)


def _run(script: str, places: dict[str, Path]) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **{name: str(path) for name, path in places.items()}, "LC_ALL": "C"}
    words = ["bash", "-c", script]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _shown(rig: Rig, name: str) -> frozenset[str]:
    return frozenset(path.name.replace(name, "NAME") for path in rig.new.iterdir() if name in path.name)
