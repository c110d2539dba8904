"""The file systems to compare with, and the servers they need: rclone over HTTP, sshfs over SFTP.

Decides how each is set up: with the defaults that its users get, read-only, over
a connection of its own. The sshd is the benchmark's own: keys, port and
configuration are made for the run and go with it. TLS of the HTTP server is that
of the simulator; sshfs has no mode without encryption.
"""

import contextlib
import dataclasses
import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from axxonfs.simulator.certificates import ensure_certificates
from benchmarks import processes
from benchmarks.proxy import Address

SSHD = Path("/usr/sbin/sshd")
_RCLONE = Path(sys.executable).with_name("rclone")
# Where sshd puts its unprivileged half; service managers make it.
_SSHD_EMPTY = Path("/run/sshd")
_LOCALHOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """A directory that is served, and what a client needs to know."""

    address: Address
    credentials: Path | None  # a certificate, or a private key


@contextlib.contextmanager
def http(directory: Path, scratch: Path, *, tls: bool) -> Iterator[Served]:
    """Serve a directory by rclone's HTTP server."""
    port = processes.free_port()
    words = [str(_RCLONE), "serve", "http", str(directory), "--addr", f"{_LOCALHOST}:{port}", *_no_config()]
    root = None
    if tls:
        authority, node = ensure_certificates(scratch / "http", "localhost", (_LOCALHOST,))
        root = authority.certificate_file
        words += ["--cert", str(node.certificate_file), "--key", str(node.key_file)]
    with processes.started(words, lambda: processes.listens(port), scratch / "http.log"):
        yield Served((_LOCALHOST, port), root)


@contextlib.contextmanager
def rclone(
    address: Address, certificate: Path | None, where: Path, scratch: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Mount what `http` serves."""
    scheme = "https" if certificate else "http"
    words = [str(_RCLONE), "mount", ":http:", str(where), "--http-url", f"{scheme}://{address[0]}:{address[1]}/"]
    words += ["--read-only", *_no_config(), *(["--ca-cert", str(certificate)] if certificate else [])]
    with processes.mounted(words, where, scratch / f"{where.name}.log") as process:
        yield process


@contextlib.contextmanager
def sshd(scratch: Path) -> Iterator[Served]:
    """Run an SSH server that lets this user in with a key of the run."""
    directory = scratch / "sshd"
    directory.mkdir(mode=0o700)
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", directory / name], check=True)
    port = processes.free_port()
    configuration = directory / "sshd_config"
    configuration.write_text(_sshd_configuration(directory, port))
    with _sshd_empty():
        words = [str(SSHD), "-D", "-e", "-f", str(configuration)]
        with processes.started(words, lambda: processes.listens(port), scratch / "sshd.log"):
            yield Served((_LOCALHOST, port), directory / "user_key")


@contextlib.contextmanager
def sshfs(
    address: Address, key: Path | None, directory: Path, where: Path, scratch: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Mount a directory over SSH."""
    options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ro"]
    words = ["sshfs", "-f", "-p", str(address[1]), "-F", "/dev/null", "-o", f"IdentityFile={key}"]
    words += [word for option in options for word in ("-o", option)]
    words += [f"{getpass.getuser()}@{address[0]}:{directory}", str(where)]
    with processes.mounted(words, where, scratch / f"{where.name}.log") as process:
        yield process


def _sshd_configuration(directory: Path, port: int) -> str:
    words = {
        "ListenAddress": f"{_LOCALHOST}:{port}",
        "HostKey": directory / "host_key",
        "AuthorizedKeysFile": directory / "user_key.pub",
        "PidFile": "none",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",  # the directory of the run lies where everybody may write
        "UsePAM": "no",
        "Subsystem": "sftp internal-sftp",
    }
    return "".join(f"{name} {value}\n" for name, value in words.items())


@contextlib.contextmanager
def _sshd_empty() -> Iterator[None]:
    """Let the directory be there that sshd locks its unprivileged half into."""
    if _SSHD_EMPTY.exists() or os.geteuid() != 0:
        yield
        return
    _SSHD_EMPTY.mkdir(mode=0o755)
    try:
        yield
    finally:
        _SSHD_EMPTY.rmdir()


def _no_config() -> list[str]:
    return ["--config", "/dev/null"]
