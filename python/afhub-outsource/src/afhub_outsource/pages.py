"""Words for the notebook's own server about web pages that tools have here, so that its Lab shows links to them.

They are files beside the server's connection files, in the scratch folder of the notebook's job: nobody else sees
them, and they end with it. The server shows a page while the process that left its word lives.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import tempfile
from pathlib import Path

VARIABLE = "JUPYTER_RUNTIME_DIR"
FOLDER = "afhub-pages"


def announce(tool: str, port: int, path: str) -> Path | None:
    """Say that a tool (dask, spark) has a page on a port of this host's loopback interface, below it at this path.

    Returns the file, for `withdraw` when the page ends; None where no server would look, or nothing can be
    written: a link less is no reason to fail.
    """
    runtime = os.environ.get(VARIABLE)
    if not runtime:
        return None
    folder = Path(runtime) / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = json.dumps({"tool": tool, "port": port, "path": path, "pid": os.getpid()})
        descriptor, name = tempfile.mkstemp(prefix=f"{tool}-", suffix=".part", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(said)
        # The server reads files of one kind, whole ones.
        word = Path(name).rename(Path(name).with_suffix(".json"))
    except OSError:
        return None
    atexit.register(withdraw, word, os.getpid())
    return word


def withdraw(word: Path | None, owner: int | None = None) -> None:
    """The page has ended. Of two processes after a fork only the one that announced it withdraws it."""
    if word is not None and owner in (None, os.getpid()):
        with contextlib.suppress(OSError):
            word.unlink()
