"""`axxonfs demo [MOUNTPOINT]`: a simulator, a mount of it, and a first export.

Everything is real but the cameras: the simulator speaks TLS, the mount is a
process of its own, and the clip is decoded through the mount. Needs the
`simulator` extra.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import rich.console
import rich.progress
import rich.syntax
import rich.tree

from axxonfs.core import errors
from axxonfs.fs import mountpoint as mountpoints
from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.server import Simulator

_CLIP = dt.timedelta(minutes=2)
_MOUNT_TIMEOUT_S = 30.0
_EXPORT_TIMEOUT_S = 120.0
_LOOK_EVERY_S = 0.2
_ACCOUNT = {"demo": "demo"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "demo",
        help="a simulator, a mount of it, and a first export",
        description="Start a simulated server, mount it, export a clip from it, and show what there is.",
    )
    parser.add_argument("mountpoint", nargs="?", default="mnt", metavar="MOUNTPOINT", help="default: ./mnt")
    parser.add_argument("--once", action="store_true", help="unmount and exit after the tour")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Give the tour."""
    console = rich.console.Console()
    where = Path(args.mountpoint).absolute()
    # `kill` ends it as Ctrl-C does: unmounted, and nothing left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.MountpointError(f"{where} cannot be made: {error.strerror}") from error
    with (
        tempfile.TemporaryDirectory(prefix="axxonfs-demo-") as scratch,
        contextlib.closing(Simulator(SimulatorConfig(directory=Path(scratch) / "server", users=_ACCOUNT))) as simulator,
    ):
        simulator.start()
        console.print(f"A simulated Axxon One server listens on 127.0.0.1:{simulator.port}.")
        with _mounted(console, simulator, where, Path(scratch)):
            _tour(console, where)
            if not args.once:
                _stay(console, where)
    console.print(f"Unmounted {where}.")
    return 0


@contextlib.contextmanager
def _mounted(console: rich.console.Console, simulator: Simulator, where: Path, scratch: Path) -> Iterator[None]:
    words = [sys.executable, "-m", "axxonfs", "mount", f"demo@127.0.0.1:{simulator.port}", str(where)]
    words += ["-o", f"tls_ca={simulator.ca_file},state_dir={scratch / 'state'},log_level=warning", "--foreground"]
    environment = {**os.environ, "AXXONFS_PASSWORD": _ACCOUNT["demo"]}
    # A session of its own: Ctrl-C is for the demo, which then ends the mount.
    process = subprocess.Popen(words, env=environment, start_new_session=True)
    try:
        _wait_until_mounted(process, where)
        console.print(f"It is mounted at {where}.\n")
        yield
    finally:
        process.terminate()
        try:
            process.wait(_MOUNT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            mountpoints.unmount(where, lazy=True)


def _wait_until_mounted(process: "subprocess.Popen[bytes]", where: Path) -> None:
    deadline_s = time.monotonic() + _MOUNT_TIMEOUT_S
    while not (where / "sessions").is_dir():
        if process.poll() is not None:
            raise errors.MountpointError("the demo could not mount; the line above says why")
        if time.monotonic() > deadline_s:
            raise errors.DeadlineError("the mount did not answer")
        time.sleep(_LOOK_EVERY_S)


def _tour(console: rich.console.Console, where: Path) -> None:
    session = _start(console, where)
    _follow(console, session)
    console.print(_tree(where))
    clip = next(session.glob("*.mp4"))
    _open(console, clip)
    _say_what_next(console, where, session, clip)


def _start(console: rich.console.Console, where: Path) -> Path:
    """Start an export as a user would: by writing a file."""
    camera = min(path.name for path in (where / "cameras").iterdir())
    known = json.loads((where / "cameras" / camera / "camera.json").read_text())
    end = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=10)
    spec = {
        "camera": f"{known['display_id']}.{known['display_name']}",
        "from": (end - _CLIP).isoformat(),
        "to": end.isoformat(),
        "format": "mp4",
    }
    text = json.dumps(spec)
    console.print(f"$ echo '{text}' > {_short(where)}/new/demo.json", markup=False, highlight=False, soft_wrap=True)
    (where / "new" / "demo.json").write_text(f"{text}\n")
    return (where / "new" / "demo.session").resolve()


def _follow(console: rich.console.Console, session: Path) -> None:
    deadline_s = time.monotonic() + _EXPORT_TIMEOUT_S
    with rich.progress.Progress(console=console) as progress:
        task = progress.add_task("exporting", total=1.0)
        while (state := (session / "state").read_text().strip()) in {"running", "unknown"}:
            if time.monotonic() > deadline_s:
                raise errors.DeadlineError("the export did not end")
            progress.update(task, completed=_progress(session))
            time.sleep(_LOOK_EVERY_S)
        progress.update(task, completed=1.0)
    console.print(f"$ cat {_short(session)}/state\n{state}\n", markup=False, highlight=False, soft_wrap=True)
    if state != "completed":
        raise errors.RefusedError(f"the export ended as {state}: see {session / 'status.json'}")


def _progress(session: Path) -> float:
    told = json.loads((session / "status.json").read_text())["progress"]
    return float(told or 0.0)


def _tree(where: Path) -> rich.tree.Tree:
    root = rich.tree.Tree(f"{_short(where)}/")
    branches = {where: root}
    for path in sorted(where.rglob("*")):
        size = f"  {path.stat().st_size:,} bytes" if path.is_file() and not path.is_symlink() else ""
        target = f" -> {path.readlink()}" if path.is_symlink() else ""
        branches[path] = branches[path.parent].add(rich.markup.escape(f"{path.name}{target}{size}"))
    return root


def _open(console: rich.console.Console, clip: Path) -> None:
    """Decode the clip through the mount."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        length_s = float((container.duration or 0) / av.time_base)
        name = stream.codec_context.name
    console.print(
        f"\nDecoded {clip.name} through the mount: {frames} frames of {name}, {length_s:.1f} s, "
        f"{stream.width}x{stream.height}, {clip.stat().st_size:,} bytes."
    )


def _say_what_next(console: rich.console.Console, where: Path, session: Path, clip: Path) -> None:
    player = "mpv" if shutil.which("mpv") else "your player"
    here = _short(where)
    console.print("\nTry next, in another terminal:", highlight=False)
    for line in (
        f"ls -lR {here}",
        f"{player} {here}/sessions/{session.name}/{clip.name}",
        f"cat {here}/sessions/{session.name}/status.json",
        f"cp {here}/sessions/{session.name}/spec.json {here}/new/again.json   # the same export once more",
        f"""echo '{{"camera": "1", "live": true}}' > {here}/new/live.json        # runs until stopped""",
        f"echo stop > {here}/new/live.session/control",
        f'echo \'{{"camera": "Frnt door", "at": "-1h"}}\' > {here}/new/wrong.json; cat {here}/new/wrong.error',
    ):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _stay(console: rich.console.Console, where: Path) -> None:
    console.print(f"\n{where} stays mounted until Ctrl-C.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _short(path: Path) -> str:
    """Return the path as one would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
