"""A recognisable password and the token it bought are in nothing that leaves the process or is shown."""

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import fsspec
import pytest
from dask.base import tokenize
from dask.delayed import delayed

from axxonfs.fsspec import AxxonFileSystem
from axxonfs.remote.login import Login
from tests.rpc.file_systems import Site, made_site
from tests.rpc.support import USER, make_simulator

SECRET = "zebra-in-the-dark-4711"


@pytest.fixture(params=["file", "variable"])
def fs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AxxonFileSystem]:
    """Yield a file system in use, whose password stands in a file or in the environment."""
    with make_simulator(tmp_path, users={USER: SECRET}) as sim:
        words: dict[str, Any] = {"host": "127.0.0.1", "port": sim.port, "user": USER, "tls_ca": str(sim.ca_file)}
        if request.param == "file":
            (tmp_path / "password").write_text(f"{SECRET}\n")
            (tmp_path / "password").chmod(0o600)
            words["password_file"] = str(tmp_path / "password")
        else:
            monkeypatch.setenv("AXXONFS_PASSWORD", SECRET)
        fs = AxxonFileSystem(**words)
        Site(sim, tmp_path, words).hold(1000)
        yield fs
        fs.close()


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the tokens that calls carry."""
    seen: list[str] = []
    metadata = Login.metadata

    def spied(login: Login, timeout_s: float) -> tuple[tuple[str, str], ...]:
        found = metadata(login, timeout_s)
        seen.extend(value for _, value in found)
        return found

    monkeypatch.setattr(Login, "metadata", spied)
    yield seen
    assert seen


def test_what_is_pickled_shown_or_tokenised_holds_no_secret(
    fs: AxxonFileSystem, tokens: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    [path] = fs.find("")
    with fs.open(path) as file:
        assert len(file.read()) == 1000
        shown = {
            "pickle of the file system": pickle.dumps(fs),
            "cloudpickle of the file system": cloudpickle.dumps(fs),
            "pickle of an open file": pickle.dumps(file),
            "JSON": fs.to_json().encode(),
            "storage options": repr(fs.storage_options).encode(),
            "words of the file system": repr(vars(fs)).encode(),
            "words of the file": repr({name: value for name, value in vars(file).items() if name != "fs"}).encode(),
            "repr": f"{fs!r} {file!r} {file}".encode(),
            "URL": fs.unstrip_protocol(path).encode(),
            "info": repr([fs.info(path), fs.status(path), fs.spec(path)]).encode(),
            "token of dask": tokenize(fs).encode(),
            "what dask makes its token of": repr(fs.__dask_tokenize__()).encode(),
            "graph of dask": cloudpickle.dumps(dict(delayed(fs.cat_file)(path).dask)),
            "open files": pickle.dumps(fsspec.open_files([fs.unstrip_protocol(path)], **fs.storage_options)),
            "log": caplog.text.encode(),
        }
    assert pickle.loads(shown["pickle of the file system"]).cat_file(path) == fs.cat_file(path)
    for what, content in shown.items():
        for secret in (SECRET, *tokens):
            assert secret.encode() not in content, what


def test_a_refused_login_shows_no_secret(fs: AxxonFileSystem, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    other = AxxonFileSystem(**{**fs.storage_options, "user": "nobody"})
    with pytest.raises(PermissionError) as caught:
        other.ls("")
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in f"{chain!r} {chain}"
        chain = chain.__cause__ or chain.__context__
    assert SECRET not in caplog.text
    assert SECRET.encode() not in pickle.dumps(caught.value)
    other.close()


def test_the_same_words_have_the_same_token_in_all_processes_and_threads() -> None:
    words = {"host": "vms", "user": "export"}
    assert tokenize(AxxonFileSystem(**words)) == tokenize(AxxonFileSystem(**words, skip_instance_cache=True))
    assert tokenize(AxxonFileSystem(**words)) != tokenize(AxxonFileSystem(**words, max_streams=3))


def test_a_password_in_a_url_or_an_option_is_refused_and_kept_nowhere() -> None:
    for attempt in (
        lambda: fsspec.open(f"axxon://root:{SECRET}@vms/S/F"),
        lambda: fsspec.filesystem("axxon", host="vms", password=SECRET),
        lambda: AxxonFileSystem(host="vms", user="root").open(f"axxon://root:{SECRET}@vms/S/F"),
    ):
        with pytest.raises(ValueError, match="password") as caught:
            attempt()
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
    instances = [vars(one) for one in AxxonFileSystem._cache.values()]
    assert SECRET not in repr(instances)


def test_a_worker_without_the_password_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXXONFS_PASSWORD", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with made_site(tmp_path) as site:
        words = {word: value for word, value in site.words.items() if word != "password_file"}
        with pytest.raises(OSError, match="no password: give the option password_file=FILE"):
            AxxonFileSystem(**words).ls("")
