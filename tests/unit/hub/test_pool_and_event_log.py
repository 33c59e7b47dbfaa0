"""While the event log is followed the queue is asked when something changed, and otherwise once in a while."""

from __future__ import annotations

import asyncio
import logging

import pytest

from afhub.pool import LOOK_S, POLL_AGE_S, QUIET_AGE_S, SETTLE_S, Pool
from afhub.settings import Settings
from hub_fakes import Clock, FakeCondor, until

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(followed_settings: Settings, condor: FakeCondor, clock: Clock) -> Pool:
    return Pool(followed_settings, schedd=condor, collector=condor, event_log=condor, clock=clock)


class Notebook:
    """Hears what the pool tells a notebook."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def job_changed(self, job_id: str) -> None:
        self.heard.append(job_id)


async def following(pool: Pool) -> None:
    pool.watch()
    await until(lambda: pool.watching)


def test_while_nothing_happens_the_queue_is_asked_once_a_minute(
    pool: Pool, condor: FakeCondor, clock: Clock
) -> None:
    async def scenario() -> None:
        await following(pool)
        for _ in range(int(3 * QUIET_AGE_S)):
            await pool.jobs()
            clock.now += 1
        assert condor.calls.count("jobs") == 3
        await pool.close()

    asyncio.run(scenario())


def test_an_event_makes_the_next_poll_ask_and_once_more_when_the_queue_has_settled(
    pool: Pool, condor: FakeCondor, clock: Clock
) -> None:
    async def scenario() -> None:
        await following(pool)
        await pool.jobs()
        clock.now += POLL_AGE_S + 1
        await pool.jobs()
        assert condor.calls.count("jobs") == 1
        condor.tell("held", "7.0")
        await until(lambda: pool.trace("7.0", "alice", ""))
        await pool.jobs()
        assert condor.calls.count("jobs") == 2
        clock.now += SETTLE_S / 2
        await pool.jobs()
        assert condor.calls.count("jobs") == 2, "nothing new is known within the age that is allowed"
        clock.now += SETTLE_S
        for _ in range(20):
            await pool.jobs()
            clock.now += 1
        assert condor.calls.count("jobs") == 3, "it may have been asked before the queue had settled"
        await pool.close()

    asyncio.run(scenario())


def test_a_stated_moment_counts_however_quiet_it_is(pool: Pool, condor: FakeCondor, clock: Clock) -> None:
    async def scenario() -> None:
        await following(pool)
        await pool.jobs()
        clock.now += 1
        await pool.jobs(newer_than=clock.now)
        assert condor.calls.count("jobs") == 2
        await pool.close()

    asyncio.run(scenario())


def test_without_an_event_log_states_are_as_young_as_before(
    settings: Settings, condor: FakeCondor, clock: Clock
) -> None:
    pool = Pool(settings, schedd=condor, collector=condor, event_log=condor, clock=clock)

    async def scenario() -> None:
        for _ in range(4):
            await pool.jobs()
            clock.now += POLL_AGE_S + 0.1
        assert condor.calls == ["jobs"] * 4
        assert not pool.watching
        await asyncio.wait_for(pool.caught_up(60), 1)

    asyncio.run(scenario())


def test_an_unchanged_file_is_not_read(pool: Pool, condor: FakeCondor) -> None:
    async def scenario() -> None:
        await following(pool)
        await asyncio.sleep(0.1)
        assert condor.calls.count("events") == 1
        condor.tell("submitted", "7.0")
        await until(lambda: pool.trace("7.0", "alice", ""))
        assert condor.calls.count("events") == 2
        await pool.close()

    asyncio.run(scenario())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("fault", ["file", "helper"])
def test_a_log_that_can_no_longer_be_read_is_told_once_and_the_queue_asked_instead(
    pool: Pool, condor: FakeCondor, clock: Clock, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    log = condor.log
    assert log is not None

    async def scenario() -> None:
        await following(pool)
        if fault == "file":
            log.unlink()
        else:
            condor.silent_calls = {"events"}
            log.write_text("more")
        await until(lambda: not pool.watching)
        await asyncio.sleep(0.1)
        assert len(warnings(caplog)) == 1
        asked = condor.calls.count("jobs")
        for _ in range(3):
            clock.now += POLL_AGE_S + 0.1
            await pool.jobs()
        assert condor.calls.count("jobs") == asked + 3
        condor.silent_calls = set()
        condor.tell("submitted", "7.0")
        await until(lambda: pool.watching and pool.trace("7.0", "alice", ""))
        await pool.close()

    asyncio.run(scenario())


def test_a_log_that_could_never_be_read_is_told_once_as_well(
    pool: Pool, condor: FakeCondor, caplog: pytest.LogCaptureFixture
) -> None:
    condor.silent_calls = {"events"}

    async def scenario() -> None:
        pool.watch()
        await until(lambda: condor.calls.count("events") > 3)
        assert not pool.watching
        assert len(warnings(caplog)) == 1
        await pool.close()

    asyncio.run(scenario())


def test_the_notebook_that_an_event_is_about_hears_of_it(pool: Pool, condor: FakeCondor) -> None:
    async def scenario() -> None:
        alices, bobs = Notebook(), Notebook()
        pool.listen("alice", "", alices)
        pool.listen("bob", "", bobs)
        pool.watch()
        condor.tell("submitted", "7.0")
        condor.tell("running", "7.0", host="worker1.example.org")
        await until(lambda: alices.heard)
        trace = pool.trace("7.0", "alice", "")
        assert trace is not None
        assert trace.host == "worker1.example.org"
        assert set(alices.heard) == {"7.0"}
        assert bobs.heard == []
        await pool.close()

    asyncio.run(scenario())


def test_what_happened_before_the_hubs_start_can_be_waited_for(pool: Pool, condor: FakeCondor) -> None:
    condor.tell("removed", "7.0", reason="reboot")
    condor.delay_s = 0.05

    async def scenario() -> None:
        await pool.caught_up(5)
        trace = pool.trace("7.0", "alice", "")
        assert trace is not None
        assert trace.ended
        await pool.close()

    asyncio.run(scenario())


def test_nobody_waits_for_ever_for_a_log_that_can_not_be_read(pool: Pool, condor: FakeCondor) -> None:
    condor.silent_calls = {"events"}

    async def scenario() -> None:
        await asyncio.wait_for(pool.caught_up(0.05), 2)
        await pool.close()

    asyncio.run(scenario())


def test_a_negotiation_is_asked_for_when_a_slot_becomes_free_and_somebody_waits(
    pool: Pool, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afhub.pool.FREED_S", (0.0, 0.0))

    async def scenario() -> None:
        await following(pool)
        condor.tell("removed", "7.0")
        await until(lambda: pool.trace("7.0", "alice", ""))
        await asyncio.sleep(0)
        assert "reschedule" not in condor.calls
        pool.waiting = 1
        condor.tell("removed", "8.0")
        await until(lambda: "reschedule" in condor.calls)
        # Two ends within a second need one.
        condor.tell("removed", "9.0")
        await until(lambda: pool.trace("9.0", "alice", ""))
        await until(lambda: not pool._nudges)
        assert condor.calls.count("reschedule") == 1
        await pool.close()

    asyncio.run(scenario())


HOST = "worker1.example.org"


def machine(started: int) -> dict[str, object]:
    return {
        "Machine": HOST,
        "SlotType": "Static",
        "State": "Unclaimed",
        "AfhubClasses": "regular",
        "DaemonStartTime": started,
    }


@pytest.mark.parametrize(
    ("booted", "cut_off", "given_up"),
    [
        pytest.param(2000, True, True, id="started anew since the notebook began"),
        pytest.param(500, True, False, id="the same as when the notebook began"),
        pytest.param(2000, False, False, id="connected all the time"),
    ],
)
def test_a_notebook_is_given_up_where_its_machine_was_started_anew(
    pool: Pool, condor: FakeCondor, clock: Clock, booted: int, cut_off: bool, given_up: bool
) -> None:
    async def scenario() -> None:
        condor.slot_ads = [machine(booted)]
        await following(pool)
        condor.tell("running", "7.0", host=HOST, at=1000)
        if cut_off:
            condor.tell("disconnected", "7.0", host=HOST, at=1010)
        await until(lambda: (trace := pool.trace("7.0", "alice", "")) and trace.started)
        for _ in range(3):
            clock.now += LOOK_S + 1
            await asyncio.sleep(0.05)
        assert ("slots" in condor.calls) == cut_off
        trace = pool.trace("7.0", "alice", "")
        left = trace.left if trace else None
        assert (left is not None) == given_up
        if left is not None:
            assert (left.kind, left.reason) == ("reconnect_failed", "the machine was started anew")
        await pool.close()

    asyncio.run(scenario())


def test_a_job_whose_node_is_gone_is_taken_off_the_queue_without_its_node(
    pool: Pool, condor: FakeCondor
) -> None:
    async def scenario() -> None:
        condor.add("7.0", status=2)
        condor.add("8.0", status=2)
        pool.doom("7.0", "lost", lost=True)
        pool.doom("8.0", "over")
        await until(lambda: not condor.ads)
        assert condor.forced == ["7.0"]
        assert condor.calls.count("remove") == 2
        await pool.close()

    asyncio.run(scenario())


def test_a_negotiation_is_asked_for_more_and_more_rarely_until_something_happens(
    pool: Pool, condor: FakeCondor, clock: Clock
) -> None:
    async def asked_within(seconds: int) -> int:
        before = condor.calls.count("reschedule")
        for _ in range(seconds):
            pool.nudge()
            await until(lambda: not pool._nudges)
            clock.now += 1
        return condor.calls.count("reschedule") - before

    async def scenario() -> None:
        await following(pool)
        pool.waiting = 1
        first = await asked_within(10)
        assert 3 <= first <= 4
        assert await asked_within(200) <= 11
        condor.tell("submitted", "7.0")
        await until(lambda: pool.trace("7.0", "alice", ""))
        assert await asked_within(10) == first
        await pool.close()

    asyncio.run(scenario())
