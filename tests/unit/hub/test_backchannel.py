"""What notebooks report gets into their ads, and a notice reaches a notebook that waits for it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from afhub import backchannel
from afhub.backchannel import (
    WAITING_LIMIT,
    Activity,
    Backchannel,
    Report,
    ReportError,
    TooManyError,
    parse_report,
)
from afhub.condor import CondorUnreachable
from afhub.jobs import Job, JobStatus
from afhub.notices import Audience, Ledger, Notice, Sent, as_attribute, from_attribute
from afhub.pool import Pool
from hub_fakes import Clock, FakeCondor, until

ALICES = Job(job_id="1.0", owner="alice", notebook_class="regular", server="", status=JobStatus.RUNNING)


BOBS = Job(job_id="2.0", owner="bob", notebook_class="regular", server="", status=JobStatus.RUNNING)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backchannel, "LOOK_S", 0.01)
    monkeypatch.setattr(backchannel, "PAUSE_S", 0.01)
    monkeypatch.setattr(backchannel, "BREATH_S", 0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel(pool: Pool, condor: FakeCondor, ledger: Ledger, clock: Clock) -> Backchannel:
    condor.add("1.0", status=2)
    return Backchannel(pool, ledger, clock=clock)


def notice(text: str, *, until_s: float | None = None) -> Notice:
    end = None if until_s is None else time.time() + until_s
    return Notice.make(text, level="info", until=end, sender="admin", now=time.time())


def send(condor: FakeCondor, ledger: Ledger, *notices: Notice, job_id: str = "1.0", **audience: Any) -> None:
    """As the command line does: first into the ad, then into the list."""
    ad = condor.ads.get(job_id)
    if ad is not None:
        ad["AfhubNotices"] = as_attribute([*from_attribute(ad.get("AfhubNotices")), *notices])
    for one in notices:
        ledger.add(
            Sent(notice=one, audience=Audience(**(audience or {"everybody": True})), jobs=(job_id,)),
            time.time(),
        )


def activity(**changes: int) -> Report:
    values = {"idle_s": 0, "kernels": 2, "busy_kernels": 1, "memory_peak_mb": 500}
    return Report(activity=Activity(**{**values, **changes}))


def test_a_notice_reaches_who_waits_for_it(channel: Backchannel, condor: FakeCondor, ledger: Ledger) -> None:
    async def scenario() -> None:
        version, first = await channel.notices(ALICES, "", 30)
        assert first == ()
        watching = asyncio.ensure_future(channel.watch())
        waiting = asyncio.ensure_future(channel.notices(ALICES, version, 30))
        await until(lambda: channel._waiting)
        assert not waiting.done()
        send(condor, ledger, notice("hello"))
        newer, (told,) = await asyncio.wait_for(waiting, 2)
        assert (told.text, newer != version) == ("hello", True)
        # Nobody waits for what is known already.
        again = asyncio.ensure_future(channel.notices(ALICES, newer, 30))
        await until(lambda: channel._waiting)
        assert not again.done()
        again.cancel()
        watching.cancel()

    asyncio.run(scenario())


def test_the_queue_is_not_asked_while_nobody_sends_anything(
    channel: Backchannel, condor: FakeCondor, ledger: Ledger
) -> None:
    async def scenario() -> None:
        for _ in range(20):
            await channel.notices(ALICES, "", 0)
        assert condor.calls == ["details"]
        send(condor, ledger, notice("hello"))
        for _ in range(20):
            await channel.notices(ALICES, "", 0)
        assert condor.calls == ["details", "details"]

    asyncio.run(scenario())


def test_an_answer_comes_in_time_also_without_news(
    channel: Backchannel, condor: FakeCondor, clock: Clock
) -> None:
    async def scenario() -> None:
        version, _ = await channel.notices(ALICES, "", 0)
        waiting = asyncio.ensure_future(channel.notices(ALICES, version, 0.05))
        await until(lambda: channel._waiting)
        clock.now += 1
        assert await asyncio.wait_for(waiting, 2) == (version, ())

    asyncio.run(scenario())


def test_one_notebook_holds_few_requests(channel: Backchannel) -> None:
    async def scenario() -> None:
        version, _ = await channel.notices(ALICES, "", 0)
        many = [asyncio.ensure_future(channel.notices(ALICES, version, 30)) for _ in range(WAITING_LIMIT)]
        await until(lambda: channel._waiting["1.0"] == WAITING_LIMIT)
        with pytest.raises(TooManyError):
            await channel.notices(ALICES, version, 30)
        assert await channel.notices(BOBS, "", 30) == (version, ())
        for one in many:
            one.cancel()
        await asyncio.gather(*many, return_exceptions=True)
        assert not channel._waiting

    asyncio.run(scenario())


def test_another_notebooks_notice_is_not_for_this_one(
    channel: Backchannel, condor: FakeCondor, ledger: Ledger
) -> None:
    async def scenario() -> None:
        condor.add("2.0", owner="bob", status=2)
        send(condor, ledger, notice("for bob"), job_id="2.0", user="bob")
        assert await channel.notices(ALICES, "x", 0) == ((await channel.notices(ALICES, "", 0))[0], ())

    asyncio.run(scenario())


def test_a_notice_that_is_over_is_not_told(channel: Backchannel, condor: FakeCondor, ledger: Ledger) -> None:
    async def scenario() -> None:
        past = Notice.make("past", level="info", until=time.time() - 5, sender="admin", now=time.time() - 60)
        send(condor, ledger, past, notice("now"))
        _, told = await channel.notices(ALICES, "", 0)
        assert [one.text for one in told] == ["now"]

    asyncio.run(scenario())


def test_who_starts_later_gets_what_still_stands(
    channel: Backchannel, condor: FakeCondor, ledger: Ledger
) -> None:
    async def scenario() -> None:
        await channel.notices(ALICES, "", 0)
        send(condor, ledger, notice("stands", until_s=600), notice("without an end"), job_id="1.0")
        await channel.notices(ALICES, "", 0)
        condor.add("7.0", owner="bob", status=2)
        later = Job(job_id="7.0", owner="bob", notebook_class="regular", server="", status=JobStatus.RUNNING)
        _, told = await channel.notices(later, "", 0)
        assert [one.text for one in told] == ["stands"]
        await until(lambda: "AfhubNotices" in condor.ads["7.0"])
        assert [one.text for one in from_attribute(condor.ads["7.0"]["AfhubNotices"])] == ["stands"]

    asyncio.run(scenario())


def test_who_has_seen_a_notice_is_in_the_ad_at_once(
    channel: Backchannel, condor: FakeCondor, ledger: Ledger
) -> None:
    async def scenario() -> None:
        sent = notice("hello")
        send(condor, ledger, sent)
        await channel.note(ALICES, Report(seen={sent.id: "delivered", "invented": "read"}))
        await until(lambda: condor.ads["1.0"].get("AfhubSeen") == f"{sent.id}:d")
        await channel.note(ALICES, Report(seen={sent.id: "read"}))
        await until(lambda: condor.ads["1.0"].get("AfhubSeen") == f"{sent.id}:r")
        await channel.note(ALICES, Report(seen={sent.id: "delivered"}))
        assert channel._unwritten == {}

    asyncio.run(scenario())


def test_activity_gets_into_the_ad_but_not_at_every_report(
    channel: Backchannel, condor: FakeCondor, clock: Clock
) -> None:
    async def scenario() -> None:
        await channel.note(ALICES, activity())
        await until(lambda: not channel._unwritten)
        ad = condor.ads["1.0"]
        assert {name: value for name, value in ad.items() if name.startswith("AfhubM") or "dle" in name} == {
            "AfhubIdleSince": 0,
            "AfhubMemoryPeakMb": 500,
        }
        assert (ad["AfhubKernels"], ad["AfhubBusyKernels"]) == (2, 1)
        edits = condor.calls.count("edit")
        await channel.note(ALICES, activity(memory_peak_mb=600))
        assert condor.calls.count("edit") == edits
        clock.now += 61
        await channel.note(ALICES, activity(memory_peak_mb=700, idle_s=90, busy_kernels=0))
        await until(lambda: not channel._unwritten)
        assert ad["AfhubMemoryPeakMb"] == 700
        assert ad["AfhubIdleSince"] == pytest.approx(time.time() - 90, abs=5)

    asyncio.run(scenario())


def test_a_notebook_that_stays_idle_costs_no_more_writes(
    channel: Backchannel, condor: FakeCondor, clock: Clock
) -> None:
    async def scenario() -> None:
        channel._wall = wall = Clock()
        for minute in range(30):
            clock.now += 61
            wall.now += 60
            await channel.note(ALICES, activity(idle_s=50 + 60 * minute, busy_kernels=0))
            await until(lambda: not channel._unwritten)
        assert condor.calls.count("edit") == 1

    asyncio.run(scenario())


def test_a_schedd_that_is_away_gets_the_news_later(channel: Backchannel, condor: FakeCondor) -> None:
    async def scenario() -> None:
        await channel.notices(ALICES, "", 0)
        condor.silent_calls = {"edit"}
        await channel.note(ALICES, activity())
        await until(lambda: condor.calls.count("edit") >= 3)
        assert "AfhubKernels" not in condor.ads["1.0"]
        condor.silent_calls = set()
        await until(lambda: "AfhubKernels" in condor.ads["1.0"])

    asyncio.run(scenario())


def test_a_schedd_that_was_never_there_is_said(channel: Backchannel, condor: FakeCondor) -> None:
    async def scenario() -> None:
        condor.silent = True
        with pytest.raises(CondorUnreachable):
            await channel.notices(ALICES, "", 0)

    asyncio.run(scenario())


def test_what_ended_is_forgotten(channel: Backchannel, condor: FakeCondor, ledger: Ledger) -> None:
    async def scenario() -> None:
        await channel.note(ALICES, activity())
        await until(lambda: not channel._unwritten)
        del condor.ads["1.0"]
        condor.add("2.0", owner="bob", status=2)
        send(condor, ledger, notice("for bob"), job_id="2.0")
        await channel.note(
            Job(job_id="2.0", owner="bob", notebook_class="regular", server="", status=JobStatus.RUNNING),
            Report(),
        )
        assert set(channel._boxes) == {"2.0"}
        assert channel._written == {} == channel._written_at

    asyncio.run(scenario())


@pytest.mark.parametrize(("timeout_s", "every_s"), [(14400, 60), (120, 30), (20, 10), (0, 60)])
def test_notebooks_report_often_enough_for_the_culler(
    data: dict[str, Any], condor: FakeCondor, ledger: Ledger, timeout_s: int, every_s: int
) -> None:
    from afhub.settings import parse

    data["limits"] = {"idle_timeout_s": timeout_s}
    pool = Pool(parse(data), schedd=condor, collector=condor, event_log=condor)
    assert Backchannel(pool, ledger).report_every_s == every_s


HONEST: dict[str, Any] = {
    "known": "0123456789ab",
    "wait_s": 50,
    "activity": {"idle_s": 0, "kernels": 1, "busy_kernels": 1, "memory_peak_mb": 300},
    "seen": {"abc123": "read"},
}


@pytest.mark.parametrize("left_out", [[], ["known"], ["activity", "seen"], list(HONEST)])
def test_a_report_is_taken(left_out: list[str]) -> None:
    body = {name: value for name, value in HONEST.items() if name not in left_out}
    report = parse_report(json.dumps(body).encode())
    assert report.model_dump(exclude_unset=True) == body


@pytest.mark.parametrize(
    "changes",
    [
        {"wait_s": 51},
        {"wait_s": -1},
        {"wait_s": "5"},
        {"wait_s": True},
        {"known": "x" * 65},
        {"known": None},
        {"seen": {"abc": "eaten"}},
        {"seen": {"A B": "read"}},
        {"seen": {"abc\n": "read"}},
        {"seen": {f"n{number}": "read" for number in range(21)}},
        {"activity": {**HONEST["activity"], "idle_s": -1}},
        {"activity": {**HONEST["activity"], "kernels": 1.0}},
        {"activity": {**HONEST["activity"], "kernels": 10**8}},
        {"activity": {**HONEST["activity"], "more": 1}},
        {"activity": {"idle_s": 0}},
        {"owner": "bob"},
        {"known": "x" * 5000},
    ],
)
def test_what_is_no_report_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ReportError):
        parse_report(json.dumps({**HONEST, **changes}).encode())


@effort(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_bytes_are_a_report_or_are_refused(body: bytes) -> None:
    try:
        parse_report(body)
    except ReportError:
        return
    assert json.loads(body) == {}
