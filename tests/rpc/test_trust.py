"""Trust in a server's certificate, against real TLS servers with certificates of every kind."""

import argparse
import contextlib
import datetime as dt
import io
import ipaddress
import os
import pty
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from axxonfs.cli import trust as command
from axxonfs.core import errors
from axxonfs.remote import trust
from axxonfs.remote.channel import Link
from axxonfs.remote.credentials import Credentials
from axxonfs.remote.exports import ExportClient
from tests.rpc.support import USER, make_simulator, write_password

NOW = dt.datetime.now(dt.UTC)
TIMEOUT_S = 10.0


class Issued(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        return f"sha256:{self.certificate.fingerprint(hashes.SHA256()).hex()}"

    @property
    def key_pem(self) -> bytes:
        no_secret = serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_secret)


def issue(
    common_name: str, issuer: Issued | None = None, san: tuple[str, ...] = (), *, from_day: int = -60, to_day: int = 60
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + dt.timedelta(days=from_day))
        .not_valid_after(NOW + dt.timedelta(days=to_day))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName([general_name(name) for name in san]), False)  # noqa: FBT003  cryptography has no keyword here that mypy knows
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


ROOT = issue("api.ngp Root CA")
OTHER_ROOT = issue("Another Root CA")
PLAIN = issue("Server", ROOT)
NAMED = issue("Server", ROOT, ("10.0.0.7", "node.example", "::1", "*.site.example"))
RENAMED = issue("NewServer", ROOT)
EXPIRED = issue("Server", ROOT, to_day=-1)
FUTURE = issue("Server", ROOT, from_day=1)

