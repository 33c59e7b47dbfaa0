"""What a user reads about workers that do not run."""

from __future__ import annotations

import pytest

from afhub_outsource.pool import HELD, IDLE, RUNNING, Job, _job, explain, hopeless


def test_workers_that_run_need_no_word() -> None:
    assert explain([Job("1.0", RUNNING)], 1) == ""


def test_a_held_worker_is_named_with_htcondors_reason() -> None:
    text = explain([Job("1.0", HELD, hold_reason="The job used 900 MB"), Job("1.1", RUNNING)], 2)
    assert text == "1 worker is held by HTCondor: The job used 900 MB"


def test_reasons_are_named_once() -> None:
    held = [Job(f"1.{proc}", HELD, hold_reason="no disk") for proc in range(3)]
    assert explain(held, 3) == "3 workers are held by HTCondor: no disk"


def test_a_worker_without_a_slot_is_named_with_what_it_wants() -> None:
    text = explain([Job("1.0", IDLE, cores=4, memory_mb=8000, no_match_reason="no match found")], 1)
    assert "waiting for a slot with 4 core(s) and 8000 MB of memory" in text
    assert "no match found" in text


def test_a_worker_that_is_gone_is_named() -> None:
    assert explain([], 2) == "2 workers are no longer in the queue: ended, or removed"


class Ad(dict[str, object]):
    """A class ad whose values are no expressions."""

    def eval(self, name: str) -> object:
        return self[name]


GIVEN_BACK = {
    "ClusterId": 1, "ProcId": 0, "JobStatus": IDLE, "NumShadowStarts": 1, "NumJobStarts": 0,
    "LastRemoteHost": "slot1_1@worker1.af.test", "VacateReason": "Job not found at execution machine",
}  # fmt: skip


def test_a_machine_that_could_not_start_a_job_is_named() -> None:
    text = explain([_job(Ad(GIVEN_BACK))], 1)
    assert text.startswith(
        "A job came back from worker1.af.test before the start (HTCondor says: Job not found at"
    )
    assert "scratch disk" in text


def test_a_job_that_is_tried_once_more_came_back_before() -> None:
    job = _job(Ad({**GIVEN_BACK, "JobStatus": RUNNING, "NumShadowStarts": 3}))
    assert explain([job], 1).startswith("A job came back from worker1.af.test")
    waiting = Job("2.0", IDLE, cores=1, memory_mb=512)
    assert "waiting for a slot" in explain([job, waiting], 2)


@pytest.mark.parametrize(
    "more", [{"NumJobStarts": 1}, {"NumShadowStarts": 0}, {"JobStatus": RUNNING}, {"JobStatus": HELD}]
)
def test_a_job_that_had_started_was_not_given_back(more: dict[str, object]) -> None:
    assert _job(Ad({**GIVEN_BACK, **more})).back_from == ""


@pytest.mark.parametrize(
    ("states", "expected"), [([], True), ([HELD, HELD], True), ([HELD, IDLE], False), ([RUNNING], False)]
)
def test_without_a_job_that_may_run_there_is_no_hope(states: list[int], expected: bool) -> None:
    assert hopeless([Job(f"1.{proc}", state) for proc, state in enumerate(states)]) is expected
