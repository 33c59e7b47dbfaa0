"""The user's own jobs in the site's batch pool: which there are, how they do, and an end to them.

Asked with HTCondor's own tools (`condor_q`, `condor_rm`, `condor_release`), each in a process of its own with an end to
its time: the bindings would hold Python's lock while a schedd that is down is waited for, and with it the server.

Every question and every action is limited to the jobs of the account that this runs as. Whether it may act is for
the schedd to say, which asks HTCondor's authentication and not this module.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIG = "CONDOR_CONFIG"
QUERY, REMOVE, RELEASE = "condor_q", "condor_rm", "condor_release"

PATIENCE_S = 15
"""How long one tool may take."""
MOST_JOBS = 5000
"""Jobs that are asked for; of more there is a word that there are more."""
LISTED_IN_GROUP = 20
LISTED = 200
LONGEST_NAME = 200
LONGEST_TEXT = 500
LARGEST_ANSWER = 64 * 1024 * 1024
CLUSTERS_AT_ONCE = 200
"""Clusters in one constraint: what a command line holds with room to spare."""

ATTRIBUTES = (
    "ClusterId", "ProcId", "Owner", "JobStatus", "EnteredCurrentStatus", "QDate", "ServerTime", "JobBatchName", "Cmd",
    "Args", "Arguments", "HoldReason", "LastRejMatchReason", "RemoteHost", "LastRemoteHost", "Iwd", "Out", "Err",
    "UserLog", "AfhubServer", "AfhubWorker", "DaskWorkerName", "IsHTMapJob",
)  # fmt: skip

HELD = "held"
STATES = {
    1: "idle",
    2: "running",
    3: "removed",
    4: "completed",
    5: HELD,
    6: "output",
    7: "suspended",
}
COUNTED = {"output": "running", "suspended": "running", "removed": "leaving", "completed": "leaving"}
"""Under which of the four figures a state counts, where not under its own name."""
ORDER = (HELD, "running", "output", "suspended", "idle", "removed", "completed", "unknown")


class PoolError(Exception):
    """What the user is told of a pool that did not answer or did not do as asked."""


class NotThereError(Exception):
    """The user has no such job or batch, or no longer."""


@dataclass(frozen=True)
class Job:
    """One job. Times in seconds since 1970, by the schedd's clock."""

    cluster: int
    proc: int
    state: str
    since: int
    submitted: int
    tool: str
    batch: str
    server: str
    command: str
    reason: str
    host: str
    files: tuple[tuple[str, str], ...] = ()
    """Kind (output, errors, log) and absolute path, as the job names them."""

    @property
    def id(self) -> str:
        """As HTCondor writes it."""
        return f"{self.cluster}.{self.proc}"

    @property
    def group(self) -> str:
        """A name for what it belongs to: one batch name of one tool, or the cluster where it has none."""
        parts = (self.tool, self.server, self.batch or f"\0{self.cluster}")
        return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class Queue:
    """All of the user's jobs at one moment."""

    at: float
    jobs: tuple[Job, ...] = ()
    more: bool = False
    shift_s: float = 0.0
    """The schedd's clock less ours."""


@dataclass
class Group:
    """Jobs that are shown and removed together."""

    id: str
    jobs: list[Job] = field(default_factory=list)


def configured(environ: Mapping[str, str]) -> bool:
    """Whether this notebook has a batch pool: its tools are there, and the file that tells them where the pool is."""
    path = environ.get(CONFIG)
    return bool(path) and Path(path or "").is_file() and bool(shutil.which(QUERY, path=environ.get("PATH")))


def account() -> str:
    """The name of the account that this runs as, which is never asked of anybody."""
    return pwd.getpwuid(os.getuid()).pw_name


