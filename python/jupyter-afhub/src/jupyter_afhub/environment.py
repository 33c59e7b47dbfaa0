"""What the process environment of a notebook must hold, and where it comes from.

HTCondor starts a job with the environment of its submit description and little else: no HOME, no SHELL,
sometimes no PATH. The account's own entry in the user database is the source for these, so that a notebook
looks like a login on the same machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REQUIRED = ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_SERVICE_PREFIX", "AFHUB_PORT_RANGE")
"""Variables that only a hub sets; without one of them there is nothing to serve and nobody to report to."""

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_CLUSTER_ID = re.compile(r"^ClusterId\s*=\s*(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Account:
    """The account a notebook runs as; the fields of its entry in the user database that matter here."""

    name: str
    home: str
    shell: str


def missing(environ: Mapping[str, str]) -> list[str]:
    """Names of the hub's variables that are unset or empty."""
    return [name for name in REQUIRED if not environ.get(name)]


def for_account(environ: Mapping[str, str], account: Account, bin_dir: str) -> dict[str, str]:
    """The environment of the server and its kernels.

    `bin_dir` is the environment's own bin folder; it comes first in PATH, so that `jupyter` in a terminal is
    the one that runs. Connection files of kernels, which hold their keys, go to the job's scratch folder
    where HTCondor gives one: it is local, private and disappears with the job.
    """
    result = dict(environ)
    result.update(
        HOME=account.home,
        USER=account.name,
        LOGNAME=account.name,
        SHELL=account.shell or "/bin/sh",
    )
    path = environ.get("PATH") or _DEFAULT_PATH
    if path.split(":")[0] != bin_dir:
        path = f"{bin_dir}:{path}"
    result["PATH"] = path
    # A terminal is a login shell, and /etc/profile sets PATH anew; a file in /etc/profile.d puts this back in front.
    result["AFHUB_BIN"] = bin_dir
    scratch = environ.get("_CONDOR_SCRATCH_DIR")
    if scratch and not environ.get("JUPYTER_RUNTIME_DIR"):
        result["JUPYTER_RUNTIME_DIR"] = str(Path(scratch) / ".jupyter-runtime")
    return result


def service_url(environ: Mapping[str, str], port: int) -> str:
    """The address under which JupyterHub's extension configures the server: every interface, our port.

    The hub can't know the port when it submits the job, so whatever it wrote into JUPYTERHUB_SERVICE_URL is
    replaced.
    """
    scheme = "https" if environ.get("JUPYTERHUB_SSL_CERTFILE") else "http"
    return f"{scheme}://:{port}{environ.get('JUPYTERHUB_SERVICE_PREFIX', '/')}"


def job_number(environ: Mapping[str, str]) -> str | None:
    """The job's cluster number from the ad that HTCondor leaves for the job, or None outside a job."""
    path = environ.get("_CONDOR_JOB_AD")
    if not path:
        return None
    try:
        found = _CLUSTER_ID.search(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found.group(1) if found else None
