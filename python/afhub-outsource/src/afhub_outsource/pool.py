"""The batch pool: the user's own jobs in it, and why they do not run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from afhub_outsource import OutsourceError

PROJECTION = (
    "ClusterId",
    "ProcId",
    "JobStatus",
    "HoldReason",
    "LastRejMatchReason",
    "QDate",
    "RequestCpus",
    "RequestMemory",
    "RequestDisk",
    # By which Dask's workers say what they ask for.
    "DaskWorkerCores",
    "DaskWorkerMemory",
    "DaskWorkerDisk",
    "RemoteHost",
    "LastRemoteHost",
    "NumJobStarts",
    "NumShadowStarts",
    "VacateReason",
)
ANSWER_S = 60
"""How long the batch pool may take to answer."""
IDLE, RUNNING, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5
HOPELESS_S = 10.0
"""How long work waits for workers none of which will run again."""


@dataclass(frozen=True)
class Job:
    """One job of the user's.

    back_from, back_why: the slot that took it and gave it back before it had started, and what HTCondor says of that.
    """

    job_id: str
    status: int
    hold_reason: str = ""
    no_match_reason: str = ""
    cores: int = 0
    memory_mb: int = 0
    slot: str = ""
    disk_mb: int = 0
    back_from: str = ""
    back_why: str = ""


def _bindings() -> Any:
    try:
        import htcondor2
    except ImportError as error:
        raise OutsourceError(
            f"HTCondor's bindings (htcondor2) are not in this environment: {error}"
        ) from error
    return htcondor2


@contextlib.contextmanager
def _told(what: str) -> Iterator[Any]:
    """The bindings, and their errors as one that says what did not work."""
    bindings = _bindings()
    try:
        yield bindings
    except (bindings.HTCondorException, OSError, ValueError) as error:
        detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise OutsourceError(
            f"The batch pool did not {what}: {detail}. Where this goes on, its schedd may be down; "
            "tell the site's admins."
        ) from error


def schedd() -> Any:
    """The site's batch schedd; raises OutsourceError where the collector does not know it."""
    with _told("say where its schedd is") as bindings:
        name = bindings.param.get("SCHEDD_HOST", "")
        collector = bindings.Collector()
        place = collector.locate(bindings.DaemonType.Schedd, name or None)
        return bindings.Schedd(place)


def _constraint(ids: Iterable[str]) -> str:
    clusters = sorted({int(job_id.partition(".")[0]) for job_id in ids})
    return " || ".join(f"ClusterId == {cluster}" for cluster in clusters) or "false"


def _job(ad: Any) -> Job:
    def text(name: str) -> str:
        value = ad.get(name)
        return " ".join(value.split()) if isinstance(value, str) else ""

    def number(name: str) -> int:
        # Requests may be expressions.
        value = ad.eval(name) if name in ad else 0
        return int(value) if isinstance(value, (int, float)) else 0

    # An attempt that goes on has not come back yet.
    attempts = number("NumShadowStarts") - (number("JobStatus") == RUNNING)
    back = number("JobStatus") in (IDLE, RUNNING) and attempts > 0 and not number("NumJobStarts")
    return Job(
        job_id=f"{number('ClusterId')}.{number('ProcId')}",
        status=number("JobStatus"),
        hold_reason=text("HoldReason"),
        no_match_reason=text("LastRejMatchReason"),
        cores=number("RequestCpus"),
        memory_mb=number("RequestMemory"),
        slot=text("RemoteHost"),
        disk_mb=number("RequestDisk") // 1024,
        back_from=text("LastRemoteHost") if back else "",
        back_why=text("VacateReason") if back else "",
    )


def jobs(ids: Iterable[str]) -> list[Job]:
    """The jobs with these ids that are still in the queue; raises OutsourceError where the schedd does not answer.

    A process of its own asks: the bindings are not meant for the threads of a kernel, and one that hangs can be ended.
    """
    command = [sys.executable, "-m", "afhub_outsource.pool", *ids]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise OutsourceError(
            f"The batch pool did not answer a question about its queue within {ANSWER_S} s. Its schedd may be down."
        ) from error
    if done.returncode:
        raise OutsourceError(done.stderr.strip() or "The batch pool could not be asked about its queue.")
    return [Job(**row) for row in json.loads(done.stdout)]


