"""The mini-pool as the benchmarks use it: scripts that stay running on a host, load, and the hub's own log."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.attempts import DidNotStartError
from minipool import Minipool, wait_for

ON_HOST = Path(__file__).resolve().parent / "on_host"
#: Where the scripts of on_host/ go on a host: a file system in memory that a restart empties.
REMOTE = "/run/afhub-bench"


def ssh(pool: Minipool, host: str) -> list[str]:
    """How a command is run on a host as the account deploy."""
    return ["ssh", "-F", str(pool.state / "ssh_config"), "-o", "BatchMode=yes", host]


def copy_scripts(pool: Minipool, host: str) -> None:
    """Puts on_host/ on a host, readable by everybody there."""
    for script in sorted(ON_HOST.glob("*.py")):
        target = shlex.quote(f"{REMOTE}/{script.name}")
        subprocess.run(
            [*ssh(pool, host), f"sudo install -d {REMOTE} && sudo tee {target} >/dev/null && sudo chmod 644 {target}"],
            input=script.read_bytes(), check=True, timeout=60,
        )  # fmt: skip


def script(
    pool: Minipool, host: str, name: str, *arguments: str, given: Any = None, timeout_s: float = 300
) -> Any:
    """Runs a script of on_host/ as root and returns what it printed, which is JSON."""
    words = " ".join(shlex.quote(word) for word in ("python3", f"{REMOTE}/{name}", *arguments))
    done = subprocess.run(
        [*ssh(pool, host), f"cd / && sudo {words}"],
        input=json.dumps(given), capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    if done.returncode:
        raise DidNotStartError(f"{name} on {host}: {done.returncode} {done.stderr}")
    return json.loads(done.stdout)


class WorkerAgent:
    """A user's shell on a worker, which starts servers by hand (on_host/worker_agent.py)."""

    def __init__(self, pool: Minipool, host: str, user: str) -> None:
        self.host = host
        command = f"cd / && exec sudo -H -u {shlex.quote(user)} python3 -u {REMOTE}/worker_agent.py"
        self._process = subprocess.Popen(
            [*ssh(pool, host), command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._waiting: list[dict[str, Any]] = []
        self._asked = ""
        #: The token that its servers ask a browser for.
        self.token = str(self.answer("here")["token"])
        self.address = address(pool, host)

    def ask(self, do: str, **more: Any) -> None:
        """Sends a request; its answers are read with `answer`. What nobody read of an earlier one is dropped."""
        self._waiting.clear()
        self._asked = do
        if self._process.stdin is None:
            raise RuntimeError("no way to the worker")
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()

    def answer(self, event: str) -> dict[str, Any]:
        """The next answer of a kind; others keep until they are asked for.

        DidNotStartError where the request failed, RuntimeError where there is no agent any more.
        """
        for told in self._waiting:
            if told["event"] == event:
                self._waiting.remove(told)
                return told
        if self._process.stdout is None:
            raise RuntimeError("no way from the worker")
        for line in self._process.stdout:
            told = json.loads(line)
            if told["event"] == "failed":
                # A start that nobody waits for any more may fail after the next request was sent.
                if told["do"] != self._asked:
                    continue
                raise DidNotStartError(f"on {self.host}: {told['why']}")
            if told["event"] == event:
                return dict(told)
            self._waiting.append(told)
        raise RuntimeError(f"the agent on {self.host} ended; exit code {self._process.wait()}")

    def do(self, do: str, event: str, **more: Any) -> dict[str, Any]:
        """A request and its answer."""
        self.ask(do, **more)
        return self.answer(event)

    def stop(self) -> None:
        """Ends the server that was started by hand, whatever became of it."""
        self.do("stop", "stopped")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)


def address(pool: Minipool, host: str) -> str:
    """A host's address on the containers' network, which this machine reaches directly."""
    shown = subprocess.run(
        ["ssh", "-F", str(pool.state / "ssh_config"), "-G", host], capture_output=True, text=True, check=True
    )
    return next(line.split()[1] for line in shown.stdout.splitlines() if line.startswith("hostname "))


@dataclass(frozen=True)
class LogLine:
    """A line of a unit's log with its time in seconds since 1970."""

    at: float
    text: str


class UnitLog:
    """What a unit writes to the journal from now on."""

    def __init__(self, pool: Minipool, host: str, unit: str) -> None:
        self._pool, self._host, self._unit = pool, host, unit
        self._since = pool.check(host, "date +%s").strip()

    def lines(self) -> list[LogLine]:
        """All lines so far."""
        shown = self._pool.check(
            self._host,
            f"journalctl -u {shlex.quote(self._unit)} --since @{self._since} --no-pager -o json "
            "--output-fields=MESSAGE,__REALTIME_TIMESTAMP",
        )
        return [
            LogLine(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, entry["MESSAGE"])
            for entry in map(json.loads, shown.splitlines())
            if isinstance(entry.get("MESSAGE"), str)
        ]


def first_line(lines: Sequence[LogLine], pattern: str, begun: float, ended: float) -> float | None:
    """When the first line that matches was written between two times."""
    matching = re.compile(pattern)
    return next((line.at for line in lines if begun <= line.at <= ended and matching.search(line.text)), None)


def cpu(pool: Minipool, host: str, *parts: str) -> Mapping[str, float]:
    """CPU seconds of a host's units and programs so far, see on_host/cpu.py."""
    return dict(script(pool, host, "cpu.py", *parts))


# -- the batch pool ----------------------------------------------------------------------------------------------------

BATCH_JOBS = """
executable = /bin/sleep
arguments = 86400
transfer_executable = false
request_memory = 16
request_cpus = 1
+AfhubBench = true
"""
THEIRS = "AfhubBench =?= true"


def _batch_states(pool: Minipool) -> dict[str, int]:
    shown = pool.check("batch", f"condor_q -all -constraint {shlex.quote(THEIRS)} -af JobStatus")
    states = shown.split()
    return {name: states.count(code) for name, code in (("idle", "1"), ("running", "2"), ("removed", "3"))}


@contextmanager
def busy_batch_pool(pool: Minipool, user: str, idle: int) -> Iterator[str]:
    """A batch pool without a free slot and with so many idle jobs in its queue, all of them sleeping.

    Yields what was seen, in words. The jobs are gone afterwards.
    """
    cores = pool.check(
        "batch", "condor_status -constraint 'SlotType =!= \"Dynamic\"' -af TotalSlotCpus"
    ).split()
    slots = sum(map(int, cores))
    text = f"{BATCH_JOBS}queue {idle + slots}\n"
    try:
        pool.check(
            "batch", f"printf %s {shlex.quote(text)} | condor_submit -terse -", user=user, timeout_s=300
        )

        states: dict[str, int] = {}

        def full() -> bool:
            states.update(_batch_states(pool))
            return states["running"] >= slots and states["idle"] >= idle

        try:
            wait_for("the batch pool is busy", full, timeout_s=180, every_s=2)
        except AssertionError as error:
            raise RuntimeError(f"{error}; {states} of {slots} and {idle}") from error
        yield f"{states['running']} batch jobs running on {slots} cores, {states['idle']} idle"
    finally:
        pool.check("batch", f"condor_rm -constraint {shlex.quote(THEIRS)}", timeout_s=300)
        wait_for(
            "the batch pool is empty", lambda: not sum(_batch_states(pool).values()), timeout_s=180, every_s=2
        )
