"""A job that waits: what it asks for beside what the pool has."""

from __future__ import annotations

import re
from typing import Any

import pytest

from afhub_outsource import OutsourceError, pool, room
from afhub_outsource.room import Size, Slot

SMALL = Size(1, 1000, 100)
PARTS = {
    "SlotType": "Partitionable",
    "Cpus": 1,
    "Memory": 500,
    "Disk": 2048000,
    "TotalSlotCpus": 4,
    "TotalSlotMemory": 8000,
    "TotalSlotDisk": 4096000.0,
}
WHOLE = {"SlotType": "Static", "Cpus": 1, "Memory": 2000, "Disk": 1024000}


def slot(cores: int = 4, memory_mb: int = 8000, disk_mb: int = 5000, free: Size | None = None) -> Slot:
    whole = Size(cores, memory_mb, disk_mb)
    return Slot(whole, whole if free is None else free)


@pytest.mark.parametrize(
    ("wish", "slots", "words"),
    [
        (SMALL, [], "shows no machine at all"),
        (Size(1, 64000, 100), [slot()], "no slot of the batch pool is that large: .* most memory 8000 MB"),
        (Size(8, 1000, 100), [slot(), slot(cores=6)], "the largest has 6 cores"),
        (SMALL, [slot(free=Size(0, 0, 5000))], "is full: .* of its 4 cores 0 are free"),
        (SMALL, [slot(), slot(free=Size(0, 0, 0))], "There is a free slot"),
        (
            SMALL,
            [slot(free=Size(4, 8000, 3))],
            "no machine with free cores has more than 3 MB: .* disks are full",
        ),
        # Cores are free on one machine, memory on another.
        (
            Size(2, 4000, 100),
            [slot(free=Size(2, 100, 5000)), slot(free=Size(1, 8000, 5000))],
            "of its 8 cores 3 are free, in no place enough",
        ),
    ],
)
def test_the_reason_is_the_one_that_helps(wish: Size, slots: list[Slot], words: str) -> None:
    text = room.explain(wish, slots)
    assert re.search(words, text), text


@pytest.mark.parametrize(
    ("ad", "whole", "free"),
    [
        ({**PARTS, "State": "Unclaimed"}, Size(4, 8000, 4000), Size(1, 500, 2000)),
        ({**PARTS, "State": "Claimed"}, Size(4, 8000, 4000), Size(1, 500, 2000)),
        ({**PARTS, "State": "Owner"}, Size(4, 8000, 4000), Size(0, 0, 0)),
        ({**WHOLE, "State": "Unclaimed"}, Size(1, 2000, 1000), Size(1, 2000, 1000)),
        ({**WHOLE, "State": "Claimed"}, Size(1, 2000, 1000), Size(0, 0, 0)),
        ({}, Size(0, 0, 0), Size(0, 0, 0)),
    ],
)
def test_what_a_slot_has_is_read_from_its_ad(ad: dict[str, Any], whole: Size, free: Size) -> None:
    assert room._slot(ad) == Slot(whole, free)


def test_the_largest_wish_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "slots", lambda: [slot()])
    jobs = [
        pool.Job("1.0", pool.IDLE, cores=1, memory_mb=1000),
        pool.Job("1.1", pool.IDLE, cores=1, memory_mb=9000),
        pool.Job("1.2", pool.RUNNING, cores=64, memory_mb=99000),
    ]
    assert "9000 MB of memory" in room.why(jobs)
    assert room.why(jobs[2:]) == ""


def test_a_collector_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[Slot]:
        raise OutsourceError("The batch pool did not show its slots: no.")

    monkeypatch.setattr(room, "slots", refuse)
    assert room.why([pool.Job("1.0", pool.IDLE)]) == "The batch pool did not show its slots: no."


@pytest.mark.parametrize(
    ("reasons", "free", "words"),
    [
        (["no match found", "concurrency limit x reached"], 4, "HTCondor says: concurrency limit x reached."),
        (["no match found", ""], 4, "There is a free slot"),
        # What the negotiator says of a full pool or disk explains less than what is free.
        (["submitter limit exceeded"], 0, "The batch pool is full"),
    ],
)
def test_the_negotiators_own_words_explain_slots_that_are_not_given(
    monkeypatch: pytest.MonkeyPatch, reasons: list[str], free: int, words: str
) -> None:
    monkeypatch.setattr(room, "slots", lambda: [slot(free=Size(free, 8000, 5000))])
    jobs = [pool.Job("1.0", pool.IDLE, no_match_reason=reason, cores=1) for reason in reasons]
    assert room.why(jobs).startswith(words)
