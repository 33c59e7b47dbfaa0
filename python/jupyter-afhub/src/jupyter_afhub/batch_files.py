"""Files of batch jobs, as far as the Lab can open them: those below the folder that it shows."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_FILE = 20 * 1024 * 1024
"""Bytes: an editor with more keeps the browser busy for minutes."""


@dataclass(frozen=True)
class Folder:
    """What the contents manager shows."""

    root: str
    hidden: bool = False
    """Whether it opens files whose names begin with a dot."""

    @classmethod
    def of(cls, contents: Any) -> Folder | None:
        """Of a contents manager that keeps its files in a folder; None for any other."""
        root = getattr(contents, "root_dir", None)
        if not isinstance(root, str) or not Path(root).is_dir():
            return None
        return cls(os.path.normpath(root), bool(getattr(contents, "allow_hidden", False)))

    def _below(self, path: str) -> str | None:
        """The path in the contents manager's words; None for what lies elsewhere."""
        # A home folder may have two names, of which one is a link: each is compared with its like.
        for root, whole in ((self.root, path), (os.path.realpath(self.root), os.path.realpath(path))):
            relative = Path(os.path.relpath(whole, root))
            if not relative.parts or relative.parts[0] == os.pardir:
                continue
            if not self.hidden and any(part.startswith(".") for part in relative.parts):
                return None
            return relative.as_posix()
        return None

    def look(self, path: str) -> tuple[str | None, bool]:
        """The path by which the Lab opens a file, None where it can't; and whether there is such a file."""
        try:
            found = Path(path).stat()
        except (OSError, ValueError):
            return None, False
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE or not os.access(path, os.R_OK):
            return None, True
        return self._below(path), True


def describe(folder: Folder | None, path: str) -> dict[str, Any]:
    """Where a file is; `path` is null where the Lab can't open it."""
    opens, there = folder.look(path) if folder else (None, Path(path).exists())
    return {"where": path, "path": opens, "exists": there}
