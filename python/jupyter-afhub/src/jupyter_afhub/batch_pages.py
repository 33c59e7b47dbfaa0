"""Web pages of tools that run in this notebook, such as Dask's dashboard, and their addresses behind the hub.

Who starts a page leaves a word in the folder of the server's connection files, which is the job's own: a file
`afhub-pages/<anything>.json` with `{"tool": "dask", "port": 8787, "path": "status", "pid": 4711}`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir
from jupyter_server.utils import url_path_join

FOLDER = "afhub-pages"
TOOLS = ("dask", "spark")
MOST = 50
LARGEST = 4096

_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_/-]{0,99}|")


def _page(file: Path) -> tuple[str, int, str] | None:
    """What one file says; None where it is of no use, or its process has ended."""
    try:
        if file.stat().st_uid != os.getuid() or file.stat().st_size > LARGEST:
            return None
        said = json.loads(file.read_text(encoding="utf-8"))
        tool, port, path, pid = (said[name] for name in ("tool", "port", "path", "pid"))
        os.kill(int(pid), 0)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if tool not in TOOLS or not isinstance(port, int) or not 0 < port < 65536 or int(pid) <= 0:
        return None
    return (tool, port, path) if isinstance(path, str) and _PATH.fullmatch(path) else None


def found(base_url: str, folder: Path | None = None) -> list[dict[str, Any]]:
    """The pages that are there; none where nothing leads to them."""
    if importlib.util.find_spec("jupyter_server_proxy") is None:
        return []
    place = (Path(jupyter_runtime_dir()) if folder is None else folder) / FOLDER
    pages = {page for page in map(_page, sorted(place.glob("*.json"))[:MOST]) if page}
    return [
        {"tool": tool, "address": url_path_join(base_url, "proxy", str(port), path)}
        for tool, port, path in sorted(pages)
    ]
