"""The hub's view of the notebook pool, shared by all spawners.

One query serves every notebook, and it is made when the schedd's event log says that something changed, not
every few seconds: whoever needs a state gets the last answer as long as nothing happened since. Callers that
wait at the same time share one flight. That the schedd does not answer is an answer of its own,
:class:`CondorUnreachable`; it is never mistaken for "the job is gone".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from afhub.condor import CondorRefused, CondorUnreachable
from afhub.events import FREEING, Event, Trace, Traces
from afhub.jobs import ClassSlots, Details, Job, parse_ad, parse_details, slots_by_class, startds_of
from afhub.outcomes import Explainer
from afhub.settings import Settings
from afhub.words import Words
from afhub.worker import Caller, WorkerProcess

log = logging.getLogger("afhub.pool")

T = TypeVar("T")

#: How old a state may be, in seconds, where there is no event log: while someone waits for a start, and otherwise.
START_AGE_S = 1.0
POLL_AGE_S = 5.0
#: How old a state may be, in seconds, while the event log says that nothing happened.
QUIET_AGE_S = 60.0
#: How long after an event the queue may still be changing, in seconds: the log is written first.
SETTLE_S = 2.0
#: How often the event log is looked at, in seconds. A look is one stat().
WATCH_S = 0.2
#: How long after an end its slot counts as free, in seconds.
FREED_S = (0.3, 2.0)
#: How long after asking for a negotiation it is asked for again, in seconds: first, and at most where nothing comes
#: of it. A schedd and a negotiator that have lost their connection wait for each other each time.
NUDGE_S = 1.0
RARE_NUDGE_S = 20.0
#: How often machines of notebooks that lost their connection are looked at, in seconds.
LOOK_S = 10.0
#: How old the numbers of free slots may be, in seconds.
SLOTS_AGE_S = 4.0
#: For how long nobody asks again after a daemon gave no answer, in seconds.
PAUSE_S = 2.0
#: How long a call may take, in seconds.
CALL_TIMEOUT_S = 15.0


class Listener(Protocol):
    """A notebook that wants to know when the event log says something about its job."""

    def job_changed(self, job_id: str) -> None:
        """Called in the event loop; must not block."""


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


class Snapshot:
    """All notebooks of this hub at one moment."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.jobs = jobs

    @cached_property
    def _of(self) -> dict[tuple[str, str], list[Job]]:
        found: dict[tuple[str, str], list[Job]] = {}
        for job in self.jobs.values():
            found.setdefault((job.owner, job.server), []).append(job)
        return found

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        waiting: dict[str, list[Job]] = {}
        for job in self.jobs.values():
            if job.status.waits:
                waiting.setdefault(job.notebook_class, []).append(job)
        places = {}
        for line in waiting.values():
            line.sort(key=lambda job: (job.queued_at, _order(job.job_id)))
            places.update({job.job_id: (place, len(line)) for place, job in enumerate(line, 1)})
        return places

    def of(self, owner: str, server: str) -> list[Job]:
        """The jobs of one user's server."""
        return self._of.get((owner, server), [])

    def place(self, job: Job) -> tuple[int, int]:
        """The job's place among those of its class that wait, and how many they are; zeros for one that does not."""
        return self._places.get(job.job_id, (0, 0))


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
        event_log: Caller | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.words = Words(settings.words)
        self.explainer = Explainer(settings, self.words)
        # A process each: a collector that hangs must hold up neither the schedd's answers nor the events.
        self._schedd = schedd or WorkerProcess(settings, timeout_s=CALL_TIMEOUT_S)
        self._collector = collector or WorkerProcess(settings, timeout_s=CALL_TIMEOUT_S)
        self._event_log = event_log or WorkerProcess(settings, timeout_s=CALL_TIMEOUT_S)
        self._jobs = Shared(self._fetch_jobs, clock)
        self._slots = Shared(self._fetch_slots, clock)
        self._doomed: dict[str, str] = {}
        self._doomed_servers: dict[tuple[str, str], str] = {}
        self._reaper: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._watching = self._warned = False
        self._caught_up = asyncio.Event()
        self._changed_at = float("-inf")
        self._traces = Traces()
        #: How many starts wait for a slot.
        self.waiting = 0
        self._nudged_at = float("-inf")
        self._nudge_s = NUDGE_S
        self._startds: dict[str, int] = {}
        self._lost: set[str] = set()
        self._looked_at = float("-inf")
        self._nudges: set[asyncio.Task[None]] = set()
        self._listeners: WeakValueDictionary[tuple[str, str], Listener] = WeakValueDictionary()

    async def _fetch_jobs(self) -> Snapshot:
        found = (parse_ad(ad) for ad in await self._schedd.call("jobs"))
        return Snapshot({job.job_id: job for job in found if job is not None})

    async def _fetch_slots(self) -> dict[str, ClassSlots]:
        ads = await self._collector.call("slots")
        self._startds = startds_of(ads)
        return slots_by_class(self.settings, ads)

    # The event log

    def listen(self, owner: str, server: str, listener: Listener) -> None:
        """Tell a notebook what happens to its jobs, as long as it exists."""
        self._listeners[owner, server] = listener

    def trace(self, job_id: str, owner: str, server: str) -> Trace | None:
        """What the event log says about a server's job; None where it says nothing."""
        return self._traces.of(job_id, owner, server)

    def watch(self) -> None:
        """Follow the event log from now on. Doing so again changes nothing."""
        if self.settings.condor.event_log is None:
            return
        if self._watcher is not None and self._watcher.done() and not self._watcher.cancelled():
            self._note_watching(False, repr(self._watcher.exception()))
            self._watcher = None
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._watch())

    async def caught_up(self, timeout_s: float) -> None:
        """Wait, for so long at most, until what was in the event log at the hub's start is known."""
        self.watch()
        if self._watcher is not None:
            await asyncio.wait([asyncio.ensure_future(self._caught_up.wait())], timeout=timeout_s)

    async def _watch(self) -> None:
        path = self.settings.condor.event_log
        seen: tuple[int, int] | None = None
        while path is not None:
            pause_s = WATCH_S
            try:
                stat = path.stat()
                if (now := (stat.st_ino, stat.st_size)) != seen:
                    events = [Event.from_dict(data) for data in await self._event_log.call("events")]
                    seen = now
                    self._take_in(events)
                self._note_watching(True, "")
                await self._look_for_restarted()
            except (OSError, CondorUnreachable, CondorRefused, TypeError) as error:
                self._note_watching(False, str(error))
                pause_s = PAUSE_S
            await asyncio.sleep(pause_s)

    async def _look_for_restarted(self) -> None:
        """Give up notebooks whose machine was started anew. HTCondor itself tries to reach them for a whole lease."""
        if self.clock() - self._looked_at < LOOK_S:
            return
        self._looked_at = self.clock()
        cut_off = [
            trace
            for trace in self._traces.known.values()
            if trace.disconnected and trace.started and not (trace.left or trace.ended)
        ]
        if not cut_off:
            return
        try:
            await self.slots()
        except CondorUnreachable:
            return
        self._take_in(
            [
                Event(
                    "reconnect_failed", trace.job_id, trace.owner, trace.server, "", int(time.time()),
                    host=trace.host, reason="the machine was started anew",
                )
                for trace in cut_off
                if self._startds.get(trace.host, 0) > trace.started
            ]
        )  # fmt: skip

    def _note_watching(self, watching: bool, why: str) -> None:
        if not watching and not self._warned:
            log.warning("The event log can't be read, the schedd is asked more often: %s", why)
        elif watching and not self._watching:
            log.info("Following the event log")
        self._watching, self._warned = watching, not watching
        if watching:
            self._caught_up.set()

    def _take_in(self, events: list[Event]) -> None:
        touched = self._traces.add(events)
        if not events:
            return
        self._changed_at = self.clock()
        self._nudge_s = NUDGE_S
        if self.waiting and any(event.kind in FREEING for event in events):
            for seconds in FREED_S:
                self.nudge(seconds)
        for job_id in touched:
            trace = self._traces.known.get(job_id)
            listener = self._listeners.get((trace.owner, trace.server)) if trace is not None else None
            if listener is not None:
                listener.job_changed(job_id)

    def nudge(self, after_s: float = 0.0) -> None:
        """Ask for a negotiation: somebody waits and a slot may be free. Without any news more and more rarely."""
        task = asyncio.ensure_future(self._nudge(after_s))
        self._nudges.add(task)
        task.add_done_callback(self._nudges.discard)

    async def _nudge(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if not self.waiting or self.clock() - self._nudged_at < self._nudge_s:
            return
        self._nudged_at = self.clock()
        self._nudge_s = min(2 * self._nudge_s, RARE_NUDGE_S)
        try:
            await self._schedd.call("reschedule")
        except (CondorUnreachable, CondorRefused) as error:
            log.info("No negotiation could be asked for: %s", error)

    @property
    def watching(self) -> bool:
        """Whether the event log is followed; otherwise states come from queries alone."""
        return self._watching

    def _needed(self, max_age_s: float) -> float:
        """When an answer must have been asked for to be new enough."""
        now, settled = self.clock(), self._changed_at + SETTLE_S
        if not self._watching or now < settled:
            return now - max_age_s
        return max(settled, now - QUIET_AGE_S)

    # What HTCondor is asked

    async def jobs(self, *, max_age_s: float = POLL_AGE_S, newer_than: float = float("-inf")) -> Snapshot:
        """All notebooks; raises :class:`CondorUnreachable`.

        ``newer_than`` is a time on :attr:`clock`: an answer to a question that was asked before it is no
        evidence. ``max_age_s`` counts while something changes, or where there is no event log; after that an
        answer holds until the next event.
        """
        self.watch()
        return await self._jobs.get(max(self._needed(max_age_s), newer_than))

    async def slots(self, *, max_age_s: float = SLOTS_AGE_S) -> Mapping[str, ClassSlots]:
        """Free and total slots per class; raises :class:`CondorUnreachable`."""
        return await self._slots.get(self.clock() - max_age_s)

    async def submit(self, description: Mapping[str, str]) -> str:
        """Submit a job and return its id; raises :class:`CondorUnreachable` or :class:`CondorRefused`."""
        job_id = await self._schedd.call("submit", dict(description))
        return str(job_id)

    async def details(self) -> list[Details]:
        """More about all notebooks, asked for now. Raises :class:`CondorUnreachable`."""
        found = (parse_details(ad) for ad in await self._schedd.call("details"))
        return [details for details in found if details is not None]

    async def edit(self, job_id: str, attributes: Mapping[str, int | str]) -> bool:
        """Set attributes of a job; False where there is none. Raises as :meth:`submit` does."""
        return bool(await self._schedd.call("edit", job_id, dict(attributes)))

    async def remove(self, job_id: str, reason: str) -> bool:
        """Remove a job; False where there is none. Raises as :meth:`submit` does."""
        self._doomed.pop(job_id, None)
        return bool(await self._schedd.call("remove", job_id, reason))

    async def remove_by_force(self, job_id: str) -> bool:
        """Take a removed job off the queue although its node does not answer. Raises as :meth:`submit` does."""
        return bool(await self._schedd.call("remove_by_force", job_id))

    def doom(self, job_id: str, reason: str, *, lost: bool = False) -> None:
        """Remove a job as soon as the schedd answers, without anyone waiting for it.

        ``lost`` says that its node has it no more: nobody need wait until the node confirms.
        """
        self._doomed[job_id] = reason
        if lost:
            self._lost.add(job_id)
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
            snapshot = await self.jobs(newer_than=self.clock())
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
                    if job_id in self._lost:
                        await self._schedd.call("remove_by_force", job_id)
                except CondorUnreachable as error:
                    log.warning("Job %s can't be removed yet: %s", job_id, error)
                    break
                except CondorRefused as error:
                    log.warning("Job %s can't be removed: %s", job_id, error)
                else:
                    log.info("Removed job %s: %s", job_id, reason)
                self._doomed.pop(job_id, None)
                self._lost.discard(job_id)
            if self._doomed or self._doomed_servers:
                await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """End the helper processes."""
        for task in (self._reaper, self._watcher, *self._nudges):
            if task is not None:
                task.cancel()
        await asyncio.gather(self._schedd.close(), self._collector.close(), self._event_log.close())
