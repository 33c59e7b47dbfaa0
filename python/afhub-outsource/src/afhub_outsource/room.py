"""Why jobs that wait get no slot: what they ask for beside what the batch pool has, in words for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from afhub_outsource import OutsourceError, pool

PROJECTION = (
    "SlotType",
    "State",
    "Cpus",
    "Memory",
    "Disk",
    "TotalSlotCpus",
    "TotalSlotMemory",
    "TotalSlotDisk",
)
NO_MATCH = "no match found"
# Slots that were cut off another one come and go with their jobs.
NOT_CUT_OFF = 'SlotType =!= "Dynamic"'


@dataclass(frozen=True)
class Size:
    """What a job asks for, or a slot has."""

    cores: int
    memory_mb: int
    disk_mb: int

    def holds(self, other: Size) -> bool:
        return (
            self.cores >= other.cores and self.memory_mb >= other.memory_mb and self.disk_mb >= other.disk_mb
        )


@dataclass(frozen=True)
class Slot:
    """One slot: how large it is, and what of it nobody uses."""

    whole: Size
    free: Size


def slots() -> list[Slot]:
    """The slots of the batch pool; raises OutsourceError where its collector does not answer."""
    return [_slot(ad) for ad in pool.slots(NOT_CUT_OFF, PROJECTION)]


def _slot(ad: Any) -> Slot:
    def number(name: str) -> int:
        value = ad.get(name)
        return int(value) if isinstance(value, (int, float)) else 0

    now = Size(number("Cpus"), number("Memory"), number("Disk") // 1024)
    whole = Size(
        number("TotalSlotCpus") or now.cores,
        number("TotalSlotMemory") or now.memory_mb,
        # What others keep on the disk counts at any time, so this is no promise.
        max(number("TotalSlotDisk") // 1024, now.disk_mb),
    )
    # A machine that takes no jobs at present is in state Owner.
    states = ("Unclaimed", "Claimed") if ad.get("SlotType") == "Partitionable" else ("Unclaimed",)
    return Slot(whole, now if ad.get("State") in states else Size(0, 0, 0))


FREE = (
    "There is a free slot for {asked}. The pool hands it out within a minute or two, unless other users are "
    "before you or the machine does not take such jobs: condor_q -better-analyze says so."
)


def explain(wish: Size, found: Sequence[Slot], said: str = "") -> str:
    """Why a job of this size has no slot. `said`: the negotiator's own words, for slots that it does not give."""
    asked = f"{wish.cores} core(s), {wish.memory_mb} MB of memory and {wish.disk_mb} MB of disk"
    if not found:
        return "The batch pool shows no machine at all; tell the site's admins."
    if not any(slot.whole.cores >= wish.cores and slot.whole.memory_mb >= wish.memory_mb for slot in found):
        cores = max(slot.whole.cores for slot in found)
        memory_mb = max(slot.whole.memory_mb for slot in found)
        return (
            f"A job asks for {asked}, and no slot of the batch pool is that large: "
            f"the largest has {cores} cores, the one with most memory {memory_mb} MB. Ask for less."
        )
    if any(slot.free.holds(wish) for slot in found):
        return f"HTCondor says: {said}." if said else FREE.format(asked=asked)
    enough = [
        slot.free for slot in found if slot.free.cores >= wish.cores and slot.free.memory_mb >= wish.memory_mb
    ]
    if enough:
        disk_mb = max(size.disk_mb for size in enough)
        return (
            f"A job asks for {wish.disk_mb} MB of disk, and no machine with free cores has more than {disk_mb} MB: "
            "their scratch disks are full. Ask for less, or tell the site's admins."
        )
    cores = sum(slot.whole.cores for slot in found)
    free = sum(slot.free.cores for slot in found)
    return (
        f"The batch pool is full: a job asks for {asked}, and of its {cores} cores {free} are free, "
        "in no place enough for one job. Yours start when others end."
    )


def why(jobs: Sequence[pool.Job]) -> str:
    """Why the waiting ones of these jobs have no slot; empty where none waits."""
    waiting = [job for job in jobs if job.status == pool.IDLE]
    if not waiting:
        return ""
    if back := pool.came_back(waiting):
        return f"{back}."
    largest = max(waiting, key=lambda job: (job.memory_mb, job.cores))
    # More than that nothing matched: a cap of the user's, for example.
    words = {job.no_match_reason for job in waiting} - {"", NO_MATCH}
    try:
        return explain(
            Size(largest.cores, largest.memory_mb, largest.disk_mb), slots(), "; ".join(sorted(words))
        )
    except OutsourceError as error:
        return str(error)