def plain(value: Any, longest: int = LONGEST_TEXT) -> str:
    """A text of one line without control characters and marks of direction; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    flat = " ".join(value.split())
    return "".join(letter for letter in flat if letter.isprintable())[:longest]


def as_typed(arguments: str) -> str:
    """Arguments of a job as one would type them: HTCondor writes `-c sleep' '9`, and a quote inside of quotes twice."""
    words, word, quoted = [], "", False
    place = 0
    while place < len(arguments):
        letter = arguments[place]
        if letter == "'" and quoted and arguments[place + 1 : place + 2] == "'":
            word += "'"
            place += 1
        elif letter == "'":
            quoted = not quoted
        elif letter == " " and not quoted:
            words.append(word)
            word = ""
        else:
            word += letter
        place += 1
    return shlex.join(one for one in [*words, word] if one)


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _tool(ad: Mapping[str, Any]) -> str:
    worker = ad.get("AfhubWorker")
    if worker in ("dask", "spark"):
        return str(worker)
    if "DaskWorkerName" in ad:
        return "dask"
    return "htmap" if ad.get("IsHTMapJob") is True else "plain"


def _machine(ad: Mapping[str, Any], state: str) -> str:
    slot = ad.get("RemoteHost") or (ad.get("LastRemoteHost") if state in (HELD, "completed") else "")
    return plain(slot, LONGEST_NAME).rpartition("@")[2]


def _files(ad: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The files that the job writes, once each, where it names any."""
    home = ad.get("Iwd")
    folder = Path(home if isinstance(home, str) else "/")
    found: dict[str, str] = {}
    for kind, name in (("output", "Out"), ("errors", "Err"), ("log", "UserLog")):
        path = ad.get(name)
        if isinstance(path, str) and path and "\0" not in path and path != os.devnull:
            whole = os.path.normpath(folder / path)
            found.setdefault(whole, kind)
    return tuple((kind, path) for path, kind in found.items())


def read_job(ad: Mapping[str, Any]) -> Job | None:
    """A job from its ad, or None for something that has no number."""
    cluster, proc = ad.get("ClusterId"), ad.get("ProcId")
    if not isinstance(cluster, int) or not isinstance(proc, int):
        return None
    state = STATES.get(_number(ad.get("JobStatus")), "unknown")
    reasons = {HELD: "HoldReason", "idle": "LastRejMatchReason"}
    arguments = as_typed(plain(ad.get("Arguments"))) or plain(ad.get("Args"))
    program = Path(plain(ad.get("Cmd"))).name
    return Job(
        cluster=cluster,
        proc=proc,
        state=state,
        since=_number(ad.get("EnteredCurrentStatus")) or _number(ad.get("QDate")),
        submitted=_number(ad.get("QDate")),
        tool=_tool(ad),
        batch=plain(ad.get("JobBatchName"), LONGEST_NAME),
        server=plain(ad.get("AfhubServer"), LONGEST_NAME),
        command=f"{program} {arguments}".strip()[:LONGEST_NAME],
        reason=plain(ad.get(reasons[state])) if state in reasons else "",
        host=_machine(ad, state),
        files=_files(ad),
    )


Run = Callable[[Sequence[str]], str]


def run_tool(command: Sequence[str]) -> str:
    """What one of HTCondor's tools prints; raises PoolError with what it says where it fails."""
    name = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        raise PoolError(f"it did not answer within {PATIENCE_S} seconds") from None
    except OSError as error:
        raise PoolError(f"{name} can't be run: {error.strerror or error}") from error
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        said = plain(done.stderr.decode("utf-8", "replace")) or plain(output)
        raise PoolError(said or f"{name} ended with {done.returncode} and said nothing")
    return output


def _constraint(owner: str, more: str = "") -> str:
    # An account's name has neither quotes nor backslashes; one that had would find nothing.
    mine = f'Owner == "{owner}"' if '"' not in owner and "\\" not in owner else "false"
    return f"{mine} && ({more})" if more else mine