Serve = Callable[[Issued], trust.Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start gRPC servers without services: their handshake is all that trust looks at."""
    with contextlib.ExitStack() as stack:

        def start(issued: Issued) -> trust.Endpoint:
            server = grpc.server(stack.enter_context(futures.ThreadPoolExecutor(2)))
            credentials = grpc.ssl_server_credentials([(issued.key_pem, issued.pem)])
            port = server.add_secure_port("127.0.0.1:0", credentials)
            server.start()
            stack.callback(lambda: server.stop(0).wait())
            return trust.Endpoint("127.0.0.1", port)

        yield start


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(ROOT.pem)
    return path


def establish(endpoint: trust.Endpoint, options: trust.TrustOptions, learnt_name: str | None = None) -> trust.Trust:
    established = trust.establish(endpoint, options, learnt_name=learnt_name, timeout_s=TIMEOUT_S)
    assert established is not None
    return established


def assert_grpc_accepts(endpoint: trust.Endpoint, established: trust.Trust) -> None:
    """UNIMPLEMENTED is said by the server, so the handshake succeeded."""
    options = [("grpc.ssl_target_name_override", established.name)]
    credentials = grpc.ssl_channel_credentials(established.root_pem)
    with grpc.secure_channel(str(endpoint), credentials, options) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/no/Method", bytes, bytes)(b"", timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("vms", "vms", 20109),
        ("VMS.Example:443", "vms.example", 443),
        ("10.0.0.7", "10.0.0.7", 20109),
        ("[::1]:9", "::1", 9),
        ("[FE80::1%eth0]", "fe80::1%eth0", 20109),
    ],
)
def test_an_endpoint_is_read_from_host_and_port(text: str, host: str, port: int) -> None:
    endpoint = trust.Endpoint.parse(text)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert trust.Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize("text", ["", ":1", "::1", "host:", "host:0", "host:65536", "host:x", "a b", "u@host", "[::1"])
def test_an_endpoint_that_is_written_wrongly_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=re.escape("[IPV6]:PORT")):
        trust.Endpoint.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("10.0.0.1", False), ("localhost.example", False)],
)
def test_only_this_machine_is_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001  a table of cases
    assert trust.Endpoint(host).is_loopback is loopback


def test_a_certificate_is_fetched_with_all_that_a_person_wants_to_see(serve: Serve) -> None:
    certificate = trust.fetch_certificate(serve(NAMED), TIMEOUT_S)
    assert certificate.subject == "CN=Server"
    assert certificate.common_name == "Server"
    assert certificate.names == ("10.0.0.7", "node.example", "::1", "*.site.example")
    assert certificate.issuer == "CN=api.ngp Root CA"
    assert certificate.fingerprint == NAMED.fingerprint
    assert certificate.not_before < NOW < certificate.not_after


@pytest.mark.parametrize("issued", [EXPIRED, FUTURE], ids=["expired", "future"])
def test_a_certificate_that_is_not_valid_is_fetched_all_the_same(serve: Serve, issued: Issued) -> None:
    assert trust.fetch_certificate(serve(issued), TIMEOUT_S).fingerprint == issued.fingerprint


def test_control_characters_in_a_certificate_do_not_reach_the_terminal(serve: Serve) -> None:
    certificate = trust.fetch_certificate(serve(issue("Ser\x1b[2Jver", ROOT)), TIMEOUT_S)
    assert certificate.subject == "CN=Ser?[2Jver"


@pytest.mark.parametrize(
    ("issued", "name"), [(PLAIN, "Server"), (NAMED, "node.example"), (issue("x", ROOT, ("127.0.0.1",)), "127.0.0.1")]
)
def test_a_ca_is_enough_and_the_certificates_own_name_is_taken(
    serve: Serve, ca_file: Path, issued: Issued, name: str
) -> None:
    endpoint = serve(issued)
    established = establish(endpoint, trust.TrustOptions(ca_file=ca_file))
    assert established.name == name
    assert_grpc_accepts(endpoint, established)


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER], ids=["pem", "der"])
def test_the_nodes_own_certificate_serves_as_ca(serve: Serve, tmp_path: Path, encoding: serialization.Encoding) -> None:
    node = tmp_path / "Node.crt"
    node.write_bytes(PLAIN.certificate.public_bytes(encoding))
    endpoint = serve(PLAIN)
    assert_grpc_accepts(endpoint, establish(endpoint, trust.TrustOptions(ca_file=node)))


@pytest.mark.parametrize("name", ["node.example", "10.0.0.7", "NODE.example", "0:0:0:0:0:0:0:1", "cam.site.example"])
def test_the_name_option_may_be_any_name_of_the_certificate(serve: Serve, ca_file: Path, name: str) -> None:
    endpoint = serve(NAMED)
    assert_grpc_accepts(endpoint, establish(endpoint, trust.TrustOptions(ca_file=ca_file, name=name)))


@pytest.mark.parametrize("name", ["Server", "other", "10.0.0.8", "site.example", "a.b.site.example"])
def test_a_name_that_is_not_in_the_certificate_is_refused_with_the_names_that_are(
    serve: Serve, ca_file: Path, name: str
) -> None:
    with pytest.raises(errors.CertificateError, match=r"10\.0\.0\.7, node\.example.*tls_name"):
        establish(serve(NAMED), trust.TrustOptions(ca_file=ca_file, name=name))


def test_a_learnt_name_that_still_holds_is_used(serve: Serve, ca_file: Path) -> None:
    assert establish(serve(NAMED), trust.TrustOptions(ca_file=ca_file), "10.0.0.7").name == "10.0.0.7"


def test_a_learnt_name_that_has_gone_is_refused_with_both_names(serve: Serve, ca_file: Path) -> None:
    with pytest.raises(errors.CertificateError, match=r"used to be for Server and is for NewServer now.*tls_name=New"):
        establish(serve(RENAMED), trust.TrustOptions(ca_file=ca_file), "Server")


def test_the_name_option_overrides_a_learnt_name(serve: Serve, ca_file: Path) -> None:
    assert (
        establish(serve(RENAMED), trust.TrustOptions(ca_file=ca_file, name="NewServer"), "Server").name == "NewServer"
    )


def test_a_certificate_with_nothing_but_a_wildcard_asks_for_a_name(serve: Serve, ca_file: Path) -> None:
    with pytest.raises(errors.CertificateError, match=r"is for \*\.site\.example: give one of these as tls_name"):
        establish(serve(issue("x", ROOT, ("*.site.example",))), trust.TrustOptions(ca_file=ca_file))


def test_a_pin_alone_is_enough(serve: Serve) -> None:
    endpoint = serve(PLAIN)
    established = establish(endpoint, trust.TrustOptions(pins=(OTHER_ROOT.fingerprint, PLAIN.fingerprint)))
    assert_grpc_accepts(endpoint, established)


def test_a_pinned_certificate_may_have_lost_the_learnt_name(serve: Serve) -> None:
    assert establish(serve(RENAMED), trust.TrustOptions(pins=(RENAMED.fingerprint,)), "Server").name == "NewServer"


def test_a_channel_made_from_a_pin_accepts_no_other_certificate_of_the_same_ca(serve: Serve, ca_file: Path) -> None:
    established = establish(serve(PLAIN), trust.TrustOptions(ca_file=ca_file, pins=(PLAIN.fingerprint,)))
    assert established.root_pem.split() == PLAIN.pem.split()


@pytest.mark.parametrize("with_ca", [False, True])
def test_another_certificate_than_the_pinned_one_is_refused(serve: Serve, ca_file: Path, with_ca: bool) -> None:  # noqa: FBT001  a table of cases
    options = trust.TrustOptions(ca_file=ca_file if with_ca else None, pins=(NAMED.fingerprint,))
    endpoint = serve(PLAIN)
    with pytest.raises(errors.CertificateError, match=f"{PLAIN.fingerprint}, which is not pinned.*trust {endpoint}"):
        establish(endpoint, options)


def test_a_pin_does_not_replace_the_ca_where_both_are_given(serve: Serve, ca_file: Path) -> None:
    stranger = issue("Server", OTHER_ROOT)
    with pytest.raises(errors.CertificateError, match="does not come from the CA"):
        establish(serve(stranger), trust.TrustOptions(ca_file=ca_file, pins=(stranger.fingerprint,)))


@pytest.mark.parametrize("issued", [issue("Server", OTHER_ROOT), issue("Server")], ids=["other CA", "self-signed"])
def test_an_unknown_issuer_is_refused_with_the_command_that_helps(serve: Serve, ca_file: Path, issued: Issued) -> None:
    endpoint = serve(issued)
    with pytest.raises(errors.CertificateError, match=f"does not come from the CA in tls_ca.*axxonfs trust {endpoint}"):
        establish(endpoint, trust.TrustOptions(ca_file=ca_file))


@pytest.mark.parametrize(("issued", "words"), [(EXPIRED, "has expired"), (FUTURE, "not valid yet")])
def test_a_certificate_out_of_its_time_is_refused_even_when_pinned(
    serve: Serve, ca_file: Path, issued: Issued, words: str
) -> None:
    endpoint = serve(issued)
    for options in (trust.TrustOptions(ca_file=ca_file), trust.TrustOptions(pins=(issued.fingerprint,))):
        with pytest.raises(errors.CertificateError, match=words):
            establish(endpoint, options)


def test_without_ca_and_pin_the_command_that_pins_is_named() -> None:
    with pytest.raises(errors.CertificateError, match="axxonfs trust vms:20109"):
        establish(trust.Endpoint("vms"), trust.TrustOptions())


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nxx\n"])
def test_a_ca_file_that_cannot_be_used_is_named_as_the_trouble(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.CertificateError, match="tls_ca"):
        establish(trust.Endpoint("127.0.0.1", 1), trust.TrustOptions(ca_file=path))


def test_plaintext_is_for_loopback_only() -> None:
    options = trust.TrustOptions(plaintext=True)
    assert trust.establish(trust.Endpoint("127.0.0.1", 1), options, learnt_name=None, timeout_s=1) is None
    with pytest.raises(errors.ConfigurationError, match="for this machine only"):
        trust.establish(trust.Endpoint("vms"), options, learnt_name=None, timeout_s=1)


def test_calls_in_plaintext_to_a_server_that_speaks_tls_say_so(tmp_path: Path) -> None:
    with make_simulator(tmp_path) as simulator:
        endpoint = trust.Endpoint("127.0.0.1", simulator.port)
        credentials = Credentials(USER, write_password(tmp_path / "password"))
        with contextlib.closing(Link(endpoint, None, credentials)) as link:
            with pytest.raises(errors.NotSentError, match="speaks TLS: leave out the option plaintext"):
                ExportClient(link).list_sessions()
            simulator.stop()
            with pytest.raises(errors.ServerAwayError) as caught:
                ExportClient(link).list_sessions()
    assert "speaks TLS" not in str(caught.value)


def test_plaintext_contradicts_every_other_tls_option(ca_file: Path) -> None:
    options = trust.TrustOptions(ca_file=ca_file, plaintext=True)
    with pytest.raises(errors.ConfigurationError, match="contradicts"):
        trust.establish(trust.Endpoint("127.0.0.1", 1), options, learnt_name=None, timeout_s=1)


def test_a_port_where_nothing_listens_is_said_so() -> None:
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        endpoint = trust.Endpoint("127.0.0.1", unbound.getsockname()[1])
        with pytest.raises(errors.ServerAwayError, match="nothing listens"):
            trust.fetch_certificate(endpoint, TIMEOUT_S)


def test_a_server_that_never_answers_the_handshake_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = trust.Endpoint("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(errors.ServerAwayError, match=r"did not answer within 0\.2 s"):
            trust.fetch_certificate(endpoint, 0.2)


def test_a_server_without_tls_is_recognised() -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        endpoint = trust.Endpoint("127.0.0.1", listener.getsockname()[1])
        with pytest.raises(errors.ServerAwayError, match="does not answer in TLS"):
            trust.fetch_certificate(endpoint, TIMEOUT_S)
        thread.join()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid"])
def test_a_name_that_cannot_be_resolved_is_said_so(host: str) -> None:
    with pytest.raises(errors.ServerAwayError, match="cannot be resolved"):
        trust.fetch_certificate(trust.Endpoint(host), TIMEOUT_S)


def test_fingerprints_are_taken_in_every_usual_form() -> None:
    digits = PLAIN.fingerprint.removeprefix("sha256:")
    colons = ":".join(digits[i : i + 2] for i in range(0, 64, 2)).upper()
    assert {trust.normal_fingerprint(form) for form in (digits, f"SHA256:{digits}", colons, f" sha256:{colons}")} == {
        PLAIN.fingerprint
    }


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:12", "md5:" + "0" * 32, "sha1:" + "0" * 40, "g" * 64])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="sha256: and 64"):
        trust.normal_fingerprint(text)


def test_pins_are_kept_by_endpoint(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "known_servers"
    one, two = trust.Endpoint("::1", 1), trust.Endpoint("vms")
    assert trust.load_pins(path, one) == ()
    for endpoint, issued in ((one, PLAIN), (two, NAMED), (one, RENAMED), (one, PLAIN)):
        trust.add_pin(path, endpoint, issued.fingerprint)
    with path.open("a") as file:
        file.write("# by hand\n\nVMS   SHA256:" + "0" * 64 + "  # port left out\n")
    assert trust.load_pins(path, one) == (PLAIN.fingerprint, RENAMED.fingerprint)
    assert trust.load_pins(path, two) == (NAMED.fingerprint, "sha256:" + "0" * 64)


@pytest.mark.parametrize("line", ["vms", "vms sha256:12", "a:b:c sha256:" + "0" * 64, "vms x y"])
def test_a_wrong_line_among_the_pins_is_named_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "known_servers"
    path.write_text(f"# pins\n{line}\n")
    with pytest.raises(errors.ConfigurationError, match="line 2"):
        trust.load_pins(path, trust.Endpoint("vms"))


def test_pins_of_a_user_lie_in_the_users_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/u/conf")
    assert trust.default_pin_path() == Path("/home/u/conf/axxonfs/known_servers")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert trust.default_pin_path() == Path("/etc/axxonfs/known_servers")


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["trust", *words])
    result: int = args.run(args)
    return result


def test_the_command_pins_what_has_the_given_fingerprint(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint, pins = serve(PLAIN), tmp_path / "pins"
    assert run_command(str(endpoint), "--fingerprint", PLAIN.fingerprint.upper(), "--pins", str(pins)) == 0
    assert trust.load_pins(pins, endpoint) == (PLAIN.fingerprint,)
    shown = capsys.readouterr().out
    for words in ("CN=Server", "the common name counts", "CN=api.ngp Root CA", PLAIN.fingerprint):
        assert words in shown
    establish(endpoint, trust.TrustOptions(pins=trust.load_pins(pins, endpoint)))


def test_the_command_refuses_another_fingerprint(serve: Serve, tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    with pytest.raises(errors.CertificateError, match="nothing was stored"):
        run_command(str(serve(PLAIN)), "--fingerprint", NAMED.fingerprint, "--pins", str(pins))
    assert not pins.exists()


def test_the_command_refuses_another_fingerprint_of_a_certificate_that_is_pinned(serve: Serve, tmp_path: Path) -> None:
    endpoint, pins = serve(PLAIN), tmp_path / "pins"
    trust.add_pin(pins, endpoint, PLAIN.fingerprint)
    with pytest.raises(errors.CertificateError, match="not the one that --fingerprint names"):
        run_command(str(endpoint), "--fingerprint", NAMED.fingerprint, "--pins", str(pins))
    with pytest.raises(errors.ConfigurationError, match="is no fingerprint"):
        run_command(str(endpoint), "--fingerprint", "sha256:00", "--pins", str(pins))


def test_the_command_stores_one_line_however_often_it_runs(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint, pins = serve(EXPIRED), tmp_path / "pins"
    assert [run_command(str(endpoint), "--yes", "--pins", str(pins)) for _ in range(2)] == [0, 0]
    assert len(pins.read_text().splitlines()) == 1
    shown = capsys.readouterr().out
    assert "already" in shown
    assert "EXPIRED" in shown


def test_the_command_does_not_guess_where_nobody_can_be_asked(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(errors.ConfigurationError, match="--fingerprint"):
        run_command(str(serve(PLAIN)), "--pins", str(tmp_path / "pins"))


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("YES", 0), ("n", 1), ("", 1)])
def test_the_command_asks_at_a_terminal(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    endpoint, pins = serve(PLAIN), tmp_path / "pins"
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with os.fdopen(ours, "rb"), os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert run_command(str(endpoint), "--pins", str(pins)) == status
    assert pins.exists() is (status == 0)


def test_a_changed_certificate_is_pinned_beside_the_old_one_and_said_so(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint, pins = serve(PLAIN), tmp_path / "pins"
    trust.add_pin(pins, endpoint, NAMED.fingerprint)
    assert run_command(str(endpoint), "--yes", "--pins", str(pins)) == 0
    assert "Another certificate" in capsys.readouterr().out
    assert trust.load_pins(pins, endpoint) == (NAMED.fingerprint, PLAIN.fingerprint)
