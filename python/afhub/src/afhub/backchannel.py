"""What notebooks and hub tell each other while they run.

A notebook says how long nobody used it, how many kernels it has, the most memory it had, and who has seen which
notice; the hub writes that into the job's ad and into JupyterHub's record of activity, by which idle notebooks are
stopped. The other way, a notebook gets the notices in its job's ad; it may wait for the next one with its request held
open.

Notebooks are given no way to their ads themselves: HTCondor knows none that gives them only this.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Final

from pydantic import Field, ValidationError

from afhub.bodies import BodyError, read_json
from afhub.condor import CondorRefused, CondorUnreachable
from afhub.jobs import Details, Job
from afhub.notices import (
    NOTICE_ID,
    SEEN_KEPT,
    Ledger,
    Notice,
    SeenState,
    as_attribute,
    from_attribute,
    merged_seen,
    seen_as_attribute,
    seen_from_attribute,
    version_of,
    with_notice,
)
from afhub.pool import PAUSE_S, Pool
from afhub.settings import Model

log = logging.getLogger("afhub.backchannel")

#: Longest report, in bytes, and longest time for which its answer may be held, in seconds.
BODY_LIMIT: Final = 4096
LONGEST_WAIT_S: Final = 50
#: How many requests of one notebook may wait at the same time.
WAITING_LIMIT: Final = 4
#: How often a notebook is asked to report, in seconds: a quarter of the idle timeout within these bounds.
REPORT_EVERY_S: Final = (10, 60)
#: How often it is looked whether somebody sent a notice, in seconds. A look is one stat().
LOOK_S: Final = 0.2
#: How long the ad of a notebook is left alone after activity was written into it, in seconds, and how much the
#: moment of the last activity has to move to be written again.
WRITE_EVERY_S: Final = 60.0
IDLE_STEP_S: Final = 60
#: How exactly the hub's database knows at least when a notebook was used, in seconds.
USE_STEP_S: Final = 300.0
#: A pause between writes to the queue, in seconds: a start must not wait behind a hundred of them.
BREATH_S: Final = 0.02

_Count = Annotated[int, Field(ge=0, le=10**7, strict=True)]


class TooManyError(Exception):
    """A notebook asks more often than any needs."""


class ReportError(ValueError):
    """The body is no report of a notebook."""


class Activity(Model):
    """``idle_s`` is how long ago the notebook was last used, 0 while a kernel is busy."""

    idle_s: Annotated[int, Field(ge=0, le=10**9, strict=True)]
    kernels: _Count
    busy_kernels: _Count
    memory_peak_mb: _Count


class Report(Model):
    """What a notebook sends; see docs/notebook-extension.md."""

    known: Annotated[str, Field(max_length=64)] = ""
    wait_s: Annotated[int, Field(ge=0, le=LONGEST_WAIT_S, strict=True)] = 0
    activity: Activity | None = None
    seen: Annotated[
        dict[Annotated[str, Field(pattern=f"^{NOTICE_ID.pattern}$")], SeenState], Field(max_length=SEEN_KEPT)
    ] = Field(default_factory=dict)


def parse_report(body: bytes) -> Report:
    """The report in a request's body; raises :class:`ReportError`."""
    if len(body) > BODY_LIMIT:
        raise ReportError("the body is too long")
    try:
        report: Report = Report.model_validate(read_json(body))
    except BodyError as error:
        raise ReportError(str(error)) from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])[:60] or "the body"
        raise ReportError(f"{where}: {fault['msg'][:100]}") from error
    return report


class _Box:
    """What is known of one notebook's notices."""

    def __init__(self, notices: tuple[Notice, ...], seen: Mapping[str, SeenState]) -> None:
        self.notices = notices
        self.seen = dict(seen)
        self.changed = asyncio.Event()


