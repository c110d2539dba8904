"""URLs, options, errors and login slots of the file system without a mount: what they take and what they refuse."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from axxonfs.core import chunks, errors, readahead
from axxonfs.core.line import Line
from axxonfs.fsspec import options, slots, urls
from axxonfs.fsspec.failures import translated_error
from axxonfs.remote.certificates import Endpoint

# -- URLs ------------------------------------------------------------------------------

URLS = [
    ("axxon://vms.example.com/S/F", "", "vms.example.com:20109", "S/F"),
    ("axxon://export@vms:1234/S/F.mp4", "export", "vms:1234", "S/F.mp4"),
    ("axxon://export@[::1]:1234/S", "export", "[::1]:1234", "S"),
    ("axxon://me@corp@vms", "me@corp", "vms:20109", ""),
    ("axxon:///S/F", "", None, "S/F"),
    ("/S/F/", "", None, "S/F"),
    ("", "", None, ""),
    ("axxon://vms/T101500+0200_1.Tür_mp4_3f2a/a~2.mp4", "", "vms:20109", "T101500+0200_1.Tür_mp4_3f2a/a~2.mp4"),
]


@pytest.mark.parametrize(("url", "user", "where", "path"), URLS)
def test_a_url_says_account_server_and_path(url: str, user: str, where: str | None, path: str) -> None:
    place = urls.place_of(url)
    assert (place.user, place.endpoint and str(place.endpoint), urls.path_of(url)) == (user, where, path)


@pytest.mark.parametrize("url", ["axxon://root:zebra@vms/S/F", "axxon://root:@vms/", "axxon://:zebra@vms"])
def test_a_url_with_a_password_is_refused_without_repeating_it(url: str) -> None:
    for attempt in (urls.path_of, urls.place_of, options.words_of_url):
        with pytest.raises(errors.ConfigurationError, match="must not hold a password") as caught:
            attempt(url)
        assert "zebra" not in str(caught.value)


def test_a_url_made_of_a_path_leads_back() -> None:
    url = urls.url_of(Endpoint("::1", 5), "S/F")
    assert url == "axxon://[::1]:5/S/F"
    assert urls.path_of(url) == "S/F"


# -- options ---------------------------------------------------------------------------

SERVER = {"host": "vms", "user": "export"}


@pytest.mark.parametrize("word", ["password", "passwd", "secret", "token"])
def test_a_secret_is_no_option_and_is_not_repeated(word: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="password_file=FILE") as caught:
        options.check({**SERVER, word: "zebra"})
    assert "zebra" not in str(caught.value)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "give the server"),
    ({"host": "root@vms"}, "the account is the option user"),
    ({"host": "vms", "pasword_file": "x"}, "did you mean password_file"),
    ({"host": "vms", "max_logins": 0}, "option max_logins"),
    ({"host": "vms", "umask": "022"}, "option umask is unknown"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED)
def test_what_is_wrong_is_said(words: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=says):
        options.check(words)


def test_what_only_fsspec_knows_is_left_to_it() -> None:
    assert options.check({**SERVER, "skip_instance_cache": True, "asynchronous": False}) == SERVER


def test_the_environment_of_the_process_adds_what_was_not_said() -> None:
    environment = {"AXXONFS_USER": "other", "AXXONFS_TLS_CA": "ca.pem", "AXXONFS_CACHE_SIZE": "8M"}
    setup = options.complete(SERVER, environment)
    assert setup.endpoint == Endpoint("vms", 20109)
    assert setup.options.user == "export"
    assert setup.options.tls_ca == Path.cwd() / "ca.pem"
    assert setup.options.cache_size == 8 << 20
    assert options.complete({"host": "vms"}, environment).options.user == "other"


def test_a_wrong_word_in_the_environment_is_said_with_its_variable() -> None:
    with pytest.raises(errors.ConfigurationError, match="environment variable AXXONFS_CACHE_SIZE: option cache_size"):
        options.complete(SERVER, {"AXXONFS_CACHE_SIZE": "much"})
    with pytest.raises(errors.ConfigurationError, match="give the account"):
        options.complete({"host": "vms"}, {})


# -- errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.NoSuchNameError("x"), FileNotFoundError),
        (errors.LoginRefusedError("x"), PermissionError),
        (errors.NotAllowedError("x"), PermissionError),
        (errors.SpecError("x"), ValueError),
        (errors.ConfigurationError("x"), ValueError),
        (errors.DeadlineError("x"), TimeoutError),
        (errors.EntryIsDirectoryError("x"), IsADirectoryError),
    ],
)
def test_a_failure_is_the_exception_that_users_of_python_know(
    error: errors.AxxonfsError, kind: type[Exception]
) -> None:
    assert type(translated_error(error)) is kind
    assert "x" in str(translated_error(error))


def test_all_else_is_an_os_error_with_the_errno_of_a_mount() -> None:
    error = translated_error(errors.ServerAwayError("away"))
    assert isinstance(error, OSError)
    assert error.errno == errno.EIO


# -- slots -----------------------------------------------------------------------------


def test_there_are_so_many_slots_and_no_more(tmp_path: Path) -> None:
    taken = [slots.take(tmp_path, "one", slots=2, wait_s=0) for _ in range(2)]
    slots.take(tmp_path, "two", slots=1, wait_s=0).release()
    began_s = time.monotonic()
    with pytest.raises(errors.LoginDelayedError, match="all 2 logins that max_logins allows"):
        slots.take(tmp_path, "one", slots=2, wait_s=0.3)
    assert time.monotonic() - began_s >= 0.3
    taken[0].release()
    slots.take(tmp_path, "one", slots=2, wait_s=0).release()
    taken[1].release()


def test_a_process_that_is_killed_leaves_its_slot(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\nfrom axxonfs.fsspec import slots\n"
        f"slots.take(pathlib.Path({str(tmp_path)!r}), 'one', slots=1, wait_s=0)\n"
        "print('taken', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "taken\n"
        with pytest.raises(errors.LoginDelayedError):
            slots.take(tmp_path, "one", slots=1, wait_s=0)
        process.kill()
        slots.take(tmp_path, "one", slots=1, wait_s=10).release()


def test_a_directory_that_somebody_else_could_have_laid_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(errors.ConfigurationError, match="belongs to somebody else"):
        slots.take(tmp_path / "link", "one", slots=1, wait_s=0)
    (tmp_path / "file").touch()
    with pytest.raises(errors.ConfigurationError, match="cannot be used"):
        slots.take(tmp_path / "file", "one", slots=1, wait_s=0)


def test_processes_of_a_user_meet_in_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert slots.default_directory() == Path("/run/user/7/axxonfs")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert slots.default_directory().name == "axxonfs-1000"


# -- scattered ranges ------------------------------------------------------------------


def test_ranges_that_touch_a_chunk_are_one_run_of_whole_chunks() -> None:
    assert chunks.merged_ranges([(5, 6), (12, 18), (30, 31), (0, 1)], 10, 100) == [(0, 20), (30, 40)]
    assert chunks.merged_ranges([(95, 97), (3, 3), (50, 40)], 10, 98) == [(90, 98)]
    assert chunks.merged_ranges([], 10, 100) == []


def test_without_window_and_gap_a_stream_brings_what_was_asked_for_and_nothing_more() -> None:
    limits = readahead.Limits(max_window=0, max_gap=0, max_streams=8)
    policy = readahead.ReadAhead(1 << 30, readahead.Sizes(), Line(), limits)
    unit = readahead.Sizes().narrow
    starts = []
    for place in (0, 2, 4):  # one chunk between any two
        starts += policy.on_read(place * unit, (place + 1) * unit, [(place * unit, (place + 1) * unit)], 0.0)
    assert [action.offset for action in starts if isinstance(action, readahead.Start)] == [0, 2 * unit, 4 * unit]
    assert policy.has_room(0, 1 << 30)
    policy.on_chunk(0, unit)
    assert not policy.has_room(0, 1 << 30)
