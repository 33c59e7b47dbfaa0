"""What the notebook's extension costs its server: with it, without it, and beside jupyter-resource-usage.

    .venv/bin/python -m benchmarks.extension_cost

starts real Jupyter servers of the environment it runs in, with the files and variables of a job and a stand-in for the
hub on loopback: one after the other, in an order that changes from round to round; then all idle side by side. Writes
benchmarks/extension_cost.md. Nothing else should run on the machine meanwhile. With --python it measures the servers of
another environment, for example that of the notebooks.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

from benchmarks import attempts, report, steps
from benchmarks.attempts import DidNotStartError, Failed

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
KEY = "of-a-benchmark"
JOB_AD = """
ClusterId = 7
ProcId = 0
Owner = "ann"
AfhubClass = "regular"
AfhubMemoryLimitMb = 12288
RequestCpus = 1
AllowedJobDuration = 43200
JobMaxVacateTime = 30
"""
RESOURCE_USAGE = "jupyter-resource-usage"
VARIANTS: dict[str, tuple[str, ...]] = {
    "without either": (),
    "jupyter_afhub": ("jupyter_afhub",),
    RESOURCE_USAGE: ("jupyter_resource_usage",),
    "both, as in the stack": ("jupyter_afhub", "jupyter_resource_usage"),
}
LIMITS = {"percent": 0.3, "mb": 15.0, "start_ms": 50.0}
PATIENCE_S = 60.0
#: Where the traceback of a run that broke off is; what it had measured is in the page.
FAULTS = ROOT / "test-results/bench-fault.log"
TRY_EVERY_S = 0.005
MB = 1024 * 1024


class _Hub(BaseHTTPRequestHandler):
    """A stand-in for the hub: knows of no news."""

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message.get("known"):
            threading.Event().wait(min(message.get("wait_s", 0), 50))
        body = json.dumps({"version": "1", "notices": [], "report_every_s": 60}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The benchmark prints figures only."""


@dataclass
class Samples:
    """Of one variant, round by round: seconds until it answers and the CPU time of that; percent of a core and
    megabytes while it idles."""

    starts: list[tuple[float, float] | Failed] = field(default_factory=list)
    idle: list[tuple[float, float] | Failed] = field(default_factory=list)


def cpu_s(pid: int) -> float:
    """Processor time of all threads of a process. /proc/<pid>/stat has it in hundredths of a second only."""
    # As clock_getcpuclockid(3) makes it, which Python does not have.
    return time.clock_gettime(~pid << 3 | 2)


def private_mb(pid: int) -> float:
    """Megabytes that would be free if the process ended: what its libraries share with others costs nobody anything."""
    found = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in {"Private_Clean", "Private_Dirty"}:
            found += int(rest.split()[0])
    return found / 1024


