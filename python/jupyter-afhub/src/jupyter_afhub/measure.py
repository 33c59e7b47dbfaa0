"""One look at the job and the machine it runs on."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_afhub import memory, processes
from jupyter_afhub.ads import SCRATCH, SLOT, Ads

MB = 1024 * 1024
SERVER_NAME = "afhub-notebook"
COUNT_EVERY_S = 60.0


@dataclass(frozen=True)
class Share:
    """What a kernel and its children have."""

    memory: int
    cpu_percent: float


@dataclass(frozen=True)
class Measurement:
    """The job at one moment: `now` of a clock that nobody sets, memory in bytes, CPU in percent of one core."""

    now: float
    used: int
    resident: int
    source: memory.Source
    cpu_percent: float
    processes: int
    kernels: Mapping[str, Share] = field(default_factory=dict)


class Meter:
    """Measures the job from one look to the next. A look takes a few milliseconds and never raises."""

    def __init__(
        self, ads: Ads, environ: Mapping[str, str], pid: int | None = None, proc: Path = processes.PROC
    ) -> None:
        self._proc = proc
        pid = pid or os.getpid()
        first, starter = processes.first_of_job(pid, proc)
        self.root = first.pid if first else pid
        self.in_starters_sight = starter is not None
        self._started_s = first.started_s if first else None
        self._begin = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._family = processes.Family(self.root, environ.get(SCRATCH), proc)
        self._cgroup = memory.find_cgroup(
            self.root, starter, slot=environ.get(SLOT) or ads.machine.text("Name"),
            version=memory.htcondor_version(ads.machine.text("CondorVersion")), proc=proc,
        )  # fmt: skip
        self._cpu_s: dict[str | None, float] = {}
        self._looked: float | None = None
        self._counted: tuple[float, int | None] | None = None

    def age_s(self) -> float:
        """How long the job's first process runs."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (
            self._begin if self._started_s is None else self._started_s
        )

    def look(self, kernels: Mapping[str, int] | None = None) -> Measurement:
        """Measure; `kernels` are the processes of the kernels by their ids."""
        now = time.monotonic()
        members = self._family.look()
        resident = processes.memory(members.values())
        used = self._cgroup.used() if self._cgroup else None
        source: memory.Source = "processes" if used is None or not self._cgroup else self._cgroup.source
        elapsed_s = now - self._looked if self._looked is not None else None
        cpu_s: dict[str | None, float] = {None: sum(process.cpu_s for process in members.values())}
        shares: dict[str, int] = {}
        for kernel, pid in (kernels or {}).items():
            its = processes.with_descendants(pid, members)
            cpu_s[kernel] = sum(process.cpu_s for process in its)
            shares[kernel] = processes.memory(its)

        def percent(key: str | None) -> float:
            if not elapsed_s or key not in self._cpu_s:
                return 0.0
            return max(0.0, (cpu_s[key] - self._cpu_s[key]) / elapsed_s * 100)

        result = Measurement(
            now=now, used=resident if used is None else used, resident=resident, source=source,
            cpu_percent=percent(None), processes=len(members),
            kernels={kernel: Share(share, percent(kernel)) for kernel, share in shares.items()},
        )  # fmt: skip
        self._cpu_s, self._looked = cpu_s, now
        return result

    def other_notebooks(self) -> int | None:
        """Notebooks of the hub on this node beside this one, counted once a minute; None where others are hidden."""
        if not self.in_starters_sight:
            return None
        now = time.monotonic()
        if self._counted is None or now - self._counted[0] > COUNT_EVERY_S:
            count = processes.count_named(SERVER_NAME, self._proc)
            own = processes.read(self.root, self._proc)
            if count and own and own.name == SERVER_NAME:
                count -= 1
            self._counted = (now, count)
        return self._counted[1]


def node(ads: Ads, environ: Mapping[str, str], other_notebooks: int | None) -> dict[str, object]:
    """The machine as a whole."""
    total_mb, free_mb = _machine_memory()
    scratch_total_mb = scratch_free_mb = None
    scratch = environ.get(SCRATCH)
    if scratch:
        try:
            disk = os.statvfs(scratch)
        except OSError:
            pass
        else:
            scratch_total_mb = disk.f_blocks * disk.f_frsize // MB
            scratch_free_mb = disk.f_bavail * disk.f_frsize // MB
    try:
        load: list[float] | None = [round(value, 2) for value in os.getloadavg()]
    except OSError:
        load = None
    return {
        "name": ads.machine.text("Machine") or socket.gethostname(), "cores": os.cpu_count(), "load": load,
        "memory_total_mb": total_mb, "memory_free_mb": free_mb,
        "scratch_free_mb": scratch_free_mb, "scratch_total_mb": scratch_total_mb,
        "other_notebooks": other_notebooks,
    }  # fmt: skip


def _machine_memory() -> tuple[int | None, int | None]:
    """Megabytes of the machine: all, and what could be had without paging."""
    found: dict[str, int] = {}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in {"MemTotal", "MemAvailable"}:
                found[name] = int(value.split()[0]) // 1024
    except (OSError, ValueError, IndexError):
        pass
    return found.get("MemTotal"), found.get("MemAvailable")