class Backchannel:
    """One for the hub. Needs a running event loop when called."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._clock = clock
        self._wall = wall
        self._boxes: dict[str, _Box] = {}
        self._stamp: tuple[int, int] | None = None
        self._loading = asyncio.Lock()
        self._waiting: Counter[str] = Counter()
        self._unwritten: dict[str, dict[str, int | str]] = {}
        self._written: dict[str, dict[str, int | str]] = {}
        self._written_at: dict[str, float] = {}
        self._writer: asyncio.Task[None] | None = None

    @property
    def report_every_s(self) -> int:
        """How often notebooks are asked to report, in seconds."""
        timeout_s = self._pool.settings.limits.idle_timeout_s or 4 * REPORT_EVERY_S[1]
        return min(REPORT_EVERY_S[1], max(REPORT_EVERY_S[0], timeout_s // 4))

    @property
    def use_step_s(self) -> float:
        """How much later a notebook has to be used, in seconds, for it to be worth a write into the hub's database."""
        timeout_s = self._pool.settings.limits.idle_timeout_s
        return min(USE_STEP_S, timeout_s / 8) if timeout_s else USE_STEP_S

    # Notices

    async def watch(self) -> None:
        """Look for new notices for ever."""
        while True:
            try:
                await self._refresh()
            except (CondorUnreachable, CondorRefused) as error:
                log.info("Notices can't be read now, later then: %s", error)
                await asyncio.sleep(PAUSE_S)
            except Exception:
                # The next look may do better; admins must not lose their voice to one odd ad.
                log.exception("Notices could not be read")
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(LOOK_S)

    async def _refresh(self) -> None:
        """Read the notices of all notebooks if somebody sent one since."""
        async with self._loading:
            stamp = self._ledger.stamp()
            if stamp == self._stamp:
                return
            found = await self._pool.details()
            self._stamp = stamp
            self._take_in(found)

    def _take_in(self, found: list[Details]) -> None:
        alive = set()
        for details in found:
            job_id = details.job.job_id
            alive.add(job_id)
            notices = from_attribute(details.notices)
            box = self._boxes.get(job_id)
            if box is None:
                box = self._boxes[job_id] = _Box(notices, seen_from_attribute(details.seen))
                self._give_standing(details.job, box)
            elif box.notices != notices:
                # One that stands for later notebooks may still be on its way into the ad.
                pending = [old for old in box.notices if old not in notices and self._is_pending(job_id)]
                box.notices = (*pending, *notices)
                box.changed.set()
                box.changed = asyncio.Event()
        for gone in set(self._boxes) - alive:
            self._forget(gone)

    def _is_pending(self, job_id: str) -> bool:
        return "AfhubNotices" in self._unwritten.get(job_id, {})

    def _forget(self, job_id: str) -> None:
        for known in (self._boxes, self._unwritten, self._written, self._written_at):
            known.pop(job_id, None)

    async def _box(self, job: Job) -> _Box:
        """The notices of a notebook that is known to run; raises :class:`CondorUnreachable`."""
        await self._refresh()
        box = self._boxes.get(job.job_id)
        if box is None:
            # It started since the last look: its ad has none yet.
            box = self._boxes[job.job_id] = _Box((), {})
            self._give_standing(job, box)
        return box

    def _give_standing(self, job: Job, box: _Box) -> None:
        now = self._wall()
        for sent in self._ledger.read():
            if sent.stands_for(job, now) and sent.notice.id not in {notice.id for notice in box.notices}:
                box.notices = with_notice(box.notices, sent.notice, now)
                self._write(job.job_id, {"AfhubNotices": as_attribute(box.notices)})

    async def notices(self, job: Job, known: str, wait_s: float) -> tuple[str, tuple[Notice, ...]]:
        """Version and notices of a notebook; waits so long at most while they are still those of version ``known``.

        Raises :class:`CondorUnreachable`, and :class:`TooManyError` where too many requests of the notebook wait.
        """
        if wait_s > 0 and self._waiting[job.job_id] >= WAITING_LIMIT:
            raise TooManyError(f"{WAITING_LIMIT} requests of this notebook wait already")
        self._waiting[job.job_id] += 1
        try:
            until = self._clock() + wait_s
            while True:
                box = await self._box(job)
                now = self._wall()
                valid = tuple(notice for notice in box.notices if not notice.expired(now))
                version, left_s = version_of(valid), until - self._clock()
                if version != known or left_s <= 0:
                    return version, valid
                changed = asyncio.ensure_future(box.changed.wait())
                try:
                    await asyncio.wait([changed], timeout=left_s)
                finally:
                    changed.cancel()
        finally:
            self._waiting[job.job_id] -= 1
            if not self._waiting[job.job_id]:
                del self._waiting[job.job_id]

    # Reports

    async def note(self, job: Job, report: Report) -> None:
        """Write down what a notebook reports. Raises :class:`CondorUnreachable`."""
        box = await self._box(job)
        if report.seen:
            # Only of what it was sent: a notebook can't fill its ad with inventions.
            known = {notice.id for notice in box.notices}
            seen = merged_seen(box.seen, {i: state for i, state in report.seen.items() if i in known})
            if seen != box.seen:
                box.seen = seen
                self._write(job.job_id, {"AfhubSeen": seen_as_attribute(seen)})
        if report.activity is not None:
            self._note_activity(job.job_id, report.activity)

    def _note_activity(self, job_id: str, activity: Activity) -> None:
        values: dict[str, int | str] = {
            "AfhubIdleSince": int(self._wall()) - activity.idle_s if activity.idle_s else 0,
            "AfhubKernels": activity.kernels,
            "AfhubBusyKernels": min(activity.busy_kernels, activity.kernels),
            "AfhubMemoryPeakMb": activity.memory_peak_mb,
        }
        written = self._written.get(job_id, {})
        changed = {name: value for name, value in values.items() if _differs(name, written.get(name), value)}
        if changed and self._clock() - self._written_at.get(job_id, float("-inf")) >= WRITE_EVERY_S:
            self._written_at[job_id] = self._clock()
            self._written[job_id] = {**written, **changed}
            self._write(job_id, changed)

    def _write(self, job_id: str, attributes: Mapping[str, int | str]) -> None:
        self._unwritten.setdefault(job_id, {}).update(attributes)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write_all())

    async def _write_all(self) -> None:
        while self._unwritten:
            job_id = next(iter(self._unwritten))
            attributes = dict(self._unwritten[job_id])
            try:
                found = await self._pool.edit(job_id, attributes)
            except CondorUnreachable as error:
                log.info("The ad of job %s can't be written now: %s", job_id, error)
                await asyncio.sleep(PAUSE_S)
                continue
            except CondorRefused as error:
                log.warning("The ad of job %s can't be written: %s", job_id, error)
                found = True
            if not found:
                self._forget(job_id)
            # What came meanwhile stays for the next round, behind the others.
            newer = self._unwritten.pop(job_id, {})
            rest = {name: value for name, value in newer.items() if attributes.get(name) != value}
            if rest:
                self._unwritten[job_id] = rest
            await asyncio.sleep(BREATH_S)


def _differs(name: str, old: int | str | None, new: int | str) -> bool:
    if name == "AfhubIdleSince" and isinstance(old, int) and isinstance(new, int) and old and new:
        return abs(new - old) >= IDLE_STEP_S
    return old != new
