"""Removes jobs that no server of the hub owns.

A hub that is killed, a database that is restored, a schedd that was silent when a notebook was stopped: each may
leave a job that nobody will ever open. Every minute the queue is compared with the hub's database, which is the
only truth about what should be there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from jupyterhub import orm
from sqlalchemy.orm import joinedload

from afhub.condor import CondorRefused, CondorUnreachable
from afhub.jobs import Job, JobStatus
from afhub.pool import Pool

log = logging.getLogger("afhub.reconciler")

#: When the first comparison is made after the hub's start, and how often later, in seconds.
FIRST_S = 20.0
EVERY_S = 60.0
#: How long a notebook that runs is spared if the database has never heard of its server, in seconds.
STRANGER_S = 600.0
#: How much longer than HTCondor tries to reach a node a removed job may stay in the queue, in seconds.
PATIENCE_S = 60.0


class Ownership:
    """Which jobs the servers in the hub's database own."""

    def __init__(self, rows: Iterable[tuple[str, str, Any]]) -> None:
        """``rows`` are user name, server name and state."""
        #: Servers that the database has heard of, running or not.
        self.known: set[tuple[str, str]] = set()
        self._jobs: set[tuple[str, str, str]] = set()
        self._submitting: set[tuple[str, str]] = set()
        for user, server, state in rows:
            self.known.add((user, server))
            if not isinstance(state, dict):
                continue
            if state.get("job_id"):
                self._jobs.add((user, server, state["job_id"]))
            if state.get("submitting"):
                self._submitting.add((user, server))

    @classmethod
    def read(cls, session: Any) -> Ownership:
        """From the database, as it is now."""
        rows = session.query(orm.Spawner).options(joinedload(orm.Spawner.user)).all()
        return cls((row.user.name, row.name, row.state) for row in rows if row.user is not None)

    def owns(self, job: Job) -> bool:
        """Whether a server owns this job, or may be about to."""
        return (job.owner, job.server, job.job_id) in self._jobs or (
            job.owner,
            job.server,
        ) in self._submitting


class Reconciler:
    """Compares queue and database now and then."""

    def __init__(self, pool: Pool, session: Callable[[], Any], *, lease_s: float) -> None:
        self._pool = pool
        self._session = session
        self._lease_s = lease_s
        self._strangers: dict[str, float] = {}

    async def run(self) -> None:
        """Compare for ever."""
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                await self.once()
            except Exception:
                # The next try may do better; the hub must not lose its reconciler to a hiccup of the database.
                log.exception("Reconciler: could not compare the queue with the database")
            await asyncio.sleep(EVERY_S)

    async def once(self) -> list[str]:
        """Compare once; returns the ids of the jobs that were taken away."""
        try:
            # The queue first: a job that is in it belongs to a state that was written before.
            snapshot = await self._pool.jobs(newer_than=self._pool.clock())
        except CondorUnreachable as error:
            log.info("Reconciler: the schedd does not answer, later then: %s", error)
            return []
        owned = Ownership.read(self._session())
        gone = []
        for job in snapshot.jobs.values():
            if job.status is JobStatus.REMOVED:
                if job.since and time.time() - job.since > self._lease_s + PATIENCE_S:
                    await self._force(job)
                    gone.append(job.job_id)
            elif not owned.owns(job) and not self._spared(job, owned):
                log.warning(
                    "Reconciler: removing job %s of %s (server %r, %s): no server of the hub owns it",
                    job.job_id, job.owner, job.server, job.status.name.lower(),
                )  # fmt: skip
                self._pool.doom(job.job_id, "No server of the hub owns this notebook")
                gone.append(job.job_id)
        self._strangers = {
            job_id: seen for job_id, seen in self._strangers.items() if job_id in snapshot.jobs
        }
        return gone

    def _spared(self, job: Job, owned: Ownership) -> bool:
        """Whether a job is left alone for now although nobody owns it.

        A notebook that runs, of a server that the database has never heard of, is what one sees with an empty or an
        older database: an admin has some minutes to put the right one back.
        """
        if not job.status.runs or (job.owner, job.server) in owned.known:
            return False
        now = self._pool.clock()
        if job.job_id not in self._strangers:
            self._strangers[job.job_id] = now
            log.warning(
                "Reconciler: the database knows no server %r of %s, but its job %s runs; it is removed in %d s. "
                "Is this the right database?",
                job.server, job.owner, job.job_id, STRANGER_S,
            )  # fmt: skip
        return now - self._strangers[job.job_id] < STRANGER_S

    async def _force(self, job: Job) -> None:
        log.warning("Reconciler: job %s of %s was removed, its node does not answer", job.job_id, job.owner)
        try:
            await self._pool.remove_by_force(job.job_id)
        except (CondorUnreachable, CondorRefused) as error:
            log.warning("Reconciler: job %s stays for now: %s", job.job_id, error)
