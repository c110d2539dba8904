"""Secrets are planted wherever they may come in, and looked for wherever they could come out."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axxonfs.cli import exits
from axxonfs.core import errors
from tests.fuse.harness import CLIP, PASSWORD, TIMEOUT_S, USER, Rig, wait_until

Rigs = Callable[..., Rig]
TAKEN, REFUSED, RAW, DRAFT, ECHOED = (f"planted-{word}-7d1f04" for word in ("taken", "refused", "raw", "draft", "echo"))
WRONG = "planted-wrong-7d1f04"
IN_SPECS = (TAKEN, REFUSED, RAW, ECHOED)


def found_in(data: bytes, secrets: tuple[str, ...]) -> list[str]:
    return [secret for secret in secrets if secret.encode() in data]


def mounted_bytes(rig: Rig) -> Iterator[tuple[str, bytes]]:
    """Yield every text and every attribute of the mount, with where it was found; results are the server's."""
    for directory, _, names in os.walk(rig.path):
        for path in (Path(directory), *(Path(directory) / name for name in names)):
            for name in os.listxattr(path, follow_symlinks=False):
                yield f"{path} {name}", os.getxattr(path, name, follow_symlinks=False)
            yield f"link {path}", str(path.readlink()).encode() if path.is_symlink() else b""
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()[:1_000_000]


def kept_bytes(rig: Rig) -> Iterator[tuple[str, bytes]]:
    """Yield what lies on the disk: the journal with all of SQLite's files, and the log."""
    for path in [*(rig.scratch / "state").rglob("*"), rig.log]:
        if path.is_file():
            yield str(path), path.read_bytes()


def process_bytes(rig: Rig) -> Iterator[tuple[str, bytes]]:
    """Yield what the process list shows of the daemon, from each of its threads."""
    assert rig.process is not None
    directory = Path(f"/proc/{rig.process.pid}")
    for path in (directory / "cmdline", directory / "environ", *directory.glob("task/*/environ")):
        with contextlib.suppress(FileNotFoundError):  # a thread that ended
            yield str(path), path.read_bytes()


def leaks(places: Iterator[tuple[str, bytes]], secrets: tuple[str, ...]) -> dict[str, list[str]]:
    looked = {place: found_in(data, secrets) for place, data in places}
    assert len(looked) > 1
    return {place: found for place, found in looked.items() if found}


def plant(rig: Rig) -> None:
    """Bring a secret in by every door there is."""
    rig.exported("taken", password=TAKEN)
    with pytest.raises(OSError, match="Invalid argument"):
        (rig.new / "refused.json").write_text(json.dumps(CLIP() | {"password": REFUSED, "format": "pdf"}))
    settings = {"stream": {"settings": [{"password": RAW}]}}
    rig.write_spec("raw", **CLIP(), options=settings)
    # A server that repeats what it was sent.
    rig.sim.faults.add(method="StartSession", status="INVALID_ARGUMENT", details=f"bad setting password: {ECHOED}")
    with pytest.raises(OSError, match="Invalid argument"):
        (rig.new / "echo.json").write_text(json.dumps(CLIP() | {"password": ECHOED}))
    (rig.new / ".moved").write_text(json.dumps(CLIP() | {"password": TAKEN}))
    (rig.new / ".moved").rename(rig.new / "moved.json")
    wait_until(lambda: TAKEN not in (rig.new / "moved.json").read_text(), "the password is masked")


@pytest.mark.expects_warnings("WARNING")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_left_anywhere(rigs: Rigs, log_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = rigs(options={"log_level": "debug", "time_factor": "20"})
    assert rig.stop() == 0
    del rig.options["password_file"]
    rig.words = ["--log-format", log_format]
    # A refused login first: it has errors of its own.
    monkeypatch.setenv("AXXONFS_PASSWORD", WRONG)
    refused = subprocess.run(rig.command, capture_output=True, check=False, timeout=TIMEOUT_S)
    assert refused.returncode == exits.status_of(errors.AccessError())
    assert found_in(refused.stdout + refused.stderr, (WRONG,)) == []
    monkeypatch.setenv("AXXONFS_PASSWORD", PASSWORD)
    rig.start()
    plant(rig)
    secrets = (PASSWORD, WRONG, *IN_SPECS, *rig.sim.logins.tokens())
    assert leaks(mounted_bytes(rig), secrets) == {}
    assert leaks(process_bytes(rig), secrets) == {}
    # A crash leaves the journal as it was at that moment.
    rig.stop(signal.SIGKILL)
    assert leaks(kept_bytes(rig), secrets) == {}
    rig.start()
    secrets += rig.sim.logins.tokens()
    assert leaks(mounted_bytes(rig), secrets) == {}
    assert rig.stop() == 0
    assert leaks(kept_bytes(rig), secrets) == {}


def test_a_draft_with_a_password_is_kept_from_everybody_but_its_writer_and_from_the_disk(rigs: Rigs) -> None:
    rig = rigs()
    draft = rig.new / "draft.json"
    with pytest.raises(OSError, match="Invalid argument"):
        draft.write_text(f'{{"camera": "1.Front door", "password": "{DRAFT}",')
    assert draft.stat().st_mode & 0o077 == 0
    assert rig.stop() == 0
    assert leaks(kept_bytes(rig), (DRAFT,)) == {}


def test_a_password_as_an_option_is_refused_without_repeating_it(tmp_path: Path) -> None:
    """What stands on a command line is seen by everybody; at least it is not written down once more."""
    command = [
        sys.executable,
        "-m",
        "axxonfs",
        "mount",
        f"{USER}@127.0.0.1:1",
        str(tmp_path),
        "-o",
        f"password={TAKEN}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert TAKEN not in done.stdout + done.stderr
    assert "option password" in done.stderr
