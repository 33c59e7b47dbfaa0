"""A running mini-pool, as the tests see it: its hosts, its inventory, its queue and its slots."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import testinfra
from testinfra.host import Host

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


class NotYetError(AssertionError):
    """What was waited for did not come in time.

    what: in words; timeout_s: so long was waited; last: the last value seen, as text.
    """

    def __init__(self, what: str, timeout_s: float, last: object) -> None:
        super().__init__(f"{what}: not within {timeout_s} s; last seen: {last!r}")
        self.what, self.timeout_s, self.last = what, timeout_s, repr(last)


def wait_for(what: str, probe: Callable[[], T], timeout_s: float = 60, every_s: float = 0.5) -> T:
    """Calls `probe` until it returns something true, and returns that.

    Raises NotYetError after `timeout_s` seconds, with the last value that the probe returned.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NotYetError(what, timeout_s, value)
        time.sleep(every_s)


def stays(what: str, probe: Callable[[], object], for_s: float, every_s: float = 1) -> None:
    """Calls `probe` again and again for so many seconds. Raises AssertionError once it returns something false."""
    begin = time.monotonic()
    while (passed_s := time.monotonic() - begin) < for_s:
        value = probe()
        assert value, f"{what}: no longer after {passed_s:.0f} of {for_s} s; last seen: {value!r}"
        time.sleep(every_s)


@dataclass(frozen=True)
class Result:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@dataclass(frozen=True)
class Minipool:
    """One instance of the mini-pool.

    instance: name of the instance; state: folder with its keys, ssh_config and certificates.
    """

    instance: str
    state: Path

    @classmethod
    def from_environment(cls) -> Minipool:
        """The pool of this process: `INSTANCE`, or of the names in `INSTANCES` the one of this worker of pytest-xdist.

        Raises RuntimeError where there are fewer pools than workers.
        """
        names = os.environ.get("INSTANCES", os.environ.get("INSTANCE", "test")).split()
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        if number >= len(names):
            raise RuntimeError(
                f"INSTANCES has {len(names)} pools ({' '.join(names)}), too few: run pytest with -n {len(names)}"
            )
        return cls(names[number], ROOT / ".minipool" / names[number])

    @property
    def prefix(self) -> str:
        return "afhub" if self.instance == "default" else f"afhub-{self.instance}"

    @property
    def port(self) -> int:
        """Where the hub answers on this machine's loopback."""
        return int((self.state / "port").read_text())

    @property
    def url(self) -> str:
        """Address of the hub, without a slash at the end."""
        return f"https://localhost:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.state / "tls" / "ca.pem"

    def host(self, name: str, user: str = "root") -> Host:
        """A host as testinfra sees it: over SSH as the deploy account, with sudo to root or to another account."""
        return _host(str(self.state / "ssh_config"), name, user)

    def run(self, host: str, command: str, *, user: str = "root", timeout_s: int = 120) -> Result:
        """Runs a shell command on a host, as root or as another account, from that account's home folder.

        By way of the engine, which costs a fraction of a log-in over SSH; that road is the one that deployments go.
        """
        account = ["--user", user, "--env", f"USER={user}", "--env", f"LOGNAME={user}"]
        shell = ["timeout", str(timeout_s), "sh", "-c", f"cd; {command}"]
        done = subprocess.run(
            ["docker", "exec", *account, self.container(host), *shell],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s + 60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def check(self, host: str, command: str, *, user: str = "root", timeout_s: int = 120) -> str:
        """Like `run`, and fails with the command's own words when it fails. Returns what it printed."""
        result = self.run(host, command, user=user, timeout_s=timeout_s)
        assert result.returncode == 0, (
            f"{command!r} on {host} as {user}: {result.returncode}\n{result.output}"
        )
        return result.stdout

    def engine(self, *arguments: str, timeout_s: float = 120) -> str:
        """One command of the container engine, with which the hosts themselves are switched off and on."""
        done = subprocess.run(
            ["docker", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, (
            f"docker {shlex.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def container(self, host: str) -> str:
        """The container that is a host."""
        return f"{self.prefix}-{host}"

    def inside(self, host: str, command: str, *, timeout_s: float = 120) -> str:
        """Runs a shell command on a host as root, also where no network leads there. Returns what it printed."""
        return self.engine("exec", self.container(host), "sh", "-c", command, timeout_s=timeout_s)

    @cached_property
    def inventory(self) -> dict[str, Any]:
        """The inventory of the mini-pool, as ansible-inventory lists it."""
        return _inventory(self.instance)

    def group(self, name: str) -> list[str]:
        """The hosts of an inventory group, those of its child groups included."""
        entry = self.inventory.get(name, {})
        hosts = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            hosts += self.group(child)
        return sorted(set(hosts))

    @property
    def hosts(self) -> list[str]:
        return sorted(self.inventory["_meta"]["hostvars"])

    def host_vars(self, host: str) -> dict[str, Any]:
        return dict(self.inventory["_meta"]["hostvars"][host])

    @property
    def classes(self) -> list[dict[str, Any]]:
        """notebook_classes of the inventory."""
        return list(self.host_vars("hub")["notebook_classes"])

    def slots(self) -> list[dict[str, Any]]:
        """The ads of all notebook slots, asked of the notebook collector."""
        out = self.check("nbcm", "condor_status -json")
        return list(json.loads(out or "[]"))

    def queue(
        self, attributes: str = "ClusterId,ProcId,JobStatus,Owner,AfhubClass,RemoteHost"
    ) -> list[dict[str, Any]]:
        """The ads of all notebooks, asked of the hub's schedd."""
        out = self.check("hub", f"condor_q -all -json -attributes {attributes}")
        return list(json.loads(out or "[]"))

    def database(self, query: str) -> list[list[Any]]:
        """The rows of a query of the hub's database, asked of the file itself."""
        program = (
            "import json, sqlite3, sys; "
            "base = sqlite3.connect('file:/var/lib/afhub/hub/jupyterhub.sqlite?mode=ro', uri=True, timeout=10); "
            "print(json.dumps(base.execute(sys.argv[1]).fetchall()))"
        )
        return list(json.loads(self.check("hub", f"python3 -c {shlex.quote(program)} {shlex.quote(query)}")))

    def playbook(self, *arguments: str, timeout_s: float = 900, **environment: str) -> Result:
        """Runs ansible-playbook against this instance, as make deploy does."""
        done = subprocess.run(
            [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "inventories/minipool", *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "INSTANCE": self.instance, "ANSIBLE_FORCE_COLOR": "0", **environment},
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)


@cache
def _host(ssh_config: str, name: str, user: str) -> Host:
    return testinfra.get_host(f"ssh://{name}", ssh_config=ssh_config, sudo=True, sudo_user=user)


@cache
def _inventory(instance: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-inventory"), "-i", "inventories/minipool", "--list"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "INSTANCE": instance},
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def recap(output: str) -> dict[str, dict[str, int]]:
    """The counts of a PLAY RECAP by host: ok, changed, unreachable, failed, skipped."""
    counts = {}
    for line in output.partition("PLAY RECAP")[2].splitlines():
        host, colon, rest = line.partition(" : ")
        if colon:
            counts[host.strip()] = {
                key: int(value) for key, _, value in (word.partition("=") for word in rest.split())
            }
    return counts
