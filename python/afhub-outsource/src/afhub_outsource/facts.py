"""What the site says about work that leaves a notebook: `OUTSOURCE_FACTS` names a JSON file of the deployment."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

from afhub_outsource import OutsourceError

VARIABLE = "OUTSOURCE_FACTS"


@dataclass(frozen=True)
class Facts:
    """The site's answers.

    worker_*: what one Dask or Spark worker asks for. start_timeout_s: how long work waits for the first worker
    before it fails. lost_timeout_s: how long a worker goes on without its notebook. logs: folder below the home
    folder for the output of workers. java_home: where Java is on all hosts, empty for the one that is found in PATH.
    """

    worker_cores: int = 1
    worker_memory_mb: int = 2048
    worker_disk_mb: int = 2048
    start_timeout_s: int = 180
    lost_timeout_s: int = 60
    logs: str = "batch-logs"
    java_home: str = ""

    @property
    def log_folder(self) -> Path:
        """Folder for the output of workers; made where it is absent."""
        folder = Path.home() / self.logs
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


@functools.cache
def read() -> Facts:
    """The facts of this site, defaults for what it does not say; raises OutsourceError where the file can't be read."""
    name = os.environ.get(VARIABLE)
    if not name:
        return Facts()
    try:
        values = json.loads(Path(name).read_text(encoding="utf-8"))
        return Facts(**{row.name: values[row.name] for row in fields(Facts) if row.name in values})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise OutsourceError(
            f"{VARIABLE} names {name}, which can't be used: {error}. Tell the site's admins."
        ) from error
