"""Waiting for jobs ends: with their exit codes, or with the reason why there will be none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from afhub_outsource import OutsourceError, pool, waiting
from afhub_outsource.pool import HELD, IDLE, RUNNING, Job
from afhub_outsource.waiting import Watch


def job(number: int, status: int, reason: str = "") -> Job:
    return Job(f"7.{number}", status, hold_reason=reason, cores=1, memory_mb=1000)


@dataclass
class Queue:
    """A watch, its clock, and what it tells."""

    patience_s: float = 180
    now: float = 1000.0
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Watch(
            self.patience_s, clock=lambda: self.now, why=lambda jobs: "It is full.", tell=self.told.append
        )

    def look(self, *jobs: Job, after_s: float = 5) -> list[Job] | None:
        self.now += after_s
        return self.watch.look(lambda: list(jobs))

    def look_in_vain(self, after_s: float = 5) -> list[Job] | None:
        def refuse() -> list[Job]:
            raise OutsourceError("connection refused.")

        self.now += after_s
        return self.watch.look(refuse)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_idle_jobs_are_told_of_once_then_given_up(queue: Queue) -> None:
    queue.look(job(0, IDLE), job(1, IDLE))
    for _ in range(10):
        queue.look(job(0, IDLE), job(1, IDLE))
    assert len(queue.told) == 1 and queue.told[0].startswith("2 jobs are waiting for 30 s. It is full."), (
        queue.told
    )
    with pytest.raises(OutsourceError, match=r"^None of 2 jobs started within 180 s\. It is full\."):
        queue.look(job(0, IDLE), job(1, IDLE), after_s=140)


def test_a_running_job_lets_the_others_wait(queue: Queue) -> None:
    for _ in range(100):
        queue.look(job(0, RUNNING), job(1, IDLE))
    assert queue.told == []


def test_jobs_that_come_back_at_once_are_no_progress(queue: Queue) -> None:
    def start_and_fall() -> None:
        for _ in range(60):
            queue.look(job(0, IDLE))
            queue.look(job(0, RUNNING))

    with pytest.raises(OutsourceError, match="None of 1 job started within 180 s"):
        start_and_fall()


def test_short_jobs_are_progress_though_none_is_seen_twice(queue: Queue) -> None:
    for left in range(100, 0, -1):
        queue.look(*(job(number, IDLE) for number in range(left)))
    assert queue.told == []


def test_held_jobs_end_it_when_nothing_else_moves(queue: Queue) -> None:
    queue.look(job(0, HELD, "Out of memory."), job(1, RUNNING))
    assert queue.told == ["1 job is held by HTCondor: Out of memory. The others go on."]
    with pytest.raises(OutsourceError, match=r"^1 job is held by HTCondor: Out of memory\.$"):
        queue.look(job(0, HELD, "Out of memory."))


def test_many_reasons_are_not_all_told(queue: Queue) -> None:
    with pytest.raises(OutsourceError, match=r"reason 0; reason 1; reason 2 \(and 2 other reasons\)"):
        queue.look(*(job(number, HELD, f"reason {number}") for number in range(5)))


def test_a_schedd_may_be_away_for_a_minute(queue: Queue) -> None:
    for _ in range(12):
        assert queue.look_in_vain() is None
    assert queue.look() == []
    queue.look_in_vain()
    with pytest.raises(OutsourceError, match=r"does not answer for 60 s: connection refused\. .* kept there"):
        queue.look_in_vain(after_s=61)


def test_a_schedd_that_was_away_is_no_reason_to_give_up_jobs_that_ran(queue: Queue) -> None:
    queue.look(job(0, RUNNING), job(1, IDLE))
    queue.look(job(0, RUNNING), job(1, IDLE))
    queue.look_in_vain(after_s=50)
    queue.look(job(0, RUNNING), job(1, IDLE), after_s=200)
    assert queue.told == []


class Submitted:
    """What Schedd.submit returns."""

    def cluster(self) -> int:
        return 7


@pytest.mark.parametrize("given", [Submitted(), 7, "7", "7.3", [7], ["7.0", "7.1"], [Submitted(), 7]])
def test_jobs_may_be_named_in_all_ways_in_which_users_get_them(given: Any) -> None:
    assert waiting._clusters(given) == ["7"]


@pytest.mark.parametrize(
    ("given", "error"), [("seven", ValueError), (None, TypeError), ("", ValueError), ([None], TypeError)]
)
def test_what_is_no_job_is_named(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="is no job; give what Schedd.submit returned"):
        waiting._clusters(given)


def ended(number: int, **values: Any) -> dict[str, Any]:
    return {"ClusterId": 7, "ProcId": number, "JobStatus": 4, "ExitCode": 0, **values}


def test_exit_codes_come_in_the_order_of_the_jobs() -> None:
    assert waiting.exit_codes([ended(1), ended(0)]) == [0, 0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"ExitCode": 3, "Err": "/home/a/err"},
            r"1 of 2 jobs failed: 7.1 ended with exit code 3. What it said is in /home/a/err.",
        ),
        ({"ExitBySignal": True, "ExitSignal": 9, "ExitCode": None}, "7.1 was killed by signal 9"),
        ({"JobStatus": 3, "RemoveReason": "via condor_rm"}, "1 of 2 jobs were removed: via condor_rm"),
    ],
)
def test_a_job_that_did_not_end_well_is_an_error(values: dict[str, Any], words: str) -> None:
    with pytest.raises(OutsourceError, match=words):
        waiting.exit_codes([ended(0), ended(1, **values)])


Patch = Callable[[str, Callable[..., Any]], None]


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Replaces functions of the pool, and takes the time out of waiting."""
    monkeypatch.setattr("afhub_outsource.waiting.time.sleep", lambda seconds: None)
    return lambda name, function: monkeypatch.setattr(pool, name, function)


def test_it_returns_when_the_queue_is_empty(patched: Patch) -> None:
    looks = iter([[job(0, IDLE)], [job(0, RUNNING)], []])
    patched("jobs", lambda ids: next(looks))
    patched("ended", lambda ids, projection, at_most: [ended(0)] if at_most == 1 else [])
    assert waiting.wait(7) == [0]


@pytest.mark.parametrize(
    ("keep", "rest"),
    [(False, "What was not done is removed from the queue."), (True, "They stay in the queue.")],
)
def test_what_is_given_up_is_removed_unless_it_is_to_stay(patched: Patch, keep: bool, rest: str) -> None:
    removed: list[list[str]] = []
    patched("jobs", lambda ids: [job(0, HELD, "No.")])
    patched("remove", lambda ids, reason: removed.append(list(ids)))
    with pytest.raises(OutsourceError, match=rf"^1 job is held by HTCondor: No\. {rest}$"):
        waiting.wait(7, keep=keep)
    assert removed == ([] if keep else [["7"]])


def test_jobs_that_can_not_be_removed_are_named(patched: Patch) -> None:
    def refuse(ids: list[str], reason: str) -> None:
        raise OutsourceError("away")

    patched("jobs", lambda ids: [job(0, HELD, "No.")])
    patched("remove", refuse)
    with pytest.raises(OutsourceError, match="could not be removed; once the schedd is back: condor_rm 7"):
        waiting.wait(7)
