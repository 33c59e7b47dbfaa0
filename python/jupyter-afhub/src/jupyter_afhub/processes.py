"""The processes of the job, read from /proc.

HTCondor counts as the job's whatever descends from the process it started, also what has made itself a child of init.
So do we: by descent, and for processes without a parent by the scratch folder in their environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_afhub.ads import SCRATCH

PROC = Path("/proc")
STARTER = "condor_starter"

SEARCH_S = 30.0
"""Pause between two looks through all processes of the account; in between, children of known ones are followed."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LARGEST_ENVIRONMENT = 1024 * 1024
_NAME_LENGTH = 15


@dataclass(frozen=True)
class Process:
    """One process at one moment. Times in seconds; `started_s` counts from the start of the machine."""

    pid: int
    parent: int
    name: str
    started_s: float
    cpu_s: float
    memory: int
    """Resident set in bytes, as HTCondor sums it up."""

    @property
    def identity(self) -> tuple[int, float]:
        """Its number alone may be another process's later."""
        return (self.pid, self.started_s)


def parse_stat(text: str) -> Process | None:
    """Read the content of /proc/PID/stat. The name in brackets may hold anything."""
    number, _, rest = text.partition(" (")
    name, bracket, fields_text = rest.rpartition(") ")
    values = fields_text.split()
    if not bracket or len(values) < 22:
        return None
    try:
        # A parent's time includes that of the children it has waited for, so no time is lost when one ends.
        ticks = sum(int(value) for value in values[11:15])
        return Process(
            pid=int(number), parent=int(values[1]), name=name, started_s=int(values[19]) / _TICKS,
            cpu_s=ticks / _TICKS, memory=int(values[21]) * _PAGE,
        )  # fmt: skip
    except ValueError:
        return None


def read(pid: int, proc: Path = PROC) -> Process | None:
    """One process, or None where it is gone or hidden."""
    try:
        return parse_stat((proc / str(pid) / "stat").read_text(errors="replace"))
    except OSError:
        return None


def of_account(uid: int, proc: Path = PROC) -> dict[int, Process]:
    """All processes of one account. A node may have thousands of others: those are not opened."""
    found: dict[int, Process] = {}
    with os.scandir(proc) as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            try:
                if entry.stat().st_uid != uid:
                    continue
            except OSError:
                continue
            process = read(int(entry.name), proc)
            if process:
                found[process.pid] = process
    return found


def first_of_job(pid: int, proc: Path = PROC) -> tuple[Process | None, int | None]:
    """The process that HTCondor started, and the number of its starter.

    Goes up from `pid`. Where no starter is seen, because it is hidden or outside of the job's container, the job is
    what descends from the given process.
    """
    own = read(pid, proc)
    process = own
    seen: set[int] = set()
    while process and process.parent > 0 and process.pid not in seen:
        seen.add(process.pid)
        parent = read(process.parent, proc)
        if parent and parent.name == STARTER[:_NAME_LENGTH]:
            return process, parent.pid
        process = parent
    return own, None


def age_s(process: Process) -> float:
    """How long it has run, by a clock that nobody sets."""
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - process.started_s)


def with_descendants(pid: int, processes: Mapping[int, Process]) -> list[Process]:
    """A process and whatever descends from it."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    todo = [processes[pid]] if pid in processes else []
    seen: set[int] = set()
    while todo:
        process = todo.pop()
        if process.pid not in seen:
            seen.add(process.pid)
            found.append(process)
            todo.extend(children.get(process.pid, ()))
    return found


@dataclass
class Family:
    """The processes of the job, from one look to the next."""

    root: int
    scratch: str | None = None
    proc: Path = PROC
    _searched: float | None = None
    _strangers: set[tuple[int, float]] = field(default_factory=set)
    _members: set[tuple[int, float]] = field(default_factory=set)

    def look(self) -> dict[int, Process]:
        """The processes of the job now, by number."""
        now = time.monotonic()
        if self._searched is not None and now - self._searched < SEARCH_S:
            members = self._follow()
            if members is not None:
                self._members = {process.identity for process in members.values()}
                return members
        self._searched = now
        return self._search()

    def _follow(self) -> dict[int, Process] | None:
        """Whoever was a member and still runs, and their descendants; None where the kernel names no children."""
        found: dict[int, Process] = {}
        todo: list[tuple[int, float | None]] = list(self._members)
        while todo:
            pid, started_s = todo.pop()
            process = None if pid in found else read(pid, self.proc)
            if process is None or (started_s is not None and process.started_s != started_s):
                continue
            found[pid] = process
            try:
                for task in (self.proc / str(pid) / "task").iterdir():
                    todo.extend((int(child), None) for child in (task / "children").read_text().split())
            except FileNotFoundError:
                if (self.proc / str(pid)).exists():
                    return None
            except (OSError, ValueError):
                continue
        return found

    def _search(self) -> dict[int, Process]:
        """Look through all processes of the account: also for those that left their parents unseen."""
        processes = of_account(os.getuid(), self.proc)
        members = {process.pid: process for process in with_descendants(self.root, processes)}
        for process in processes.values():
            if process.pid not in members and self._belongs(process):
                for more in with_descendants(process.pid, processes):
                    members.setdefault(more.pid, more)
        self._members = {process.identity for process in members.values()}
        self._strangers &= {process.identity for process in processes.values()}
        return members

    def _belongs(self, process: Process) -> bool:
        """Whether a process that descends from another one, or from none, is the job's all the same."""
        if process.identity in self._members:
            return True
        if not self.scratch or process.identity in self._strangers:
            return False
        if self._environment_says_so(process.pid):
            return True
        self._strangers.add(process.identity)
        return False

    def _environment_says_so(self, pid: int) -> bool:
        try:
            with (self.proc / str(pid) / "environ").open("rb") as file:
                content = file.read(_LARGEST_ENVIRONMENT)
        except OSError:
            return False
        return f"{SCRATCH}={self.scratch}".encode() in content.split(b"\0")


def memory(processes: Iterable[Process]) -> int:
    """Bytes; what processes share counts for each of them, as HTCondor counts it."""
    return sum(process.memory for process in processes)


def count_named(name: str, proc: Path = PROC) -> int | None:
    """Processes of any account with that name, or None where others' processes are hidden."""
    if read(1, proc) is None:
        return None
    wanted = f"{name[:_NAME_LENGTH]}\n"
    count = 0
    with os.scandir(proc) as entries:
        for entry in entries:
            if entry.name.isdigit():
                try:
                    count += (proc / entry.name / "comm").read_text(errors="replace") == wanted
                except OSError:
                    continue
    return count
