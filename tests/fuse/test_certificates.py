"""Servers that show another certificate than before, at the start of a mount and under a live one."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axxonfs.cli import exits
from axxonfs.core import errors
from axxonfs.remote import certificates, trust
from axxonfs.simulator.server import Simulator
from tests.fuse.harness import TIMEOUT_S, USER, Rig, needs, wait_until

Rigs = Callable[..., Rig]
QUICK = {"time_factor": "20"}
CERTIFICATE = exits.status_of(errors.CertificateError())


def fingerprint(sim: Simulator) -> str:
    return certificates.fetch_certificate(trust.Endpoint.parse(sim.address), TIMEOUT_S).fingerprint


@contextlib.contextmanager
def successor(rig: Rig, **config: object) -> Iterator[Simulator]:
    """Yield another server at the address of the rig's, which has gone: of the same CA, with a key of its own."""
    directory = rig.scratch / "successor"
    directory.mkdir()
    for name in ("ca.pem", "ca.key"):
        shutil.copy(rig.sim.ca_file.with_name(name), directory)
    rig.sim.stop()
    changed = dataclasses.replace(rig.sim.config, directory=directory, port=rig.sim.port, **config)  # type: ignore[arg-type]
    with Simulator(changed) as sim:
        yield sim


def refusal(rig: Rig) -> str:
    """Return what the command says that does not mount."""
    done = subprocess.run(rig.command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == CERTIFICATE, done.stderr
    return done.stderr


def pinned(rig: Rig, *pins: str) -> None:
    del rig.options["tls_ca"]
    rig.options["tls_pin"] = ":".join(pins)


@pytest.mark.parametrize("san", [(), ("127.0.0.1",), ("nvr.example", "10.0.0.7"), ("Server", "localhost")])
def test_certificates_by_common_name_and_with_alternative_names_work_without_the_user_knowing(
    rigs: Rigs, san: tuple[str, ...]
) -> None:
    rig = rigs(san=san)
    result = rig.hold_bytes(100_000)
    assert result.read_bytes() == rig.truth(result)


def test_another_certificate_of_the_same_ca_is_refused_under_a_pin(rigs: Rigs) -> None:
    rig = rigs()
    assert rig.stop() == 0
    pinned(rig, fingerprint(rig.sim))
    with successor(rig) as sim:
        said = refusal(rig)
        assert f"shows the certificate {fingerprint(sim)}, which is not pinned" in said
        assert f"run `axxonfs trust {sim.address}`" in said
        assert sim.calls.count("AuthenticateEx2") == 0


def test_another_certificate_of_the_same_ca_is_refused_under_the_nodes_own_certificate(rigs: Rigs) -> None:
    rig = rigs()
    assert rig.stop() == 0
    rig.options["tls_ca"] = str(rig.sim.node_file)
    with successor(rig) as sim:
        said = refusal(rig)
        assert "does not come from the CA in tls_ca" in said
        assert sim.calls.count("AuthenticateEx2") == 0


def test_a_certificate_for_another_name_of_the_same_ca_is_refused_with_what_changed(rigs: Rigs) -> None:
    rig = rigs()
    assert rig.stop() == 0
    with successor(rig, node_name="Elsewhere") as sim:
        said = refusal(rig)
        assert "used to be for Server and is for Elsewhere now" in said
        assert "give tls_name=Elsewhere; if not, another server answers" in said
        assert sim.calls.count("AuthenticateEx2") == 0


@pytest.mark.expects_warnings("server away")  # while nobody listens
def test_a_renewed_certificate_of_the_same_name_and_ca_needs_nothing(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    with successor(rig) as sim:
        wait_until(lambda: sim.calls.count("ListSessions"), "the mount looks at the server again")
    # Refused, it would say what differs.
    assert "pinned" not in rig.log.read_text()
    assert "used to be" not in rig.log.read_text()


@pytest.mark.expects_warnings("server away")  # while nobody listens, or until the other pin is tried
def test_several_pins_carry_a_live_mount_over_a_change_of_certificate(rigs: Rigs, tmp_path: Path) -> None:
    rig = rigs(options=QUICK)
    assert rig.stop() == 0
    first = fingerprint(rig.sim)
    with successor(rig) as sim:
        second = fingerprint(sim)
    pinned(rig, first, second)
    rig.sim.start()
    rig.start()
    assert rig.sim.calls.count("ListSessions") > 0
    rig.sim.stop()
    with Simulator(dataclasses.replace(sim.config)) as renewed:
        assert fingerprint(renewed) == second
        wait_until(lambda: renewed.calls.count("ListSessions"), "the mount looks at the server again")


@pytest.mark.expects_warnings("server away")
@pytest.mark.expects_warnings("login not renewed")
def test_under_a_live_mount_another_server_gets_no_password_and_the_mount_says_why(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    result = rig.hold_bytes(100_000)
    with successor(rig, node_name="Elsewhere") as sim:
        words = "used to be for Server and is for Elsewhere now"
        wait_until(lambda: words in str(rig.status(result.parent)["stale_because"]), "the reason is told")
        # However many reads: this server is there, and no read has to be spared the wait for it.
        for _ in range(6):
            with pytest.raises(OSError, match="Permission denied"):
                result.read_bytes()
        assert (result.parent / "state").read_text() == "completed\n"
        assert sim.calls.count("AuthenticateEx2") == 0
        assert words in rig.log.read_text()
    rig.sim.start()
    wait_until(lambda: rig.status(result.parent)["stale_since"] is None, "the mount is back")
    assert result.read_bytes() == rig.truth(result)


ROOTS_PINS = """
mkdir -p /etc/axxonfs && mount -t tmpfs none /etc/axxonfs && "$@" trust "$HOST" --yes &&
"$@" mount "$ACCOUNT@$HOST" "$PLACE" -o "password_file=$PASSWORD_FILE,state_dir=$STATE" && ls "$PLACE" &&
"$@" umount "$PLACE" && cat /etc/axxonfs/known_servers
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root's pins are root's")
@needs("unshare")
def test_roots_pins_are_kept_for_all_mounts_of_the_machine(rigs: Rigs) -> None:
    rig = rigs()
    was_there = Path("/etc/axxonfs").exists()
    with tempfile.TemporaryDirectory() as place:
        variables = {
            "HOST": rig.sim.address,
            "ACCOUNT": USER,
            "PLACE": place,
            "STATE": str(rig.scratch / "state-of-root"),
            "PASSWORD_FILE": str(rig.scratch / "password"),
        }
        words = ["unshare", "-m", "bash", "-euc", ROOTS_PINS, "bash", sys.executable, "-m", "axxonfs"]
        environment = {**os.environ, **variables}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if not was_there:
        Path("/etc/axxonfs").rmdir()
    assert done.returncode == 0, done.stderr
    assert "sessions" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{rig.sim.address} {fingerprint(rig.sim)}"
