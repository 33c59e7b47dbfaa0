"""One query serves all; silence is told from absence; removals are made up for."""

from __future__ import annotations

import asyncio

import pytest

from afhub.condor import CondorUnreachable
from afhub.pool import Pool
from afhub.settings import Settings
from hub_fakes import Clock, FakeCondor


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(settings: Settings, condor: FakeCondor, clock: Clock) -> Pool:
    return Pool(settings, schedd=condor, collector=condor, event_log=condor, clock=clock)


def test_a_thousand_notebooks_share_one_query(pool: Pool, condor: FakeCondor) -> None:
    async def scenario() -> None:
        condor.delay_s = 0.02
        await asyncio.gather(*(pool.jobs() for _ in range(1000)))
        await pool.jobs()

    asyncio.run(scenario())
    assert condor.calls == ["jobs"]


def test_an_answer_is_used_while_it_is_young(pool: Pool, condor: FakeCondor, clock: Clock) -> None:
    async def scenario() -> None:
        await pool.jobs(max_age_s=1)
        clock.now += 0.9
        await pool.jobs(max_age_s=1)
        assert condor.calls == ["jobs"]
        clock.now += 0.2
        await pool.jobs(max_age_s=1)
        assert condor.calls == ["jobs", "jobs"]

    asyncio.run(scenario())


def test_a_query_begun_before_the_submission_is_no_evidence(
    pool: Pool, condor: FakeCondor, clock: Clock
) -> None:
    async def scenario() -> None:
        condor.delay_s = 0.02
        early = asyncio.ensure_future(pool.jobs())
        await asyncio.sleep(0.005)
        clock.now += 1
        condor.delay_s = 0
        late = await pool.jobs(newer_than=clock.now)
        await early
        assert "7.0" in late.jobs
        assert condor.calls == ["jobs", "jobs"]

    condor.add("7.0")
    asyncio.run(scenario())


def test_silence_is_not_absence_and_nobody_asks_again_at_once(
    pool: Pool, condor: FakeCondor, clock: Clock
) -> None:
    async def scenario() -> None:
        condor.silent = True
        for _ in range(50):
            with pytest.raises(CondorUnreachable):
                await pool.jobs()
        assert condor.calls == ["jobs"]
        condor.silent = False
        clock.now += 3
        assert (await pool.jobs()).jobs == {}

    asyncio.run(scenario())


def test_one_who_gives_up_does_not_take_the_others_answer(pool: Pool, condor: FakeCondor) -> None:
    async def scenario() -> None:
        condor.delay_s = 0.03
        first = asyncio.ensure_future(pool.jobs())
        second = asyncio.ensure_future(pool.jobs())
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).jobs == {}

    asyncio.run(scenario())


def test_a_removal_is_made_up_for(pool: Pool, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        condor.silent = True
        pool.doom("3.0", "test")
        await asyncio.sleep(0.03)
        assert "3.0" in condor.ads
        condor.silent = False
        async with asyncio.timeout(2):
            while condor.ads:
                await asyncio.sleep(0.005)

    monkeypatch.setattr("afhub.pool.PAUSE_S", 0.01)
    condor.add("3.0")
    asyncio.run(scenario())


def test_the_place_counts_those_who_wait_for_the_same_class(pool: Pool, condor: FakeCondor) -> None:
    condor.add("1.0", status=2)
    condor.add("2.0", owner="bob")
    condor.add("3.0", owner="bob", notebook_class="large")
    condor.add("4.0")

    async def scenario() -> tuple[int, int]:
        snapshot = await pool.jobs()
        return snapshot.place(snapshot.jobs["4.0"])

    assert asyncio.run(scenario()) == (2, 2)
