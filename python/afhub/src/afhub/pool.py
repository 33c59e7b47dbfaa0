"""The hub's view of the notebook pool, shared by all spawners.

One query serves every notebook: whoever needs a state says how old it may be, and callers that wait at the
same time share one flight. That the schedd does not answer is an answer of its own,
:class:`CondorUnreachable`; it is never mistaken for "the job is gone".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from afhub.condor import CondorRefused, CondorUnreachable
from afhub.jobs import ClassSlots, Job, parse_ad, slots_by_class
from afhub.settings import Settings
from afhub.worker import Caller, WorkerProcess

log = logging.getLogger("afhub.pool")

T = TypeVar("T")

#: How old a state may be, in seconds: while someone waits for a start, and otherwise.
START_AGE_S = 1.0
POLL_AGE_S = 5.0
#: How old the numbers of free slots may be, in seconds.
SLOTS_AGE_S = 4.0
#: For how long nobody asks again after a daemon gave no answer, in seconds.
PAUSE_S = 2.0
#: How long a call may take, in seconds.
CALL_TIMEOUT_S = 15.0


class Shared(Generic[T]):
    """A value that is fetched when someone needs it newer than it is, once for all who wait."""

    def __init__(self, fetch: Callable[[], Coroutine[Any, Any, T]], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._value: T | None = None
        self._asked_at = float("-inf")
        self._flight: asyncio.Task[None] | None = None
        self._failure: CondorUnreachable | None = None
        self._failed_at = float("-inf")

    async def get(self, newer_than: float) -> T:
        """The value, from a fetch that was begun at ``newer_than`` (on the clock) or later.

        Raises :class:`CondorUnreachable`, also without trying where a try has just failed.
        """
        while True:
            if self._value is not None and self._asked_at >= newer_than:
                return self._value
            if self._flight is None:
                if self._failure is not None and self._clock() - self._failed_at < PAUSE_S:
                    raise self._failure
                self._flight = asyncio.ensure_future(self._fly())
            # One waiter that gives up must not take the others' answer away.
            await asyncio.shield(self._flight)

    async def _fly(self) -> None:
        begun = self._clock()
        try:
            self._value = await self._fetch()
            self._asked_at = begun
            self._failure = None
        except (CondorUnreachable, CondorRefused) as error:
            self._failure = CondorUnreachable(str(error))
            self._failed_at = self._clock()
        finally:
            self._flight = None


@dataclass(frozen=True)
class Snapshot:
    """All notebooks of this hub at one moment."""

    jobs: Mapping[str, Job]

    def of(self, owner: str, server: str) -> list[Job]:
        """The jobs of one user's server."""
        return [job for job in self.jobs.values() if job.owner == owner and job.server == server]

    def place(self, job: Job) -> tuple[int, int]:
        """The job's place among those of its class that wait, and how many they are."""
        waiting = sorted(
            (other.queued_at, _order(other.job_id))
            for other in self.jobs.values()
            if other.notebook_class == job.notebook_class and other.status.waits
        )
        key = (job.queued_at, _order(job.job_id))
        return sum(1 for other in waiting if other <= key), len(waiting)


def _order(job_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in job_id.split("."))


class Pool:
    """What spawners, spawn page and command line use. Needs a running event loop when called."""

    def __init__(
        self,
        settings: Settings,
        *,
        schedd: Caller | None = None,
        collector: Caller | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.clock = clock
        # Two processes: a collector that hangs must not hold up the schedd's answers.
        self._schedd = schedd or WorkerProcess(settings, timeout_s=CALL_TIMEOUT_S)
        self._collector = collector or WorkerProcess(settings, timeout_s=CALL_TIMEOUT_S)
        self._jobs = Shared(self._fetch_jobs, clock)
        self._slots = Shared(self._fetch_slots, clock)
        self._doomed: dict[str, str] = {}
        self._doomed_servers: dict[tuple[str, str], str] = {}
        self._reaper: asyncio.Task[None] | None = None

    async def _fetch_jobs(self) -> Snapshot:
        found = (parse_ad(ad) for ad in await self._schedd.call("jobs"))
        return Snapshot({job.job_id: job for job in found if job is not None})

    async def _fetch_slots(self) -> dict[str, ClassSlots]:
        return slots_by_class(self.settings, await self._collector.call("slots"))

    async def jobs(self, *, max_age_s: float = POLL_AGE_S, newer_than: float = float("-inf")) -> Snapshot:
        """All notebooks; raises :class:`CondorUnreachable`.

        ``newer_than`` is a time on :attr:`clock`: an answer to a question that was asked before it is no
        evidence.
        """
        return await self._jobs.get(max(self.clock() - max_age_s, newer_than))

    async def slots(self, *, max_age_s: float = SLOTS_AGE_S) -> Mapping[str, ClassSlots]:
        """Free and total slots per class; raises :class:`CondorUnreachable`."""
        return await self._slots.get(self.clock() - max_age_s)

    async def submit(self, description: Mapping[str, str]) -> str:
        """Submit a job and return its id; raises :class:`CondorUnreachable` or :class:`CondorRefused`."""
        job_id = await self._schedd.call("submit", dict(description))
        return str(job_id)

    async def remove(self, job_id: str, reason: str) -> bool:
        """Remove a job; False where there is none. Raises as :meth:`submit` does."""
        self._doomed.pop(job_id, None)
        return bool(await self._schedd.call("remove", job_id, reason))

    def doom(self, job_id: str, reason: str) -> None:
        """Remove a job as soon as the schedd answers, without anyone waiting for it."""
        self._doomed[job_id] = reason
        self._wake_reaper()

    def doom_server(self, owner: str, server: str, reason: str) -> None:
        """Remove all jobs of a server as soon as the schedd answers: its submission ended nobody knows how."""
        self._doomed_servers[owner, server] = reason
        self._wake_reaper()

    def spare_server(self, owner: str, server: str) -> None:
        """The server starts anew: forget :meth:`doom_server`, or it would meet the new job."""
        self._doomed_servers.pop((owner, server), None)

    def _wake_reaper(self) -> None:
        if self._reaper is None or self._reaper.done():
            self._reaper = asyncio.ensure_future(self._reap())

    async def _find_doomed(self) -> None:
        if not self._doomed_servers:
            return
        try:
            snapshot = await self.jobs(max_age_s=0)
        except CondorUnreachable:
            return
        for owner, server in list(self._doomed_servers):
            reason = self._doomed_servers.pop((owner, server))
            self._doomed.update({job.job_id: reason for job in snapshot.of(owner, server)})

    async def _reap(self) -> None:
        while self._doomed or self._doomed_servers:
            await self._find_doomed()
            for job_id, reason in list(self._doomed.items()):
                try:
                    await self._schedd.call("remove", job_id, reason)
                except CondorUnreachable as error:
                    log.warning("Job %s can't be removed yet: %s", job_id, error)
                    break
                except CondorRefused as error:
                    log.warning("Job %s can't be removed: %s", job_id, error)
                else:
                    log.info("Removed job %s: %s", job_id, reason)
                self._doomed.pop(job_id, None)
            if self._doomed or self._doomed_servers:
                await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """End the helper processes."""
        if self._reaper is not None:
            self._reaper.cancel()
        await asyncio.gather(self._schedd.close(), self._collector.close())
