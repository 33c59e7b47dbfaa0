"""What watches over a notebook: measures, warns, passes on what admins say, reports what the notebook does."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from jupyter_afhub import ads, job, measure, notices, ways
from jupyter_afhub.clients import Client, Clients
from jupyter_afhub.clock import CLOCK, Clock
from jupyter_afhub.crossings import Crossings, Kernel, State
from jupyter_afhub.trend import Growth, History, Point, full_in_s
from jupyter_afhub.words import iso

VERSION = 1
SAMPLE_S = 5.0
LOOK_UP_AT = 0.7
"""From this part of the memory limit on, kernels are looked up with their notebooks also when nobody has one open."""

ACTIVITY = "jupyter_afhub"
KINDS = ("memory", "time")

_SILENCED_WITH = {"memory": "memory", "growth": "memory", "time": "time"}


class Monitor:
    """Everything this extension knows of its job. Lives in the event loop; only looks and Chirp leave it."""

    def __init__(self, server: Any, environ: Mapping[str, str] = os.environ, clock: Clock = CLOCK) -> None:
        """`server` is the ServerApp: its kernels, sessions and settings are asked."""
        self.environ = dict(environ)
        self.server = server
        self._clock = clock
        self.log: logging.Logger = server.log
        self.ads = ads.read(environ)
        self.job = job.describe(self.ads, environ)
        self.clients = Clients(self._was_shown)
        self.history = History()
        self.silenced: list[str] = []
        self.notices = notices.Notices()
        self._looking = asyncio.Lock()
        self._crossings = Crossings()
        self._growth = Growth()
        self._kernel_growth: dict[str, Growth] = {}
        self._kernel_rows: dict[str, dict[str, Any]] = {}
        self._paths: dict[str, str] = {}
        self._latest: measure.Measurement | None = None
        self._peak = 0
        self._way: ways.Way | None = None
        self._reported_at: float | None = None
        self._notice_problem: str | None = None
        self._measure_problem: str | None = None
        self._task: asyncio.Task[None] | None = None

    # Running

    def start(self) -> None:
        """Begin to measure, and to listen to the shadow; outside of a job there is nothing to do."""
        if not self.job.in_job or self._task:
            return
        for problem in self.ads.problems:
            self.log.warning("jupyter_afhub: %s", problem)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run())

        def received(rows: list[notices.Notice], problem: str | None) -> None:
            # The loop may be gone already: the way's threads end with the process.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.receive_notices, rows, problem)

        self._way = ways.choose(self.environ, received, self._clock)
        self._way.watch(bool(self.clients))
        self._way.start()

    def stop(self) -> None:
        if self._task:
            self._task.cancel()
            self._task = None
        if self._way:
            self._way.stop()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            # What goes wrong in one look, wherever it goes wrong, must not be the end of looking.
            look = loop.create_task(self.sample())
            await asyncio.wait([look])
            error = None if look.cancelled() else look.exception()
            problem = f"Measuring failed: {type(error).__name__}: {error}" if error else None
            if problem and problem != self._measure_problem:
                self.log.warning("jupyter_afhub: %s", problem, exc_info=error)
            self._measure_problem = problem
            await asyncio.sleep(max(0.1, SAMPLE_S - (loop.time() - begun)))

    # Measuring

    @functools.cached_property
    def meter(self) -> measure.Meter:
        """Made at the first look, not at the start."""
        return measure.Meter(self.ads, self.environ)

    async def sample(self) -> measure.Measurement:
        """Look once, and tell whoever has to know."""
        kernels = self._kernels()
        pids = {name: row["pid"] for name, row in kernels.items() if row["pid"]}
        async with self._looking:
            # In another thread: the kernel may take its time over a process that is in trouble.
            latest = await asyncio.get_running_loop().run_in_executor(None, self.meter.look, pids)
        self._latest = latest
        self._peak = max(self._peak, latest.used)
        used_mb = latest.used / measure.MB
        self.history.add(latest.now, Point(self.wall_time(), used_mb, latest.cpu_percent))
        self._growth.add(latest.now, used_mb)
        for name in set(self._kernel_growth) - set(latest.kernels):
            del self._kernel_growth[name]
        for name, share in latest.kernels.items():
            self._kernel_growth.setdefault(name, Growth()).add(latest.now, share.memory / measure.MB)
        limit = self.job.memory_limit_mb
        if kernels and (
            self.clients or (limit and used_mb > LOOK_UP_AT * limit) or self._growth.mb_per_min()
        ):
            await self._look_up_paths()
        self._kernel_rows = {name: self._row(name, row, latest) for name, row in kernels.items()}
        self._note_activity(kernels)
        self._compare()
        for name in self.notices.expire(latest.now):
            self.clients.withdraw(name, {"type": "seen", "id": name})
        self.clients.deliver()
        if self.clients:
            self.clients.send_all({"type": "info", "info": await self.info()})
        return latest

    def _kernels(self) -> dict[str, dict[str, Any]]:
        """The server's kernels by their ids: kind, process, state."""
        manager = self.server.kernel_manager
        found: dict[str, dict[str, Any]] = {}
        for name in list(manager.list_kernel_ids()):
            kernel = manager.get_kernel(name)
            pid = getattr(getattr(kernel, "provisioner", None), "pid", None)
            found[name] = {
                "name": kernel.kernel_name,
                "pid": pid if isinstance(pid, int) else None,
                "state": getattr(kernel, "execution_state", None),
            }
        return found

    async def _look_up_paths(self) -> None:
        """Which notebook belongs to which kernel."""
        sessions = await self.server.session_manager.list_sessions()
        self._paths = {
            session["kernel"]["id"]: session["path"] for session in sessions if session.get("path")
        }

    def _row(self, name: str, kernel: Mapping[str, Any], latest: measure.Measurement) -> dict[str, Any]:
        share = latest.kernels.get(name)
        growth = self._kernel_growth.get(name)
        per_min = growth.mb_per_min() if growth else None
        whole = max(latest.used, latest.resident, 1)
        return {
            "id": name, "name": kernel["name"], "path": self._paths.get(name), "pid": kernel["pid"],
            "memory_mb": round(share.memory / measure.MB, 1) if share else None,
            "share": round(share.memory / whole, 4) if share else None,
            "cpu_percent": round(share.cpu_percent, 1) if share else None,
            "state": kernel["state"],
            "growth_mb_per_min": None if per_min is None else round(per_min, 1),
        }  # fmt: skip

    # Warning

    def _compare(self) -> None:
        latest = self._latest
        if latest is None:
            return
        used_mb, limit = latest.used / measure.MB, self.job.memory_limit_mb
        per_min = self._growth.mb_per_min()
        state = State(
            at=self.wall_time(), used_mb=used_mb, limit_mb=limit, mb_per_min=per_min,
            full_in_s=full_in_s(used_mb, limit, per_min), time_left_s=self.job.time_left_s(self.age_s()),
            runtime_s=self.job.runtime_s,
            kernels=tuple(
                Kernel(row["id"], row["name"], row["path"], row["memory_mb"], row["growth_mb_per_min"])
                for row in self._kernel_rows.values() if row["memory_mb"] is not None
            ),
        )  # fmt: skip
        change = self._crossings.look(state)
        for name in change.over:
            self.clients.withdraw(name, {"type": "warning_over", "id": name})
        for crossing in change.began:
            self.log.warning("jupyter_afhub: %s. %s", crossing.title, crossing.text)
            if _SILENCED_WITH[crossing.kind] not in self.silenced:
                self.clients.pop_up(crossing.id, {"type": "warning", "warning": crossing.as_json()})

    # What admins say

    def receive_notices(self, rows: list[notices.Notice], problem: str | None) -> None:
        """Take all notices that hold now."""
        self._notice_problem = problem
        if problem:
            self.log.warning("jupyter_afhub: %s", problem)
        new, gone = self.notices.replace(rows, time.monotonic())
        for name in gone:
            self.clients.withdraw(name, {"type": "seen", "id": name})
        for notice in new:
            self.clients.pop_up(notice.id, {"type": "notice", "notice": notice.as_json()})

    def _was_shown(self, name: str) -> None:
        if self.notices.mark(name, "delivered"):
            self._report_seen()

    def _report_seen(self) -> None:
        if self._way:
            self._way.report_seen(dict(self.notices.seen))

    # What Labs say

    def connected(self, client: Client) -> None:
        if self._way:
            self._way.watch(True)
        self.clients.deliver()

    def disconnected(self, client: Client) -> None:
        self.clients.disconnect(client)
        if self._way:
            self._way.watch(bool(self.clients))

    def was_read(self, client: Client, name: str) -> None:
        """Somebody has dismissed a pop-up, or pressed one of its buttons."""
        self.clients.was_shown(client, name)
        self.clients.send_all({"type": "seen", "id": name}, but=client)
        if self.notices.mark(name, "read"):
            self._report_seen()

    def silence(self, kind: str) -> None:
        """No pop-ups of this kind any more, until the server is started anew."""
        if kind not in KINDS or kind in self.silenced:
            return
        self.silenced.append(kind)
        for crossing in list(self._crossings.active.values()):
            if _SILENCED_WITH[crossing.kind] == kind:
                self.clients.withdraw(crossing.id, {"type": "warning_over", "id": crossing.id})

    # What the notebook does

    def _note_activity(self, kernels: Mapping[str, Mapping[str, Any]]) -> None:
        """Tell Jupyter, and HTCondor now and then, when this notebook was used last. A kernel at work is use."""
        from jupyter_server._tz import utcnow

        busy = sum(row["state"] == "busy" for row in kernels.values())
        settings = self.server.web_app.settings
        if busy:
            settings["last_activity_times"][ACTIVITY] = utcnow()
        now = self._clock.monotonic()
        way, before = self._way, self._reported_at
        if way is None or (before is not None and now - before < way.report_every_s):
            return
        self._reported_at = now
        last = self.server.web_app.last_activity().timestamp()
        way.report(
            ways.Activity(
                idle_s=0 if busy else max(1, round(time.time() - last)), last=round(last + self.skew_s()),
                kernels=len(kernels), busy_kernels=busy, memory_peak_mb=self._peak // measure.MB,
            )
        )  # fmt: skip

    # Clocks

    def age_s(self) -> float:
        """How long the job runs."""
        return self.meter.age_s()

    def skew_s(self) -> float:
        return self.job.clock_skew_s(self.age_s()) if self.job.in_job else 0.0

    def wall_time(self) -> float:
        """Epoch seconds by the hub's clock, where it differs much from this machine's."""
        return time.time() + self.skew_s()

    # Telling

    async def latest(self) -> measure.Measurement:
        """What was measured last; measured now where nothing was yet."""
        return self._latest or await self.sample()

    async def info(self) -> dict[str, Any]:
        """Everything; see the schema in docs/notebook-extension.md."""
        facts = self.job
        if not facts.in_job:
            return {"version": VERSION, "in_job": False}
        latest = await self.latest()
        age_s, now = self.age_s(), self.wall_time()
        left_s = facts.time_left_s(age_s)
        used_mb, limit = latest.used / measure.MB, facts.memory_limit_mb
        per_min = self._growth.mb_per_min()
        return {
            "version": VERSION, "in_job": True,
            "class": {
                "name": facts.class_name, "title": facts.class_title, "memory_limit_mb": limit,
                "cores": facts.cores, "runtime_s": facts.runtime_s,
            },
            "job": {
                "id": facts.id, "owner": facts.owner, "started_at": iso(now - age_s),
                "ends_at": None if left_s is None else iso(now + left_s), "time_left_s": left_s,
                "vacate_s": facts.vacate_s,
            },
            "slot": facts.slot,
            "node": measure.node(self.ads, self.environ, self.meter.other_notebooks()),
            "memory": {
                "used_mb": round(used_mb, 1), "limit_mb": limit,
                "fraction": round(used_mb / limit, 4) if limit else None,
                "peak_mb": round(self._peak / measure.MB, 1), "source": latest.source,
                "growth_mb_per_min": None if per_min is None else round(per_min, 1),
                "full_in_s": full_in_s(used_mb, limit, per_min),
            },
            "cpu": {"percent": round(latest.cpu_percent, 1), "cores": facts.cores},
            "kernels": [
                # One that began after the last look has its row, without figures.
                self._kernel_rows.get(name) or self._row(name, row, latest)
                for name, row in self._kernels().items()
            ],
            "warnings": [crossing.as_json() for crossing in self._crossings.warnings()],
            "notices": [notice.as_json() for notice in self.notices.current()],
            "silenced": list(self.silenced),
            "hub": {"home": facts.home_url, "spawn": facts.spawn_url},
            "problems": self.problems(),
        }  # fmt: skip

    def problems(self) -> list[str]:
        """What does not work, in words."""
        found = [*self.ads.problems, self._measure_problem, self._notice_problem]
        if self._way:
            found.append(self._way.problem)
        return [problem for problem in found if problem]

    def leave_reason(self) -> str:
        """Why HTCondor most probably asks the job to leave: memory, runtime, or somebody wanted it."""
        limit = self.job.memory_limit_mb
        if limit and self._peak > limit * measure.MB:
            return "memory"
        left_s = self.job.time_left_s(self.age_s())
        return "runtime" if left_s is not None and left_s <= 2 * SAMPLE_S else "stopped"
