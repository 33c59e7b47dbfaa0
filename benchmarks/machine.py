"""What the measurements ran on: this machine, and the versions that the mini-pool has."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from minipool import ROOT, Minipool

HUB_PYTHON = "/opt/afhub/hub/current/bin/python"
ENV_PYTHON = "/opt/afhub/env/current/bin/python"
#: A machine is quiet while less than this share of its cores works.
QUIET = 0.15
_VERSION = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"


def _first(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else "unknown"


def machine() -> dict[str, str]:
    """Processor, cores, memory and kernel."""
    memory_kb = int(_first("/proc/meminfo", r"^MemTotal:\s+(\d+)"))
    return {
        "Processor": _first("/proc/cpuinfo", r"^model name\s*:(.*)$"),
        "Cores": str(os.cpu_count()),
        "Memory": f"{memory_kb / 1024**2:.1f} GiB",
        "Kernel": platform.release(),
    }


def commit() -> str:
    """The commit of this checkout, and whether files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    found = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results.md", ":!benchmarks/results.json")
    return f"{found}{', with changes' if changed else ''}" if found else "unknown"


def _installed(pool: Minipool, host: str, python: str, *names: str) -> list[str]:
    return pool.check(host, f"{python} -c '{_VERSION}' {' '.join(names)}").split()


def versions(pool: Minipool) -> dict[str, str]:
    """The programs that the figures depend on."""
    condor = re.search(r"CondorVersion: (\S+)", pool.check("hub", "condor_version"))
    hub, spawner = _installed(pool, "hub", HUB_PYTHON, "jupyterhub", "batchspawner")
    lab, server = _installed(pool, "worker1", ENV_PYTHON, "jupyterlab", "jupyter-server")
    browser = subprocess.run(["chromium", "--version"], capture_output=True, text=True, check=False)
    return {
        "HTCondor": condor[1] if condor else "unknown",
        "JupyterHub": hub,
        "batchspawner": spawner,
        "JupyterLab": f"{lab} (Jupyter Server {server})",
        "Python of the notebooks": pool.check("worker1", f"{ENV_PYTHON} -V").split()[1],
        "Browser": browser.stdout.strip() or "unknown",
        "Commit": commit(),
    }


def busy_s() -> float:
    """CPU seconds that this machine has spent on anything, since it started."""
    user, nice, system, _, _, irq, softirq = map(int, _first("/proc/stat", r"^cpu (.*)$").split()[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def becomes_quiet(patience_s: float = 4, look_s: float = 0.4) -> bool:
    """Waits until hardly anything runs on this machine, so that a start is not measured on what an earlier one left.

    Returns whether that came about in time.
    """
    cores = os.cpu_count() or 1
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        before, begun = busy_s(), time.monotonic()
        time.sleep(look_s)
        if (busy_s() - before) / (time.monotonic() - begun) / cores < QUIET:
            return True
    return False