class Pool:
    """The batch pool as this account may use it. Its methods take their time: call them in a thread."""

    def __init__(self, run: Run = run_tool, owner: str | None = None) -> None:
        self._run = run
        self._owner = owner

    @property
    def owner(self) -> str:
        """Whose jobs these are."""
        if self._owner is None:
            self._owner = account()
        return self._owner

    def queue(self) -> Queue:
        """The user's jobs that are in the queue; raises PoolError where the schedd does not say."""
        command = [QUERY, "-json", "-attributes", ",".join(ATTRIBUTES), "-limit", str(MOST_JOBS + 1)]
        text = self._run([*command, "-constraint", _constraint(self.owner)])
        now = time.time()
        try:
            ads = json.loads(text) if len(text) <= LARGEST_ANSWER and text.strip() else []
        except (ValueError, RecursionError):
            ads = None
        if not isinstance(ads, list):
            raise PoolError(f"{QUERY} answered with something that is no list of jobs")
        # The schedd was asked for these alone; that nobody else's are shown does not hang on its answer.
        mine = [ad for ad in ads if isinstance(ad, dict) and ad.get("Owner") == self.owner]
        server = next((ad["ServerTime"] for ad in mine if isinstance(ad.get("ServerTime"), int)), None)
        jobs = [job for job in map(read_job, mine) if job is not None]
        return Queue(
            at=now,
            jobs=tuple(jobs[:MOST_JOBS]),
            more=len(ads) > MOST_JOBS,
            shift_s=0.0 if server is None else server - now,
        )

    def act(self, tool: str, *, job: str | None = None, group: str | None = None) -> int:
        """Remove or release a job, or all of a group, and say how many those are.

        Raises NotThereError where the user has no such job, PoolError where HTCondor does not do it.
        """
        chosen = [one for one in self.queue().jobs if (one.id == job if job else one.group == group)]
        # What is on its way out already is not counted, and alone would be an error of the tool.
        chosen = [one for one in chosen if (one.state == HELD if tool == RELEASE else one.state != "removed")]
        if not chosen:
            raise NotThereError
        if job:
            parts = [f"ClusterId == {one.cluster} && ProcId == {one.proc}" for one in chosen]
        else:
            clusters = sorted({one.cluster for one in chosen})
            parts = [
                " || ".join(f"ClusterId == {number}" for number in clusters[first : first + CLUSTERS_AT_ONCE])
                for first in range(0, len(clusters), CLUSTERS_AT_ONCE)
            ]
        for part in parts:
            more = f"({part}) && JobStatus == 5" if tool == RELEASE else part
            self._run([tool, "-constraint", _constraint(self.owner, more)])
        return len(chosen)


def groups(jobs: Iterable[Job]) -> list[Group]:
    """Jobs by what they belong to, what was submitted last first, and in a group what needs somebody first."""
    found: dict[str, Group] = {}
    for job in jobs:
        found.setdefault(job.group, Group(job.group)).jobs.append(job)
    for group in found.values():
        group.jobs.sort(key=lambda job: (ORDER.index(job.state), job.cluster, job.proc))
    return sorted(found.values(), key=lambda group: -max(job.submitted for job in group.jobs))


def counts(jobs: Iterable[Job]) -> dict[str, int]:
    """How many wait, run, are held, and leave."""
    found = {"idle": 0, "running": 0, HELD: 0, "leaving": 0}
    for job in jobs:
        name = COUNTED.get(job.state, job.state)
        if name in found:
            found[name] += 1
    return found


Where = Callable[[str], dict[str, Any]]
"""What is said of a file, by its absolute path."""


def as_json(queue: Queue, where: Where) -> dict[str, Any]:
    """The queue as the interface gives it: figures of all jobs, rows of some."""
    shown: list[dict[str, Any]] = []
    left = LISTED
    now = queue.at + queue.shift_s
    for group in groups(queue.jobs):
        listed = group.jobs[: min(LISTED_IN_GROUP, left)]
        left -= len(listed)
        first = group.jobs[0]
        shown.append(
            {
                "id": group.id,
                "tool": first.tool,
                "name": first.batch or f"{first.cluster}",
                "server": first.server,
                "counts": counts(group.jobs),
                "jobs": [
                    {
                        "id": job.id,
                        "state": job.state,
                        "for_s": max(0, round(now - job.since)) if job.since else None,
                        "reason": job.reason or None,
                        "host": job.host or None,
                        "command": job.command or None,
                        "files": [{"kind": kind, **where(path)} for kind, path in job.files],
                    }
                    for job in listed
                ],
                "not_listed": len(group.jobs) - len(listed),
            }
        )
    return {"counts": counts(queue.jobs), "more": queue.more, "groups": shown}
