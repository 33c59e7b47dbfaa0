"""Waiting for jobs that a notebook submitted: until they are done, or until it is plain that waiting is in vain.

from afhub_outsource import wait
wait(schedd.submit(description, count=8))
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from afhub_outsource import OutsourceError, facts, pool, room

FIRST_LOOK_S = 0.5
LONGEST_LOOK_S = 5.0
NOTE_S = 30.0
"""After how long without a running job the user reads why."""
AWAY_S = 60.0
"""How long a schedd may be away: one that is started anew needs less."""

SUSPENDED, LEAVING = 7, 6
ON_A_MACHINE = (pool.RUNNING, LEAVING, SUSPENDED)
ENDED = (
    "ClusterId",
    "ProcId",
    "JobStatus",
    "ExitCode",
    "ExitBySignal",
    "ExitSignal",
    "RemoveReason",
    "Err",
    "Iwd",
)


def note(text: str) -> None:
    """Tell the user something below the cell that waits."""
    print(text, file=sys.stderr, flush=True)


class Watch:
    """What became of some jobs, look by look. Raises OutsourceError once nothing moves any more."""

    def __init__(
        self,
        patience_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        why: Callable[[Sequence[pool.Job]], str] = room.why,
        tell: Callable[[str], None] = note,
    ) -> None:
        self.patience_s = patience_s
        self._clock = clock
        self._why = why
        self._tell = tell
        self._away_since: float | None = None
        self._still_since: float | None = None
        self._running: set[str] = set()
        self._count = 0
        self._told: set[str] = set()

    def look(self, ask: Callable[[], list[pool.Job]]) -> list[pool.Job] | None:
        """The jobs that are in the queue now; None where the schedd did not answer, which it may for a while."""
        now = self._clock()
        try:
            found = ask()
        except OutsourceError as error:
            # The question itself may have taken long: what counts is since when nobody answers.
            self._away_since = now if self._away_since is None else self._away_since
            if self._clock() - self._away_since >= AWAY_S:
                raise OutsourceError(
                    f"The batch pool does not answer for {AWAY_S:.0f} s: {error} Jobs that it has taken are kept there."
                ) from error
            return None
        self._away_since = None
        self._judge(now, found)
        return found

    def _judge(self, now: float, found: list[pool.Job]) -> None:
        held = [job for job in found if job.status == pool.HELD]
        idle = [job for job in found if job.status == pool.IDLE]
        running = {job.job_id for job in found if job.status in ON_A_MACHINE}
        # A job that starts and comes back at once gets nowhere; one that runs at two looks, or is done, does.
        moves = bool(running & self._running) or len(found) < self._count
        self._running, self._count = running, len(found)
        if held:
            text = f"{_jobs(len(held))} held by HTCondor: {_reasons(held)}."
            if not running and not idle:
                raise OutsourceError(text)
            self._once("held", f"{text} The others go on.")
        if moves or not (idle or running):
            self._still_since = None
            return
        if self._still_since is None:
            self._still_since = now
        still_s = now - self._still_since
        if idle and still_s >= self.patience_s:
            raise OutsourceError(
                f"None of {_jobs(len(idle), verb=False)} started within {self.patience_s:.0f} s. {self._why(idle)}"
            )
        if idle and still_s >= NOTE_S:
            self._once("room", f"{_jobs(len(idle))} waiting for {still_s:.0f} s. {self._why(idle)}")

    def _once(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._tell(text)


def _jobs(count: int, *, verb: bool = True) -> str:
    words = "1 job" if count == 1 else f"{count} jobs"
    return f"{words} {'is' if count == 1 else 'are'}" if verb else words


def _reasons(held: Sequence[pool.Job]) -> str:
    reasons = sorted({job.hold_reason.rstrip(".") or "no reason given" for job in held})
    more = f" (and {len(reasons) - 3} other reasons)" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more


def _clusters(jobs: Any) -> list[str]:
    """Ids of clusters, of whatever the bindings and users call jobs."""
    if hasattr(jobs, "cluster"):
        return [str(jobs.cluster())]
    if isinstance(jobs, (int, str)):
        cluster = str(jobs).partition(".")[0]
        if not cluster.isdecimal():
            raise ValueError(
                f"{jobs!r} is no job; give what Schedd.submit returned, or an id such as 12 or '12.0'"
            )
        return [cluster]
    if isinstance(jobs, Iterable):
        return sorted({cluster for job in jobs for cluster in _clusters(job)}, key=int)
    raise TypeError(f"{jobs!r} is no job; give what Schedd.submit returned, or an id such as 12 or '12.0'")


def wait(jobs: Any, *, patience_s: float | None = None, keep: bool = False) -> list[int]:
    """Wait until jobs are done; returns the exit code of each, all of them 0.

    jobs: what Schedd.submit returned, ids, or a list of these; all jobs of a cluster are waited for.
    patience_s: how long none of them may run, where they wait for a slot; the site's start_timeout_s by default.
    keep: leave jobs in the queue when this gives up, instead of removing them.

    Raises OutsourceError where they cannot get done: no room for so long, held, removed, failed, or the schedd is away.
    """
    clusters = _clusters(jobs)
    patience_s = facts.read().start_timeout_s if patience_s is None else patience_s
    watch = Watch(patience_s)
    every_s = FIRST_LOOK_S
    count = 0
    try:
        while (found := watch.look(lambda: pool.jobs(clusters))) != []:
            count = max(count, len(found or []))
            time.sleep(every_s)
            every_s = min(every_s * 1.3, LONGEST_LOOK_S)
    except OutsourceError as error:
        rest = "They stay in the queue." if keep else _remove(clusters)
        raise OutsourceError(f"{error} {rest}") from error
    # A schedd's history is long: it is read only as far back as there are jobs of these.
    return exit_codes(pool.ended(clusters, ENDED, count or -1))


def _remove(clusters: Sequence[str]) -> str:
    """Remove what is not done; says what became of it."""
    try:
        pool.remove(clusters, "its notebook gave up waiting for it")
    except OutsourceError:
        return f"They could not be removed; once the schedd is back: condor_rm {' '.join(clusters)}"
    return "What was not done is removed from the queue."


def exit_codes(ads: Iterable[Any]) -> list[int]:
    """The exit code of each job that ended; raises OutsourceError where one was removed or failed."""
    rows = sorted(ads, key=lambda ad: (ad["ClusterId"], ad["ProcId"]))
    removed = [ad for ad in rows if ad.get("JobStatus") == pool.REMOVED]
    if removed:
        reasons = sorted({str(ad.get("RemoveReason") or "no reason given") for ad in removed})
        raise OutsourceError(f"{len(removed)} of {len(rows)} jobs were removed: {'; '.join(reasons)}")
    failed = [ad for ad in rows if ad.get("ExitBySignal") or ad.get("ExitCode")]
    if failed:
        first = failed[0]
        how = (
            f"was killed by signal {first.get('ExitSignal')}"
            if first.get("ExitBySignal")
            else f"ended with exit code {first.get('ExitCode')}"
        )
        where = first.get("Err")
        output = f" What it said is in {where}." if where and where != "/dev/null" else ""
        raise OutsourceError(
            f"{len(failed)} of {len(rows)} jobs failed: {first['ClusterId']}.{first['ProcId']} {how}.{output}"
        )
    return [int(ad.get("ExitCode") or 0) for ad in rows]
