import datetime as dt
import stat
from pathlib import Path
from typing import get_args

import pytest
from cryptography import x509

from axxonfs.simulator.certificates import Change, Identity, change_certificate, ensure_certificates


def read(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.certificate_pem())


def names(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def test_a_node_has_its_name_as_common_name_only_and_a_root_that_signed_it(tmp_path: Path) -> None:
    root, node = map(read, ensure_certificates(tmp_path, "Server", ()))
    node.verify_directly_issued_by(root)
    assert node.subject.rfc4514_string() == "CN=Server"
    assert root.subject.rfc4514_string().endswith("Root CA")
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert [type(extension.value) for extension in node.extensions] == [x509.BasicConstraints]


def test_private_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    for identity in ensure_certificates(tmp_path, "Server", ()):
        assert stat.S_IMODE(identity.key_file.stat().st_mode) == 0o600


def test_certificates_are_kept(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, "Server", ("10.0.0.7", "node.example"))
    contents = [identity.certificate_pem() for identity in first]
    again = ensure_certificates(tmp_path, "Server", ("10.0.0.7", "node.example"))
    assert [identity.certificate_pem() for identity in again] == contents
    assert names(read(again[1])) == ["10.0.0.7", "node.example"]


def test_other_names_are_a_new_certificate_of_the_same_root(tmp_path: Path) -> None:
    old_root, old = map(read, ensure_certificates(tmp_path, "Server", ()))
    new_root, new = map(read, ensure_certificates(tmp_path, "Server", ("127.0.0.1",)))
    renamed_root, renamed = map(read, ensure_certificates(tmp_path, "Other", ()))
    assert old_root == new_root == renamed_root
    assert len({old.serial_number, new.serial_number, renamed.serial_number}) == 3
    assert renamed.subject.rfc4514_string() == "CN=Other"


def test_a_lost_root_is_replaced_with_all_that_it_signed(tmp_path: Path) -> None:
    old, _ = ensure_certificates(tmp_path, "Server", ())
    old.key_file.unlink()
    root, node = map(read, ensure_certificates(tmp_path, "Server", ()))
    node.verify_directly_issued_by(root)


@pytest.mark.parametrize("change", get_args(Change))
def test_a_certificate_that_was_changed_on_purpose_is_mended_at_the_next_start(tmp_path: Path, change: Change) -> None:
    root, node = ensure_certificates(tmp_path, "Server", ())
    before = node.certificate_pem()
    change_certificate(tmp_path, "Server", (), change)
    changed = read(node)
    assert node.certificate_pem() != before
    assert (changed.issuer == read(root).subject) == (change != "other_ca")
    assert (changed.subject.rfc4514_string() == "CN=Server") == (change != "renamed")
    assert (changed.not_valid_after_utc < dt.datetime.now(dt.UTC)) == (change == "expired")
    ensure_certificates(tmp_path, "Server", ())
    mended = read(node)
    mended.verify_directly_issued_by(read(root))
    assert mended.subject.rfc4514_string() == "CN=Server"
    assert mended.not_valid_after_utc > dt.datetime.now(dt.UTC)
