"""Files that only their owner may read: keys and secrets of one process, in the home folder that all hosts share."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import time
import uuid
from pathlib import Path

KEEP_S = 14 * 86400
"""How long files of processes that were killed stay."""


def base() -> Path:
    """The folder of all processes of this user."""
    folder = Path.home() / ".local" / "state" / "afhub" / "outsourcing"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


@functools.cache
def folder() -> Path:
    """This process's own folder, gone when it ends."""
    here = base()
    for left in here.glob("process-*"):
        try:
            old = time.time() - left.stat().st_mtime > KEEP_S
        except OSError:
            continue
        if old:
            shutil.rmtree(left, ignore_errors=True)
    mine = here / f"process-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    mine.mkdir(mode=0o700)
    owner = os.getpid()

    def remove() -> None:
        # A process that was forked off inherits this, and must not take the files away from the one that made them.
        if os.getpid() == owner:
            shutil.rmtree(mine, ignore_errors=True)

    atexit.register(remove)
    return mine


def write(path: Path, text: str) -> Path:
    """Write a file that nobody else may read, not for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def header_file(port: int) -> Path:
    """Where the notebook's proxy finds the Authorization header that a web page on this port wants to see."""
    ports = base() / "ports"
    ports.mkdir(mode=0o700, exist_ok=True)
    return ports / f"{socket.gethostname()}-{port}"
