"""Keys are in files that nobody else can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from afhub_outsource import private


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    private.folder.cache_clear()
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders_are_the_owners_alone_whatever_the_umask() -> None:
    before = os.umask(0)
    try:
        folder = private.folder()
        file = private.write(folder / "key", "secret")
    finally:
        os.umask(before)
    assert mode(folder) == 0o700 and mode(file) == 0o600
    assert mode(private.base()) == 0o700


def test_a_folder_that_others_could_read_is_closed() -> None:
    private.base().chmod(0o755)
    private.base()
    assert mode(private.base()) == 0o700


def test_a_process_has_one_folder() -> None:
    assert private.folder() == private.folder()


def test_files_of_a_process_that_was_killed_long_ago_go(home: Path) -> None:
    old = private.base() / "process-worker1-123-abc"
    old.mkdir()
    fresh = private.base() / "process-worker2-456-def"
    fresh.mkdir()
    long_ago = old.stat().st_mtime - private.KEEP_S - 1
    os.utime(old, (long_ago, long_ago))
    private.folder()
    assert not old.exists() and fresh.exists()
