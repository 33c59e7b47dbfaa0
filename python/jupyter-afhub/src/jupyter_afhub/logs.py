"""The log file of a notebook: in the owner's home, readable by nobody else, the last few of each server
kept."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

KEEP = 5
"""How many logs of one server name stay, the new one included."""

_LONGEST_NAME = 120


def file_stem(server_name: str) -> str:
    """A file name part for a server name: readable, without a slash, different for different names.

    The default server, which has no name, is called `default`.
    """
    stem = quote(server_name, safe="") or "default"
    if len(stem) > _LONGEST_NAME:
        digest = hashlib.sha256(server_name.encode()).hexdigest()[:16]
        stem = f"{stem[: _LONGEST_NAME - 17]}-{digest}"
    return stem


def folders(home: str, scratch: str | None) -> list[Path]:
    """Where a log may go, best first: the home folder, else the job's scratch folder."""
    found = [Path(home) / ".local" / "state" / "afhub"]
    if scratch:
        found.append(Path(scratch))
    return found


def open_log(candidates: Iterable[Path], server_name: str, job: str) -> tuple[int, Path]:
    """Open the log for appending in the first folder that allows it; returns its file descriptor and path.

    Raises OSError with what went wrong in each folder where none allows it, for instance when quota and
    scratch are both full.
    """
    stem = file_stem(server_name)
    problems: list[str] = []
    for folder in candidates:
        path = folder / f"{stem}-{job}.log"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_old(folder, stem, path)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            continue
        return descriptor, path
    raise OSError("no log can be written: " + "; ".join(problems))


def _remove_old(folder: Path, stem: str, new: Path) -> None:
    """Leave room for the new log: of the older ones of the same server, keep the most recent KEEP - 1."""
    pattern = re.compile(re.escape(stem) + r"-\d+\.log")
    older = [path for path in folder.iterdir() if pattern.fullmatch(path.name) and path != new]
    older.sort(key=lambda path: path.lstat().st_mtime, reverse=True)
    for path in older[KEEP - 1 :]:
        path.unlink(missing_ok=True)