def answers(port: int) -> bool:
    """Whether the server answers a request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/status", headers={"Authorization": f"token {KEY}"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def server(
    python: str, extensions: tuple[str, ...], hub_port: int, port: int
) -> Iterator[tuple[int, float, float]]:
    """A server that answers: its process, and the seconds and CPU seconds until then."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        (folder / "job.ad").write_text(JOB_AD)
        enabled = {name: name in extensions for name in ("jupyter_afhub", "jupyter_resource_usage")}
        # Off in the stack. It looks for two dozen programs at about the moment of the first answer, before or after it.
        enabled["jupyter_lsp"] = False
        config = {
            "ServerApp": {"jpserver_extensions": enabled},
            # As in the stack: without it, jupyter-resource-usage measures once a second whether anybody looks or not.
            "ResourceUseDisplay": {"enable_prometheus_metrics": False},
        }
        (folder / "jupyter_server_config.json").write_text(json.dumps(config))
        environ: Mapping[str, str] = {
            "PATH": os.environ["PATH"], "HOME": folder_name, "JUPYTER_CONFIG_DIR": folder_name,
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "PYTHONPATH": str(ROOT / "python/jupyter-afhub/src"),
            "_CONDOR_JOB_AD": str(folder / "job.ad"), "_CONDOR_SCRATCH_DIR": folder_name, "AFHUB_CLASS": "regular",
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub_port}/hub/api", "JUPYTERHUB_API_TOKEN": KEY,
        }  # fmt: skip
        begun = time.monotonic()
        process = subprocess.Popen(
            [
                python, "-m", "jupyter_server", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
                "--ServerApp.port_retries=0", f"--IdentityProvider.token={KEY}",
            ],
            env=environ, cwd=folder_name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while not answers(port):
                if process.poll() is not None or time.monotonic() - begun > PATIENCE_S:
                    raise DidNotStartError(
                        f"ended with {process.returncode}"
                        if process.returncode is not None
                        else f"no answer within {PATIENCE_S:.0f} s"
                    )
                time.sleep(TRY_EVERY_S)
            yield process.pid, time.monotonic() - begun, cpu_s(process.pid)
        finally:
            process.terminate()
            process.wait()


def in_turn(number: int) -> list[str]:
    """The kinds in another order for each of 24 rounds: none has a place, or a kind before it, of its own."""
    orders = list(itertools.permutations(VARIANTS))
    # Neighbours in this list begin alike; 7 has no factor in common with 24.
    return list(orders[7 * number % len(orders)])


def measure(
    python: str,
    starts: int,
    rounds: int,
    settle_s: float,
    idle_s: float,
    found: Mapping[str, Samples],
    keep: Callable[[], None],
) -> None:
    """First the starts, one server at a time; then all kinds idle side by side. Calls `keep` after each round."""
    hub = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    hub.daemon_threads = True
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    # Below the ports that the system gives out: a connection from one of those can reach itself.
    ports = itertools.count(28000)

    def run(name: str) -> AbstractContextManager[tuple[int, float, float]]:
        return server(python, VARIANTS[name], hub.server_address[1], next(ports))

    def start(name: str) -> tuple[float, float]:
        with run(name) as (_, start_s, start_cpu_s):
            return start_s, start_cpu_s

    try:
        # The first round fills the file cache and is not counted.
        for number in range(starts + 1):
            for name in in_turn(number):
                outcome = caught(lambda name=name: start(name))  # type: ignore[misc]
                if number:
                    found[name].starts.append(outcome)
            print(f"starts {number} of {starts}", flush=True)
            keep()
        for number in range(1, rounds + 1):
            with ExitStack() as running:
                opened = {
                    name: caught(lambda name=name: running.enter_context(run(name))[0])  # type: ignore[misc]
                    for name in in_turn(number)
                }
                idle_side_by_side(opened, settle_s, idle_s, found)
            print(f"idle {number} of {rounds}", flush=True)
            keep()
    finally:
        hub.shutdown()


def caught(start: Callable[[], T]) -> T | Failed:
    """A server's context ends what it has started, also where that fails: nothing is left to clear away."""
    return attempts.attempt(start, stop=lambda: None, reset=lambda: None)


def idle_side_by_side(
    opened: Mapping[str, int | Failed], settle_s: float, idle_s: float, found: Mapping[str, Samples]
) -> None:
    """What those that run use meanwhile. One that does not is counted; without it, the others idle all the same."""
    pids = {name: pid for name, pid in opened.items() if not isinstance(pid, Failed)}
    time.sleep(settle_s)
    begun = time.monotonic()
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(idle_s)
    passed_s = time.monotonic() - begun
    for name, one in opened.items():
        found[name].idle.append(
            one
            if isinstance(one, Failed)
            else ((cpu_s(one) - before[name]) / passed_s * 100, private_mb(one))
        )


def table(found: Mapping[str, Samples], python: str, idle_s: float, wanted: tuple[int, int] = (0, 0)) -> str:
    """The figures as a page. What did not start is counted below them, and said if there are fewer than `wanted`."""

    def median(values: list[float]) -> float:
        return statistics.median(values) if values else float("nan")

    def more_ms(samples: Samples, place: int) -> float:
        """Of each start against the one of the same round: what slows down the machine for a while slows down both."""
        return 1000 * median(
            [
                one[place] - other[place]
                for one, other in zip(samples.starts, base.starts, strict=False)
                if not isinstance(one, Failed) and not isinstance(other, Failed)
            ]
        )

    def idle(samples: Samples) -> list[float]:
        return [median([one[place] for one in attempts.samples(samples.idle)]) for place in (0, 1)]

    base = found["without either"]
    rows, counted = [], []
    for name, samples in found.items():
        starts = attempts.samples(samples.starts)
        (percent, memory_mb), (base_percent, base_mb) = idle(samples), idle(base)
        cells = (
            f"{median([one for one, _ in starts]):.2f} s", f"{more_ms(samples, 0):+.0f} ms",
            f"{more_ms(samples, 1):+.0f} ms", f"{percent:.2f} %", f"{percent - base_percent:+.2f} %",
            f"{memory_mb:.1f} MB", f"{memory_mb - base_mb:+.1f} MB",
        )  # fmt: skip
        rows.append(
            f"| {name} | " + " | ".join(report.NOTHING if "nan" in cell else cell for cell in cells) + " |"
        )
        for what, outcomes in (("", samples.starts), (", idle", samples.idle)):
            lines = attempts.counted(attempts.failures(outcomes), len(outcomes))
            counted += [f"{name}{what}: {line}", ""] if (line := "; ".join(lines)) else []
    if (len(base.starts), len(base.idle)) < wanted:
        counted += [
            f"**The run did not come to its end:** {wanted[0]} starts and {wanted[1]} times idle were to be.",
            "",
        ]
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return "\n".join(
        [
            "# What the notebook's extension costs",
            "",
            f"Written by `benchmarks/extension_cost.py` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {version}, "
            f"{os.cpu_count()} cores, {platform.machine()}.",
            f"Medians of {len(base.starts)} starts of each, one at a time, differences within each round; idle: "
            f"{len(base.idle)} times {idle_s:.0f} s of all side by side, nobody connected.",
            "",
            "| extensions | start | | CPU of it | idle, of a core | | private memory | |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            *counted,
            f"Allowed for `jupyter_afhub`: {LIMITS['start_ms']:.0f} ms at start, {LIMITS['percent']} % of a core, "
            f"{LIMITS['mb']:.0f} MB.",
            "",
        ]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="of the environment to measure")
    parser.add_argument("--starts", type=int, default=24, help="starts of each kind")
    parser.add_argument("--rounds", type=int, default=8, help="how often all of them idle")
    parser.add_argument("--settle-s", type=float, default=10.0)
    parser.add_argument("--idle-s", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    wanted = parser.parse_args()
    found = {name: Samples() for name in VARIANTS}

    def keep() -> None:
        text = table(found, wanted.python, wanted.idle_s, (wanted.starts, wanted.rounds))
        report.replace({wanted.out: text})

    with steps.plainly(FAULTS):
        measure(wanted.python, wanted.starts, wanted.rounds, wanted.settle_s, wanted.idle_s, found, keep)
        print(wanted.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
