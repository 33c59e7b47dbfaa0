"""Each server of a user has its own few logs, and only the user can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_afhub import logs


def write(folders: list[Path], server: str, job: int, *, age_s: int = 0) -> Path:
    descriptor, path = logs.open_log(folders, server, str(job))
    os.write(descriptor, b"started\n")
    os.close(descriptor)
    if age_s:
        os.utime(path, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    return path


def test_log_is_private_and_named_after_server_and_job(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        path = write(logs.folders(str(tmp_path), None), "", 17)
    finally:
        os.umask(old_mask)
    assert path == tmp_path / ".local" / "state" / "afhub" / "default-17.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_log_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    path = write([tmp_path], "", 1)
    path.chmod(0o644)
    write([tmp_path], "", 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_last_five_logs_of_a_server_stay(tmp_path: Path) -> None:
    for job in range(1, 9):
        write([tmp_path], "", job, age_s=100 - job)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"default-{job}.log" for job in range(4, 9)]


def test_logs_of_other_servers_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    others = {"fit-1.log", "fit-x-1.log", "notes.log", "default-.log", "default-1.log.gz"}
    for name in others:
        (tmp_path / name).touch()
    for job in range(10, 20):
        write([tmp_path], "", job)
        write([tmp_path], "fit-x", job)
    names = {path.name for path in tmp_path.iterdir()}
    assert others - {"fit-x-1.log"} <= names
    assert len(names - others) == 2 * logs.KEEP


def test_a_job_that_starts_again_appends_to_its_log(tmp_path: Path) -> None:
    write([tmp_path], "", 5)
    path = write([tmp_path], "", 5)
    assert path.read_text() == "started\n" * 2


def test_scratch_folder_serves_where_the_home_folder_can_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("not a folder")
    scratch = tmp_path / "scratch"
    path = write(logs.folders(str(home), str(scratch)), "", 3)
    assert path.parent == scratch


def test_every_folder_that_failed_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("not a folder")
    with pytest.raises(OSError, match=r"no log can be written: .*/a/.*; .*/b/"):
        logs.open_log([tmp_path / "a", tmp_path / "b"], "", "1")


@given(st.text(max_size=300), st.text(max_size=300))
def test_names_of_servers_give_different_file_names_without_a_folder(one: str, other: str) -> None:
    # A lone surrogate can't be part of a URL, and so of no server name.
    one, other = (text.encode(errors="ignore").decode() for text in (one, other))
    stems = logs.file_stem(one), logs.file_stem(other)
    assert all("/" not in stem and 0 < len(stem) <= 120 for stem in stems)
    assert (stems[0] == stems[1]) == (one == other) or "default" in (one, other)
