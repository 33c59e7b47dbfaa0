"""The token with which this notebook is known to the site's batch pool, where the hub gave it one."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

GIVEN = "AFHUB_BATCH_TOKEN"
FOLDER = "AFHUB_BATCH_TOKENS"
"""Names the folder to HTCondor's tools: the configuration for the batch pool refers to it."""


def keep(environ: MutableMapping[str, str]) -> None:
    """Move the token from the environment into a private file of the job's scratch folder.

    What a notebook starts inherits its environment, and `getenv = true` would write it into the ads of batch jobs,
    which everybody may read. Raises OSError where the folder takes no file.
    """
    token, scratch = environ.pop(GIVEN, ""), environ.get("_CONDOR_SCRATCH_DIR")
    if not token or not scratch:
        return
    folder = Path(scratch) / ".afhub-batch-tokens"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "notebook"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"{token}\n")
    environ[FOLDER] = str(folder)