def ask(ids: Iterable[str]) -> list[Job]:
    """What `jobs` returns, asked by this process itself."""
    with _told("answer a question about its queue"):
        return [_job(ad) for ad in schedd().query(constraint=_constraint(ids), projection=list(PROJECTION))]


def ended(ids: Iterable[str], projection: Sequence[str], at_most: int = -1) -> list[Any]:
    """The ads of jobs that left the queue, the youngest first; -1 for all that the schedd knows."""
    with _told("tell how jobs ended"):
        return list(schedd().history(_constraint(ids), list(projection), at_most))


def slots(constraint: str, projection: Sequence[str]) -> list[Any]:
    """The ads of the pool's slots."""
    with _told("show its slots") as bindings:
        kind = bindings.AdType.Startd
        return list(bindings.Collector().query(kind, constraint, list(projection)))


def submit(description: dict[str, str], count: int) -> list[str]:
    """Submit jobs; returns their ids."""
    with _told("take the jobs") as bindings:
        done = schedd().submit(bindings.Submit(description), count=count)
        return [f"{done.cluster()}.{proc}" for proc in range(count)]


def remove(ids: Sequence[str], reason: str) -> None:
    """Remove jobs; those that are gone already are no error."""
    if not ids:
        return
    with _told("remove the jobs") as bindings:
        schedd().act(bindings.JobAction.Remove, _constraint(ids), reason=reason)


def explain(found: Sequence[Job], asked: int) -> str:
    """Why so many workers were asked for and do not run, in words for the user; empty where there is nothing to say."""
    said = []
    held = [job for job in found if job.status == HELD]
    idle = [job for job in found if job.status == IDLE]
    gone = asked - len(found)
    if held:
        reasons = sorted({job.hold_reason or "no reason given" for job in held})
        said.append(f"{_workers(len(held))} held by HTCondor: {'; '.join(reasons)}")
    # Where all of them are just being tried once more, what happened before is why they are late.
    if back := came_back(idle or [job for job in found if job.status == RUNNING]):
        said.append(back)
    elif idle:
        wish = f"{idle[0].cores} core(s) and {idle[0].memory_mb} MB of memory"
        reasons = sorted({job.no_match_reason for job in idle} - {""})
        why = f" (HTCondor says: {'; '.join(reasons)})" if reasons else ""
        said.append(f"{_workers(len(idle))} waiting for a slot with {wish}, and the pool has none free{why}")
    if gone > 0:
        said.append(f"{_workers(gone)} no longer in the queue: ended, or removed")
    return ". ".join(said)


def hopeless(found: Sequence[Job]) -> bool:
    """Whether none of these jobs runs again by itself: what is held stays so, and what is gone too."""
    return all(job.status in (REMOVED, COMPLETED, HELD) for job in found)


def came_back(found: Sequence[Job]) -> str:
    """What there is to say of jobs that a machine took and could not start; empty where there are none."""
    back = [job for job in found if job.back_from]
    if not back:
        return ""
    hosts = ", ".join(sorted({job.back_from.rpartition("@")[2] for job in back}))
    reasons = "; ".join(sorted({job.back_why for job in back} - {""})) or "nothing"
    count = "A job" if len(back) == 1 else f"{len(back)} jobs"
    return (
        f"{count} came back from {hosts} before the start (HTCondor says: {reasons}). A full scratch disk there is one "
        "cause; the site's admins find it in the starter's log of that machine"
    )


def _workers(count: int) -> str:
    return "1 worker is" if count == 1 else f"{count} workers are"


def main() -> int:
    """`python -m afhub_outsource.pool ID…`: the jobs as JSON, or what is wrong."""
    try:
        print(json.dumps([asdict(job) for job in ask(sys.argv[1:])]))
    except OutsourceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
