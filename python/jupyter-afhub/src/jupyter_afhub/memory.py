"""The memory of the job, as HTCondor's limit counts it.

HTCondor's starter asks the job's cgroup where it made one, and sums up the resident sets of the job's processes where
it made none (`ResidentSetSize`, from which `MemoryUsage` is computed). What it takes from a cgroup of version 2 depends
on its own version. It keeps the highest value it saw, looking every few seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Source = Literal["cgroup2", "cgroup1", "processes"]

_VERSION = re.compile(r"\$?CondorVersion:\s*(\d+)\.(\d+)\.(\d+)")
_CACHE_LEFT_OUT = (23, 9, 0)


def htcondor_version(text: str | None) -> tuple[int, int, int] | None:
    """The release in an attribute CondorVersion."""
    found = _VERSION.match(text or "")
    return (int(found.group(1)), int(found.group(2)), int(found.group(3))) if found else None


def counts_allocations(version: tuple[int, int, int] | None) -> bool:
    """Whether this release counts what processes have allocated (`anon` and `shmem`), which all newer ones do.

    Earlier ones take the whole cgroup, from 23.9 on without its inactive pages.
    """
    if version is None or version >= (24, 3, 0):
        return True
    since = {(23, 0): 19, (23, 10): 19, (24, 0): 3}
    return version[2] >= since.get(version[:2], 1_000_000)


@dataclass(frozen=True)
class Cgroup:
    """The job's own cgroup."""

    folder: Path
    source: Literal["cgroup2", "cgroup1"]
    version: tuple[int, int, int] | None = None
    """HTCondor's release, where it is known."""

    def used(self) -> int | None:
        """Bytes, or None where the cgroup does not tell."""
        if self.source == "cgroup1":
            return _numbers(self.folder / "memory.stat").get("rss")
        stat = _numbers(self.folder / "memory.stat")
        if counts_allocations(self.version):
            if "anon" not in stat or "shmem" not in stat:
                return None
            return stat["anon"] + stat["shmem"]
        try:
            current = int((self.folder / "memory.current").read_text())
        except (OSError, ValueError):
            return None
        if self.version and self.version < _CACHE_LEFT_OUT:
            return current
        return max(0, current - stat.get("inactive_anon", 0) - stat.get("inactive_file", 0))


def find_cgroup(
    pid: int,
    starter: int | None,
    *,
    slot: str | None = None,
    version: tuple[int, int, int] | None = None,
    proc: Path = Path("/proc"),
) -> Cgroup | None:
    """The cgroup that HTCondor made for the job of this process, or None where it made none.

    A job without a cgroup of its own is in that of HTCondor's daemons: one that the starter is in as well is not the
    job's. Where the starter can't be asked, the cgroup must be named after the slot.
    """
    own = _cgroups(proc, pid)
    starters = _cgroups(proc, starter) if starter else {}
    mounts = _mounts(proc)
    kinds: tuple[tuple[str, Literal["cgroup2", "cgroup1"]], ...] = (("", "cgroup2"), ("memory", "cgroup1"))
    for controller, source in kinds:
        path = own.get(controller)
        if path is None or path == "/" or controller not in mounts:
            continue
        is_jobs = path != starters[controller] if controller in starters else bool(slot and slot in path)
        if not is_jobs:
            continue
        root, mounted_at = mounts[controller]
        inner = path.removeprefix(root.rstrip("/"))
        cgroup = Cgroup(Path(mounted_at) / inner.lstrip("/"), source, version)
        if cgroup.used() is not None:
            return cgroup
    return None


def _cgroups(proc: Path, pid: int) -> dict[str, str]:
    """Path of a process's cgroup by controller; the one of version 2 has the name ''."""
    try:
        content = (proc / str(pid) / "cgroup").read_text(errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in content.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            for controller in controllers.split(","):
                found[controller] = path
    return found


def _mounts(proc: Path) -> dict[str, tuple[str, str]]:
    """Where cgroups are mounted, by controller: what of the tree, and the folder."""
    try:
        content = (proc / "self" / "mountinfo").read_text(errors="replace")
    except OSError:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for line in content.splitlines():
        mount, dash, kind = line.partition(" - ")
        fields, after = mount.split(), kind.split()
        if not dash or len(fields) < 5 or len(after) < 3:
            continue
        place = (fields[3], fields[4])
        if after[0] == "cgroup2":
            found.setdefault("", place)
        elif after[0] == "cgroup" and "memory" in after[2].split(","):
            found.setdefault("memory", place)
    return found


def _numbers(path: Path) -> dict[str, int]:
    """A file of `name number` lines."""
    try:
        content = path.read_text()
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in content.splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdigit():
            found[name] = int(value)
    return found
