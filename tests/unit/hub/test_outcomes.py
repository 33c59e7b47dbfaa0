"""Whatever ended a notebook, its owner gets a reason, and of several the one that was the cause."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from afhub.events import KINDS, Event, Trace
from afhub.jobs import Job, JobStatus
from afhub.outcomes import HOLD_CODES, MEMORY_SUBCODE, Explainer, Outcome, bigger_class, hold_key, log_hint
from afhub.settings import Settings, parse
from afhub.words import Words, shipped
from hub_fakes import CLASSES, SETTINGS

WORDS = Words()
HUB = parse(SETTINGS)
EXPLAINER = Explainer(HUB, WORDS)
REGULAR = HUB.classes[0]
HOST = "worker1.example.org"


def event(kind: str, at: int = 1000, **facts: Any) -> Event:
    return Event(kind, "7.0", "alice", "", "regular", at, **facts)


def trace(*events: Event) -> Trace:
    story = Trace("7.0", "alice", "")
    for one in events:
        story = story.after(one)
    return story


RUNNING = event("running", host=HOST)
EVICTED = event("evicted", 1010)


def job(status: JobStatus, **facts: Any) -> Job:
    return Job("7.0", "alice", "regular", "", status, since=900, **facts)


def over(*events: Event, queued: Job | None = None, host: str = "") -> Outcome:
    return EXPLAINER.over("7.0", "", REGULAR, host, queued, trace(*events) if events else None)


def told(outcome: Outcome) -> str:
    """All that the user reads; fails where a value is missing or a text is empty."""
    texts = [WORDS(f"outcome.{outcome.key}.{part}", **outcome.values) for part in ("title", "what", "next")]
    assert all(texts), texts
    return " ".join(texts)


@pytest.mark.parametrize("subcode", [None, 0, errno.ENOSPC, MEMORY_SUBCODE])
@pytest.mark.parametrize("reason", ["", "something happened", "disk quota exceeded", "memory"])
def test_every_hold_has_words(subcode: int | None, reason: str) -> None:
    for code in (None, -1, *range(61), 1000, 2**31):
        text = told(over(RUNNING, event("held", 1020, reason=reason, code=code, subcode=subcode)))
        assert "{" not in text, code
        assert not re.search(r": ?$|: [.)]|  ", text), (code, text)


def test_the_table_of_codes_is_complete() -> None:
    assert sorted(HOLD_CODES) == list(range(50))


@pytest.mark.parametrize(
    ("before", "key"),
    [
        pytest.param((), "setup", id="before anything ran"),
        pytest.param((RUNNING,), "node_lost", id="while the notebook ran"),
    ],
)
def test_a_starter_that_gives_up_before_it_ran_anything_is_no_lost_node(
    before: tuple[Event, ...], key: str
) -> None:
    outcome = over(*before, event("reconnect_failed", 1030, reason="Job disconnected too long"), host=HOST)
    assert outcome.key == key
    assert HOST in told(outcome) or key == "setup"


@pytest.mark.parametrize(
    ("code", "subcode", "reason", "key"),
    [
        (26, MEMORY_SUBCODE, "used 13000 MB", "memory"),
        (26, 0, "a rule", "held"),
        (34, 102, "memory usage exceeded", "memory"),
        (34, 104, "Disk usage exceeded", "disk"),
        (34, 1, "something", "failed"),
        (46, 0, "", "runtime"),
        (47, 0, "", "runtime"),
        (1, 0, "maintenance", "held"),
        (15, 0, "", "held"),
        (6, 2, "No such file", "environment"),
        (6, errno.ENOSPC, "", "disk"),
        (14, 2, "", "environment"),
        (12, errno.ENOSPC, "", "disk"),
        (13, 0, "write failed: No space left on device", "disk"),
        (13, 0, "Disk quota exceeded", "disk"),
        (1, errno.ENOSPC, "maintenance", "held"),
        (3, 0, "", "held"),
        (777, 0, "from the future", "failed"),
        (None, None, "", "failed"),
    ],
)
def test_a_hold_means_what_its_code_says(
    code: int | None, subcode: int | None, reason: str, key: str
) -> None:
    assert hold_key(code, subcode, reason) == key


TEXTS = st.sampled_from(
    ["", "x", "used 13000 MB; its class allows 12288 MB.", "no space left", "{job} {0} }{", "memory disk"]
)
NUMBERS = st.none() | st.integers(-1, 60) | st.just(MEMORY_SUBCODE)
EVENTS = st.builds(
    Event,
    kind=st.sampled_from(sorted(KINDS.values())),
    job_id=st.just("7.0"),
    owner=st.just("alice"),
    server=st.just(""),
    notebook_class=st.just("regular"),
    at=st.integers(0, 2000000000),
    host=st.sampled_from(["", HOST]),
    reason=TEXTS,
    by=st.sampled_from(["", "root"]),
    code=NUMBERS,
    subcode=NUMBERS,
    exit_code=NUMBERS,
    signal=NUMBERS,
)
JOBS = st.builds(
    Job,
    job_id=st.just("7.0"),
    owner=st.just("alice"),
    notebook_class=st.sampled_from(["regular", ""]),
    server=st.just(""),
    status=st.sampled_from(JobStatus),
    since=st.integers(0, 2000000000),
    exit_code=NUMBERS,
    hold_reason=TEXTS,
    hold_code=NUMBERS,
    hold_subcode=NUMBERS,
    remove_reason=TEXTS,
)


@effort(max_examples=600, deadline=None, derandomize=True, database=None)
@given(
    events=st.none() | st.lists(EVENTS, max_size=5),
    queued=st.none() | JOBS,
    row=st.sampled_from([None, *HUB.classes]),
    host=st.sampled_from(["", HOST]),
    server=st.sampled_from(["", "two"]),
)
def test_there_is_always_a_reason(
    events: list[Event] | None, queued: Job | None, row: Any, host: str, server: str
) -> None:
    story = None if events is None else trace(*events)
    outcome = EXPLAINER.over("7.0", server, row, host, queued, story)
    assert outcome.key in {path.split(".")[1] for path in shipped() if path.startswith("outcome.")}
    told(outcome)
    assert outcome.at > 0 or (queued is not None and queued.since == 0) or events
    assert outcome.facts["JobId"] == outcome.job_id == "7.0"
    # What admins may translate with is there as well.
    assert {"title", "server", "job", "host", "log", "reason"} <= set(outcome.values)
    assert all(outcome.values[name] for name in ("server", "job", "host", "log", "reason"))


def test_memory_shows_used_and_allowed() -> None:
    held = event(
        "held",
        1020,
        reason="The notebook used 13312 MB; its class allows 12288 MB.",
        code=26,
        subcode=MEMORY_SUBCODE,
    )
    outcome = over(RUNNING, EVICTED, held)
    assert outcome.key == "memory"
    assert "It used 13 GB; class Regular allows 12 GB." in told(outcome)
    assert outcome.at == 1020
    assert outcome.facts["HoldReasonSubCode"] == str(MEMORY_SUBCODE)


def test_memory_measured_by_another_shows_the_limit_at_least() -> None:
    held = event("held", reason="Job has gone over memory limit of 12288 megabytes", code=34, subcode=102)
    assert "It used > 12 GB; class Regular allows 12 GB." in told(over(RUNNING, held))


def test_the_queue_alone_explains_a_hold() -> None:
    outcome = over(queued=job(JobStatus.HELD, hold_reason="lunch", hold_code=1), host=HOST)
    assert (outcome.key, outcome.at) == ("held", 900)
    assert "lunch" in told(outcome)


def test_held_and_then_removed_by_the_hub_is_the_hold() -> None:
    hold = event("held", 1020, reason="lunch", by="root", code=1)
    outcome = over(RUNNING, EVICTED, hold, event("removed", 1021, reason="The notebook is over", by="afhub"))
    assert (outcome.key, outcome.at) == ("held", 1020)
    assert "lunch" in told(outcome)
    assert outcome.facts["HeldBy"] == "root"


def test_a_hold_that_was_released_is_no_cause() -> None:
    hold = event("held", 1020, reason="lunch", code=1)
    assert over(RUNNING, hold, event("released", 1030), event("running", 1040), EVICTED).key == "evicted"


@pytest.mark.parametrize(
    ("loss", "key"),
    [
        (event("evicted", 1010, reason="The startd drains"), "evicted"),
        (event("reconnect_failed", 1010, reason="Job disconnected too long"), "node_lost"),
        (event("shadow_exception", 1010, reason="Can no longer talk to starter"), "node_lost"),
        (event("shadow_exception", 1010, reason="write: No space left on device"), "disk"),
    ],
)
def test_a_lost_slot_is_the_cause_also_when_policy_removes_the_job(loss: Event, key: str) -> None:
    for rest in ((), (event("removed", 1015, reason="started twice"),)):
        outcome = over(RUNNING, loss, *rest)
        assert (outcome.key, outcome.at) == (key, 1010)
        assert outcome.facts["Left"] == loss.kind
    assert HOST in told(outcome)


def test_a_lost_slot_is_the_cause_also_when_the_hub_removes_the_job() -> None:
    outcome = over(RUNNING, EVICTED, event("removed", 1010, reason="The notebook is over", by="afhub"))
    assert outcome.key == "evicted"
    assert "The notebook is over" not in told(outcome)


def test_removed_by_an_admin_is_told_with_reason_and_who() -> None:
    for events in (
        (event("removed", 1010, reason="reboot", by="root"),),
        # The slot lets go of the job first, within the same second and without a word.
        (RUNNING, EVICTED, event("removed", 1010, reason="reboot", by="root")),
        (RUNNING, EVICTED, event("removed", 1011, reason="reboot", by="root")),
    ):
        outcome = over(*events)
        assert outcome.key == "removed"
        assert "reboot" in told(outcome)
        assert (outcome.facts["RemoveReason"], outcome.facts["RemovedBy"]) == ("reboot", "root")


def test_the_queue_alone_explains_a_removal() -> None:
    outcome = over(queued=job(JobStatus.REMOVED, remove_reason="reboot"))
    assert outcome.key == "removed"
    assert "reboot" in told(outcome)


@pytest.mark.parametrize(
    ("facts", "key", "text"),
    [
        ({"exit_code": 3}, "ended", "exit code 3"),
        ({"exit_code": 0}, "ended", "exit code 0"),
        ({"signal": 9}, "killed", f"on {HOST} was ended by signal 9"),
    ],
)
def test_an_end_of_its_own_says_how(facts: dict[str, int], key: str, text: str) -> None:
    outcome = over(RUNNING, event("terminated", 1020, **facts))
    assert (outcome.key, outcome.at) == (key, 1020)
    assert text in told(outcome)
    assert "~/.local/state/afhub/default-7.log" in told(outcome)


def test_a_completed_job_in_the_queue_says_its_exit_code() -> None:
    assert "exit code 5" in told(over(queued=job(JobStatus.COMPLETED, exit_code=5)))


@pytest.mark.parametrize("status", [JobStatus.IDLE, JobStatus.RUNNING])
def test_a_job_that_waits_or_runs_elsewhere_was_evicted(status: JobStatus) -> None:
    outcome = over(queued=job(status, host="worker2.example.org"), host=HOST)
    assert (outcome.key, outcome.values["host"]) == ("evicted", HOST)


def test_without_any_record_the_notebook_is_gone() -> None:
    outcome = over(host=HOST)
    assert outcome.key == "vanished"
    assert outcome.at > 1000


def test_an_outcome_survives_being_written_down() -> None:
    outcome = over(RUNNING, event("terminated", 1020, signal=11))
    assert Outcome.model_validate(outcome.model_dump()) == outcome


def test_empty_facts_are_left_out() -> None:
    facts = {"A": None, "B": "", "C": 0}
    assert Outcome.make("held", {}, facts=facts).facts == {"C": "0"}


def test_the_log_of_a_named_server_is_named_after_it() -> None:
    assert log_hint("two", "12.0") == "~/.local/state/afhub/two-12.log"


def test_the_next_bigger_class_is_the_smallest_above(data: dict[str, Any]) -> None:
    data["classes"] = [
        {**CLASSES[1], "name": "xlarge", "memory_limit_mb": 49152},
        *CLASSES,
    ]
    settings: Settings = parse(data)
    found = [bigger_class(settings, name) for name in ("regular", "large", "xlarge", "gone")]
    assert [row.name if row else None for row in found] == ["large", "xlarge", None, None]


def test_a_class_that_is_no_more_costs_no_words() -> None:
    held = event(
        "held",
        reason="The notebook used 13312 MB; its class allows 12288 MB.",
        code=26,
        subcode=MEMORY_SUBCODE,
    )
    told(EXPLAINER.over("7.0", "", None, "", None, trace(held)))
    told(EXPLAINER.over("7.0", "", None, "", None, replace(trace(RUNNING), left=EVICTED)))
