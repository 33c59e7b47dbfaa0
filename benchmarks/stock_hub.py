"""The hub with stock batchspawner that benchmarks/stock puts beside ours, as the measurements use it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.stack import ssh
from minipool import ROOT, Minipool, wait_for

FOLDER = ROOT / "benchmarks/stock"
FACTS = yaml.safe_load((FOLDER / "vars.yml").read_text(encoding="utf-8"))
OVERLAY = ROOT / "benchmarks/overlay.yml"
#: In front of a tool of HTCondor on the hub's host: it speaks to the stock schedd.
TO_SCHEDD = "stock-condor"
#: Which condor_history has to be told: it asks no schedd but reads a file.
HISTORY = f"-file {FACTS['stock_spool']}/history"


def deploy(pool: Minipool, settings: str) -> None:
    """Deploys the stock hub with HTCondor `tuned` as ours is or with its own, `stock`, settings."""
    done = pool.playbook(
        "--extra-vars", f"@{OVERLAY}", "--extra-vars", f"stock_condor_settings={settings}",
        str(FOLDER / "deploy.yml"), timeout_s=900,
    )  # fmt: skip
    if done.returncode:
        sys.stderr.write(done.output[-4000:])
        raise RuntimeError(f"the stock hub with {settings} settings cannot be deployed")


def tune_again(pool: Minipool) -> None:
    """HTCondor has the settings of our deployment again. Quicker than `deploy`, which also looks at all the rest."""
    for host in pool.hosts:
        pool.check(host, f"rm -f {FACTS['stock_intervals_file']} && systemctl reload condor")


@dataclass(frozen=True)
class BesidePool(Minipool):
    """The same mini-pool, entered through the stock hub."""

    address: str = ""

    @property
    def url(self) -> str:
        return self.address


@contextmanager
def entered(pool: Minipool) -> Iterator[BesidePool]:
    """A way from this machine to the stock hub, which listens on the hub's loopback alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    far = FACTS["stock_ports"]["public"]
    tunnel = subprocess.Popen(
        [*ssh(pool, "hub")[:-1], "-N", "-o", "ExitOnForwardFailure=yes", "-o", "ControlPath=none",
         "-L", f"127.0.0.1:{port}:127.0.0.1:{far}", "hub"],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for("the way to the stock hub is open", lambda: _open(port), timeout_s=30, every_s=0.2)
        yield BesidePool(pool.instance, Path(pool.state), f"http://localhost:{port}")
    finally:
        tunnel.terminate()
        tunnel.wait(10)


def _open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False
