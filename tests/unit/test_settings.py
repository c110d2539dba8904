"""Where each word about a mount comes from, and what is said of a wrong one."""

from pathlib import Path

import pytest

from axxonfs.cli import settings
from axxonfs.core import errors
from axxonfs.fs.options import MountOptions

FILE = """\
server = "film@vms.example.com"
mountpoint = "/mnt/axxon"
tls_name = '''
umask = "no key, but text"
'''
# a remark
"umask" = "027"
cache_size = "256M"
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "vms.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in (*settings.PLACES, *MountOptions.model_fields):
        monkeypatch.delenv(f"AXXONFS_{word.upper()}", raising=False)


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(errors.ConfigurationError) as caught:
        settings.gather(config=path)
    return str(caught.value)


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.gather(config=written).options.umask == 0o027
    monkeypatch.setenv("AXXONFS_UMASK", "077")
    monkeypatch.setenv("AXXONFS_KEEP", "2h")
    found = settings.gather(config=written)
    assert (found.options.umask, found.options.keep, found.options.cache_size) == (0o077, 7200, 256 << 20)
    assert settings.gather(config=written, texts=["umask=0,ro", "umask=022"]).options.umask == 0o022


def test_server_mountpoint_and_account_come_from_any_place(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings.gather(config=written)
    assert (str(found.endpoint), str(found.mountpoint), found.options.user) == (
        "vms.example.com:20109",
        "/mnt/axxon",
        "film",
    )
    monkeypatch.setenv("AXXONFS_SERVER", "other@10.0.0.1:1234")
    monkeypatch.setenv("AXXONFS_MOUNTPOINT", "/mnt/b")
    found = settings.gather(config=written)
    assert (str(found.endpoint), str(found.mountpoint), found.options.user) == ("10.0.0.1:1234", "/mnt/b", "other")
    found = settings.gather(config=written, server="third@[::1]", where="/mnt/c", texts=["user=fourth"])
    assert (str(found.endpoint), str(found.mountpoint), found.options.user) == ("[::1]:20109", "/mnt/c", "third")
    assert settings.gather(config=written, server="10.0.0.2", texts=["user=fourth"]).options.user == "fourth"


@pytest.mark.parametrize("word", MountOptions.model_fields)
def test_every_option_can_be_said_by_a_variable(word: str) -> None:
    assert settings.read_environment({f"AXXONFS_{word.upper()}": "x"})[word].value == "x"


def test_a_wrong_value_in_a_file_is_told_with_file_and_line(written: Path) -> None:
    text = refusal(written, FILE.replace('"027"', '"9"'))
    assert text == f"{written}, line 7: option umask: takes up to three octal digits, as in 022 (got '9')"


def test_an_unknown_word_in_a_file_is_told_with_its_line_and_the_nearest(written: Path) -> None:
    assert refusal(written, f"{FILE}umsk = 1\n") == f"{written}, line 9: option umsk is unknown: did you mean umask?"


def test_a_table_is_no_option_and_told_with_its_line(written: Path) -> None:
    text = refusal(written, FILE + '\n[tls]\nca = "x"\n')
    assert text.startswith(f"{written}, line 10: option tls is unknown: ")


def test_a_dotted_key_is_told_with_its_line(written: Path) -> None:
    assert refusal(written, FILE + 'tls.ca = "x"\n').startswith(f"{written}, line 9: option tls is unknown: ")


def test_a_file_that_is_no_toml_is_told_with_line_and_column(written: Path) -> None:
    text = refusal(written, FILE + "keep = 24h\n")
    assert text.startswith(f"{written} is no TOML: ")
    assert "line 9" in text


def test_a_wrong_server_in_a_file_is_told_with_its_line(written: Path) -> None:
    text = refusal(written, 'ro = true\nserver = "a b"\n')
    assert text == f"{written}, line 2: 'a b' is no server: write HOST, HOST:PORT or [IPV6]:PORT"


@pytest.mark.parametrize("server", ["me:zebra@host", "me:zebra@[::1]:20109", ":zebra@host"])
def test_a_password_before_the_host_is_refused_and_not_shown(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.ConfigurationError, match="give the option password_file=FILE") as caught:
        settings.gather(server=server)
    assert "zebra" not in str(caught.value)
    monkeypatch.setenv("AXXONFS_SERVER", server)
    with pytest.raises(errors.ConfigurationError, match=r"^environment variable AXXONFS_SERVER: a password"):
        settings.gather()


def test_a_mountpoint_in_a_file_is_a_text(written: Path) -> None:
    assert "line 1: option mountpoint: takes a path" in refusal(written, "mountpoint = 3\n")


def test_a_wrong_value_of_a_variable_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXXONFS_KEEP", "long")
    with pytest.raises(errors.ConfigurationError, match=r"^environment variable AXXONFS_KEEP: option keep: "):
        settings.gather()


def test_a_variable_with_a_typing_error_is_refused_and_a_strange_one_is_nobody_s() -> None:
    with pytest.raises(errors.ConfigurationError, match="AXXONFS_UMSK is unknown: did you mean AXXONFS_UMASK"):
        settings.read_environment({"AXXONFS_UMSK": "022"})
    assert settings.read_environment({"AXXONFS_QQ": "x", "AXXONFS_PASSWORD": "x", "AXXONFS_RAISE": "1"}) == {}


def test_a_password_on_the_command_line_is_no_option_and_is_not_shown() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        settings.gather(texts=["password=zebra"])
    assert str(caught.value) == "option password is unknown: did you mean password_file?"


def test_relative_paths_count_from_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.gather(texts=["password_file=a,tls_ca=b"]).options.tls_ca == tmp_path / "b"
