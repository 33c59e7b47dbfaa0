"""The notebook's token for the batch pool: in a file that its owner alone can read, and nowhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jupyter_afhub import batchtoken

TOKEN = "aaaa.bbbb.cccc"


def test_it_moves_from_the_environment_into_a_private_file(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        environ = {batchtoken.GIVEN: TOKEN, "_CONDOR_SCRATCH_DIR": str(tmp_path)}
        batchtoken.keep(environ)
    finally:
        os.umask(old)
    folder = Path(environ[batchtoken.FOLDER])
    (file,) = folder.iterdir()
    assert file.read_text() == f"{TOKEN}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert TOKEN not in environ.values()


def test_a_restarted_job_has_its_new_token(tmp_path: Path) -> None:
    for token in (TOKEN, "new.new.new"):
        environ = {batchtoken.GIVEN: token, "_CONDOR_SCRATCH_DIR": str(tmp_path)}
        batchtoken.keep(environ)
    (file,) = Path(environ[batchtoken.FOLDER]).iterdir()
    assert file.read_text() == "new.new.new\n"


def test_without_a_token_or_a_scratch_folder_nothing_is_written(tmp_path: Path) -> None:
    for environ in ({"_CONDOR_SCRATCH_DIR": str(tmp_path)}, {batchtoken.GIVEN: TOKEN}):
        batchtoken.keep(environ)
        assert batchtoken.FOLDER not in environ and batchtoken.GIVEN not in environ
    assert list(tmp_path.iterdir()) == []
