"""What a notebook's kernel runs to measure work that leaves it. It is sent to the kernel as text.

Each function returns seconds, by the kernel's own clock, from the first call of the tool on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

TASK_S = 0.01


def nap(_number: int) -> int:
    """The task: it sleeps as long as the job of `condor_submit` does."""
    import time

    time.sleep(0.01)
    return 1


def folder() -> Path:
    """A folder that the schedd writes the log to: in the home folder, which it shares."""
    return Path(tempfile.mkdtemp(prefix=".afhub-bench-", dir=Path.home()))


def by_condor_submit(lines: dict[str, str], count: int) -> str:
    """Submits with the command line tool; returns the cluster."""
    text = "".join(f"{name} = {value}\n" for name, value in lines.items()) + f"queue {count}\n"
    done = subprocess.run(
        ["condor_submit", "-terse"], input=text, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout.split(".", 1)[0]


def by_bindings(lines: dict[str, str], count: int) -> str:
    """Submits with the bindings; returns the cluster."""
    import htcondor2

    return str(htcondor2.Schedd().submit(htcondor2.Submit(lines), count=count).cluster())


def follow(log: Path, kind: str, count: int, timeout_s: float = 900) -> tuple[float, float]:
    """The times at which the first and the last of so many events are in a job log."""
    import htcondor2

    deadline = time.perf_counter() + timeout_s
    while not log.exists():
        time.sleep(0.02)
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{log} was not written within {timeout_s} s")
    seen, first = 0, 0.0
    wanted = getattr(htcondor2.JobEventType, kind)
    with htcondor2.JobEventLog(str(log)) as events:
        while seen < count:
            for event in events.events(stop_after=0):
                if event.type == wanted:
                    seen += 1
                    first = first or time.perf_counter()
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{seen} of {count} events {kind} within {timeout_s} s")
            time.sleep(0.02)
    return first, time.perf_counter()


def jobs(submit: Any, count: int, seconds: float = TASK_S, kind: str = "JOB_TERMINATED") -> dict[str, float]:
    """Plain jobs that sleep."""
    place = folder()
    lines = {
        "executable": "/bin/sleep",
        "transfer_executable": "false",
        "arguments": f"{seconds}",
        "log": str(place / "log"),
        "request_cpus": "1",
        "request_memory": "64MB",
        "request_disk": "1MB",
    }
    cluster = ""
    begun = time.perf_counter()
    try:
        cluster = submit(lines, count)
        first, last = follow(place / "log", kind, count)
        return {"first": first - begun, "last": last - begun}
    finally:
        subprocess.run(["condor_rm", cluster], capture_output=True, timeout=60, check=False)
        shutil.rmtree(place, ignore_errors=True)


def condor_submit(count: int) -> dict[str, float]:
    """Plain jobs, submitted by hand."""
    return jobs(by_condor_submit, count)


def bindings(count: int) -> dict[str, float]:
    """Plain jobs, submitted with the bindings."""
    return jobs(by_bindings, count)


def htmap(count: int) -> dict[str, float]:
    """A map of a function."""
    import htmap as tool

    begun = time.perf_counter()
    spectra = tool.map(nap, range(count))
    try:
        first = 0.0
        for _ in spectra.iter_as_available():
            first = first or time.perf_counter()
        return {"first": first - begun, "last": time.perf_counter() - begun}
    finally:
        spectra.remove()


def dask(count: int) -> dict[str, float]:
    """Tasks on four workers; ready: when the first of them is there."""
    from dask.distributed import Client, as_completed
    from dask_jobqueue import HTCondorCluster

    begun = time.perf_counter()
    with HTCondorCluster() as cluster, Client(cluster) as client:
        cluster.scale(4)
        client.wait_for_workers(1, timeout=600)
        ready = time.perf_counter()
        first = 0.0
        for _ in as_completed(client.map(nap, range(count), pure=False)):
            first = first or time.perf_counter()
        return {"ready": ready - begun, "first": first - begun, "last": time.perf_counter() - begun}


def spark(count: int) -> dict[str, float]:
    """Tasks on four workers; ready: when the first of them is there."""
    from afhub_outsource import spark as start

    begun = time.perf_counter()
    session = start(workers=4)
    try:
        ready = time.perf_counter()
        context = session.sparkContext
        # Spark hands out results when all are there: the first is a job of one task.
        context.parallelize([0], 1).map(nap).collect()
        first = time.perf_counter()
        context.parallelize(range(count), count).map(nap).sum()
        return {"ready": ready - begun, "first": first - begun, "last": time.perf_counter() - begun}
    finally:
        session.stop()


def four_jobs() -> dict[str, float]:
    """Until four plain jobs run."""
    return jobs(by_condor_submit, 4, seconds=3600, kind="EXECUTE")


def four_dask_workers() -> dict[str, float]:
    """Until four workers are there."""
    from dask.distributed import Client
    from dask_jobqueue import HTCondorCluster

    begun = time.perf_counter()
    with HTCondorCluster() as cluster, Client(cluster) as client:
        cluster.scale(4)
        client.wait_for_workers(1, timeout=600)
        first = time.perf_counter()
        client.wait_for_workers(4, timeout=600)
        return {"first": first - begun, "last": time.perf_counter() - begun}


def four_spark_workers() -> dict[str, float]:
    """Until four workers are there."""
    from afhub_outsource import spark as start

    begun = time.perf_counter()
    session = start(workers=4)
    try:
        first = time.perf_counter()
        manager = session.sparkContext._jsc.sc()  # noqa: SLF001
        # The driver itself is in this list.
        while int(manager.getExecutorMemoryStatus().size()) - 1 < 4:
            time.sleep(0.02)
            if time.perf_counter() - begun > 600:
                raise TimeoutError("not four workers within 600 s")
        return {"first": first - begun, "last": time.perf_counter() - begun}
    finally:
        session.stop()


def versions() -> None:
    """Prints the versions of the tools."""
    from importlib.metadata import version

    names = ("htcondor", "htmap", "dask", "distributed", "dask-jobqueue", "pyspark")
    print(json.dumps({name: version(name) for name in names}))


def measure(what: str, *arguments: int) -> None:
    """Prints what one of the functions above returns, and the load of the machine before."""
    load = os.getloadavg()[0]
    print(json.dumps({"seconds": globals()[what](*arguments), "load": load}))
