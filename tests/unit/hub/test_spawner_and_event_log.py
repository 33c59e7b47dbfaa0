"""What the event log says reaches a notebook at once, and why it ended is kept until its next start."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from jupyterhub import orm

from afhub.outcomes import MEMORY_SUBCODE, Outcome
from afhub.pool import Pool
from afhub.refusals import StartFailed
from afhub.spawner import NotebookSpawner, outcome_in
from hub_fakes import FakeCondor, Hub, saved, until

HOST = "worker1.example.org"
HOLD: dict[str, Any] = {"reason": "lunch", "by": "root", "code": 1, "subcode": 0}


async def started(spawner: NotebookSpawner, condor: FakeCondor, port: int = 40123) -> str:
    """Start a notebook to the end, with everything in the log that the schedd writes there."""
    start = asyncio.ensure_future(spawner.start())
    await until(lambda: spawner.job_id)
    condor.tell("submitted", spawner.job_id, server=spawner.name)
    condor.run(spawner.job_id)
    condor.tell("running", spawner.job_id, server=spawner.name, host=HOST)
    await until(lambda: spawner._phase[0] == "starting")
    spawner.accept_port(port)
    return await asyncio.wait_for(start, 5)


def pending(hub: Hub, condor: FakeCondor) -> NotebookSpawner:
    """A notebook whose start an earlier hub began: its job is in the queue."""
    before = hub.spawner()
    before.job_id, before._token_hash = "5.0", "x"
    before._save_state()
    condor.add("5.0")
    return hub.spawner()


# Start


def test_the_machine_is_known_from_the_log(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        # The queue still says that it waits.
        condor.tell("running", "1.0", host="worker9.example.org")
        spawner.accept_port(40001)
        assert await asyncio.wait_for(start, 5) == "http://worker9.example.org:40001"

    asyncio.run(scenario())


def test_an_answer_from_before_the_start_was_done_does_not_end_it(
    followed: Hub, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afhub.spawner.POLL_AGE_S", 5.0)

    async def scenario() -> None:
        spawner = followed.spawner()
        start = asyncio.ensure_future(spawner.start())
        # The hub looks at the queue while the job waits.
        await until(lambda: spawner.job_id and condor.calls.count("jobs") > 1)
        await until(lambda: "asking" not in spawner._phase)
        condor.run("1.0")
        condor.tell("running", "1.0", host=HOST)
        await until(lambda: spawner._phase[0] == "starting")
        spawner.accept_port(40001)
        await asyncio.wait_for(start, 5)
        assert await spawner.poll() is None
        assert spawner.outcome is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind", "facts", "key"),
    [
        ("held", HOLD, "held"),
        ("removed", {"reason": "reboot", "by": "root"}, "removed"),
        ("terminated", {"exit_code": 127}, "ended"),
        ("evicted", {"reason": "drained"}, "evicted"),
        ("shadow_exception", {"reason": "lost"}, "node_lost"),
    ],
)
def test_a_start_ends_with_what_the_log_says(
    followed: Hub, condor: FakeCondor, kind: str, facts: dict[str, Any], key: str
) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        condor.tell("submitted", "1.0")
        condor.tell(kind, "1.0", **facts)
        with pytest.raises(StartFailed) as caught:
            await asyncio.wait_for(start, 5)
        assert caught.value.outcome.key == key
        await spawner.stop()
        assert condor.ads == {}

    asyncio.run(scenario())


def test_a_quiet_wait_hardly_costs_anything(
    followed: Hub, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every look would ask for the slots.
    monkeypatch.setattr(Pool.slots, "__kwdefaults__", {"max_age_s": 0.0})

    async def scenario() -> None:
        spawner = followed.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner._phase[0] == "no_machine")
        asked = condor.calls.count("jobs")
        await asyncio.sleep(0.3)
        assert condor.calls.count("jobs") == asked, "nothing happened"
        assert condor.calls.count("slots") == 1
        condor.tell("running", "1.0", host=HOST)
        spawner.accept_port(40001)
        await asyncio.wait_for(start, 5)

    asyncio.run(scenario())


def test_a_reader_wakes_a_quiet_wait(
    followed: Hub, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afhub.spawner.READ_S", 0.02)
    monkeypatch.setattr(Pool.slots, "__kwdefaults__", {"max_age_s": 0.0})

    async def scenario() -> None:
        spawner = followed.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner._phase[0] == "no_machine")
        condor.slot_ads = [{"SlotType": "Static", "State": "Claimed", "AfhubClasses": "regular"}]
        told: list[str] = []

        async def listen() -> None:
            nonlocal told
            async for news in spawner.progress():
                told += [news["message"]]

        reader = asyncio.ensure_future(listen())
        await until(lambda: any("1 of 1 slots taken" in text for text in told))
        reader.cancel()
        start.cancel()

    asyncio.run(scenario())


# Watch


@pytest.mark.parametrize(
    ("kind", "facts", "key"),
    [
        ("held", HOLD, "held"),
        (
            "held",
            {
                "reason": "The notebook used 13312 MB; its class allows 12288 MB.",
                "code": 26,
                "subcode": MEMORY_SUBCODE,
            },
            "memory",
        ),
        ("held", {"reason": "", "code": 46}, "runtime"),
        ("removed", {"reason": "reboot", "by": "root"}, "removed"),
        ("terminated", {"signal": 9}, "killed"),
        ("evicted", {"reason": "drained"}, "evicted"),
        ("reconnect_failed", {"reason": "too long"}, "node_lost"),
    ],
)
def test_an_end_is_noticed_at_once_and_its_job_does_not_stay(
    followed: Hub, condor: FakeCondor, kind: str, facts: dict[str, Any], key: str
) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        stopped: list[str] = []
        spawner.add_poll_callback(stopped.append, "told")
        condor.tell(kind, "1.0", **facts)
        if kind in ("removed", "terminated"):
            condor.ads.clear()
        await until(lambda: stopped)
        assert spawner.outcome is not None
        assert (spawner.outcome.key, spawner.outcome.job_id) == (key, "1.0")
        await until(lambda: not condor.ads)

    asyncio.run(scenario())


def test_the_cause_is_waited_for_where_the_slot_lets_go_first(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        condor.tell("evicted", "1.0")
        # The hub reads the log between the two, which the schedd writes a few milliseconds apart.
        await until(lambda: not condor.unread)
        condor.tell("held", "1.0", **HOLD)
        await until(lambda: spawner.outcome)
        assert spawner.outcome is not None
        assert spawner.outcome.key == "held"

    asyncio.run(scenario())


def test_another_jobs_events_change_nothing(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        condor.tell("held", "99.0", **HOLD)
        condor.tell("submitted", "98.0", owner="bob")
        condor.tell("removed", "98.0", owner="bob")
        await until(lambda: NotebookSpawner.pool.trace("98.0", "bob", ""))
        assert await spawner.poll() is None

    asyncio.run(scenario())


def test_a_job_that_left_the_queue_without_a_record_is_gone(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        condor.ads.clear()
        followed_pool = NotebookSpawner.pool
        await followed_pool.jobs(newer_than=followed_pool.clock())
        assert await spawner.poll() == 1
        assert spawner.outcome is not None
        assert spawner.outcome.key == "vanished"

    asyncio.run(scenario())


def test_a_late_record_is_waited_for(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        condor.ads.clear()
        pool = NotebookSpawner.pool
        await pool.jobs(newer_than=pool.clock())
        poll = asyncio.ensure_future(spawner.poll())
        await asyncio.sleep(0)
        condor.tell("terminated", "1.0", exit_code=3)
        assert await poll == 1
        assert spawner.outcome is not None
        assert spawner.outcome.key == "ended"

    asyncio.run(scenario())


def test_a_lost_connection_is_told_and_costs_nothing(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        assert spawner.notice == ""
        condor.tell("disconnected", "1.0", reason="Socket closed", at=int(time.time()) - 61)
        await until(lambda: spawner.notice)
        assert f"The connection to {HOST} was lost 1 minute ago" in spawner.notice
        assert await spawner.poll() is None
        condor.tell("reconnected", "1.0")
        await until(lambda: not spawner.notice)

    asyncio.run(scenario())


# The outcome is kept


def test_an_outcome_is_kept_until_the_next_start(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        condor.tell("held", "1.0", **HOLD)
        await until(lambda: spawner.outcome)
        outcome = spawner.outcome
        spawner.clear_state()
        assert spawner.job_id == ""
        spawner._save_state()
        again = followed.spawner()
        assert again.outcome == outcome
        assert await again.poll() == 1
        assert again.outcome == outcome
        again.api_token = "another-token"
        # As JupyterHub does before each start.
        again.clear_state()
        await started(again, condor)
        assert again.outcome is None
        assert "outcome" not in saved(again)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "state", [None, {}, {"outcome": None}, {"outcome": {"key": 3}}, {"outcome": "x"}, {"outcome": {"new": 1}}]
)
def test_an_outcome_that_this_version_does_not_know_is_none(state: Any) -> None:
    assert outcome_in(state) is None


def test_a_stop_for_anothers_reason_is_kept(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        because = Outcome.make("idle", {"idle": "4 hours"})
        spawner.stopped_because = because
        await spawner.stop()
        assert condor.ads == {}
        assert spawner.outcome == because

    asyncio.run(scenario())


def test_a_stop_by_the_owner_needs_no_reason(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        spawner._stop_pending = True
        await spawner.stop()
        condor.tell("evicted", "1.0")
        condor.tell("removed", "1.0", reason="Stopped by the hub", by="afhub")
        await until(lambda: not condor.unread)
        assert spawner.outcome is None

    asyncio.run(scenario())


@pytest.mark.parametrize(("cancelled", "key"), [(False, "unanswering"), (True, None)])
def test_a_server_that_does_not_answer_is_stopped_with_a_reason(
    followed: Hub, condor: FakeCondor, cancelled: bool, key: str | None
) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        await started(spawner, condor)
        spawner._waiting_for_response = True
        spawner.cancelled = cancelled
        await spawner.stop()
        assert (spawner.outcome.key if spawner.outcome else None) == key
        if spawner.outcome:
            assert (spawner.outcome.values["host"], spawner.outcome.values["port"]) == (HOST, "40123")

    asyncio.run(scenario())


def test_a_server_that_does_not_answer_a_restarted_hub_is_stopped_with_a_reason(
    followed: Hub, condor: FakeCondor
) -> None:
    async def scenario() -> None:
        await started(followed.spawner(), condor)
        again = followed.spawner()
        assert await again.poll() is None
        # JupyterHub asks for the address, waits in vain, and stops it.
        again.orm_spawner.server = orm.Server(
            proto="http", ip="10.0.0.4", port=40123, base_url="/user/alice/", cookie_name=""
        )
        await again.get_url()
        await again.stop()
        assert again.outcome is not None
        assert again.outcome.key == "unanswering"

    asyncio.run(scenario())


# A start that an earlier hub began


def test_an_adopted_start_that_fails_has_a_reason_and_leaves_no_job(
    followed: Hub, condor: FakeCondor
) -> None:
    async def scenario() -> None:
        again = pending(followed, condor)
        poll = asyncio.ensure_future(again.poll())
        await until(lambda: again._phase[0] == "no_machine")
        condor.tell("held", "5.0", **HOLD)
        assert await asyncio.wait_for(poll, 5) == 1
        assert again.outcome is not None
        assert again.outcome.key == "held"
        assert await again.poll() == 1
        await until(lambda: not condor.ads)

    asyncio.run(scenario())


def test_an_adopted_start_that_waits_too_long_ends(followed: Hub, condor: FakeCondor) -> None:
    condor.slot_ads = [{"SlotType": "Static", "State": "Claimed", "AfhubClasses": "regular"}]

    async def scenario() -> None:
        again = pending(followed, condor)
        again.start_timeout = 1
        assert await asyncio.wait_for(again.poll(), 5) == 1
        assert again.outcome is not None
        assert again.outcome.key == "no_slot"
        await until(lambda: not condor.ads)

    asyncio.run(scenario())


def test_an_adopted_start_can_be_cancelled(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        again = pending(followed, condor)
        polls = [asyncio.ensure_future(again.poll()) for _ in range(2)]
        await until(lambda: again._phase[0] == "no_machine")
        again.cancel_adopted_start()
        assert await asyncio.wait_for(asyncio.gather(*polls), 5) == [1, 1]
        assert again.outcome is None
        assert not again.awaits_port or again._gone
        await until(lambda: not condor.ads)
        assert [news["message"] async for news in again.progress()] == ["The start failed. One moment…"]

    asyncio.run(scenario())


def test_an_adopted_start_can_be_cancelled_before_the_log_is_read(followed: Hub, condor: FakeCondor) -> None:
    condor.silent_calls = {"events"}

    async def scenario() -> None:
        again = pending(followed, condor)
        poll = asyncio.ensure_future(again.poll())
        await until(lambda: again._phase[0] == "found")
        again.cancel_adopted_start()
        assert await asyncio.wait_for(poll, 5) == 1
        await until(lambda: not condor.ads)
        assert again._phase[0] == "failed"

    asyncio.run(scenario())


def test_what_happened_while_the_hub_was_down_is_the_reason(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        again = pending(followed, condor)
        condor.ads.clear()
        condor.tell("submitted", "5.0")
        condor.tell("removed", "5.0", reason="reboot", by="root")
        assert await asyncio.wait_for(again.poll(), 5) == 1
        assert again.outcome is not None
        assert again.outcome.key == "removed"

    asyncio.run(scenario())


# The token


def tokens(hub: Hub) -> int:
    return int(hub.db.query(orm.APIToken).count())


def with_token(hub: Hub, spawner: NotebookSpawner) -> None:
    """Give the spawner's token a row, as JupyterHub does before a start."""
    client = orm.OAuthClient(identifier="jupyterhub")
    row = orm.APIToken(user=spawner.orm_spawner.user, oauth_client=client)
    row.token = spawner.api_token
    hub.db.add_all([client, row])
    hub.db.commit()


def test_the_token_of_a_notebook_that_is_over_opens_nothing(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        with_token(followed, spawner)
        await started(spawner, condor)
        assert tokens(followed) == 1
        again = followed.spawner()
        assert again.api_token == ""
        assert await again.poll() is None
        await again.stop()
        assert tokens(followed) == 1
        again.clear_state()
        assert tokens(followed) == 0
        again.clear_state()

    asyncio.run(scenario())


def test_a_row_that_is_anothers_by_now_is_left_alone(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = followed.spawner()
        with_token(followed, spawner)
        await started(spawner, condor)
        row = followed.db.query(orm.APIToken).one()
        number = row.id
        followed.db.delete(row)
        followed.db.commit()
        # The database gives a number again when it was the highest.
        bobs = orm.APIToken(id=number, user=followed.spawner("bob").orm_spawner.user, client_id="jupyterhub")
        bobs.token = "bobs-token"
        followed.db.add(bobs)
        followed.db.commit()
        spawner.clear_state()
        assert orm.APIToken.find(followed.db, "bobs-token") is not None

    asyncio.run(scenario())


# Words while it waits


def slot(**facts: Any) -> dict[str, Any]:
    return {
        "SlotType": "Static",
        "State": "Unclaimed",
        "AfhubClasses": "regular",
        "TotalSlotCpus": 1,
        "TotalSlotMemory": 1536,
        "TotalSlotDisk": 100000,
        **facts,
    }


@pytest.mark.parametrize(
    ("slots", "key", "text"),
    [
        ([], "no_machine", "No machine offers class Regular right now"),
        ([slot(AfhubClasses="large")], "no_machine", "No machine offers"),
        (
            [slot(TotalSlotMemory=1024), slot(TotalSlotMemory=512)],
            "too_small",
            "1.5 GB of memory in one slot; the largest has 1 GB",
        ),
        ([slot(TotalSlotDisk=0)], "too_small", "1 MB of free disk; the most is 0 MB"),
        ([slot(TotalSlotCpus=0)], "too_small", "1 core in one machine; the largest has 0 cores"),
        ([slot(Draining=True), slot(Draining=True)], "draining", "(maintenance)"),
    ],
)
def test_what_keeps_a_notebook_from_ever_starting_is_told(
    followed: Hub, condor: FakeCondor, slots: list[dict[str, Any]], key: str, text: str
) -> None:
    condor.slot_ads = slots

    async def scenario() -> None:
        spawner = followed.spawner()
        spawner.start_timeout = 1
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner._phase[0] == key)
        assert text in spawner._phase[1]
        with pytest.raises(StartFailed) as caught:
            await asyncio.wait_for(start, 5)
        assert caught.value.outcome.key == "no_match"
        assert text in caught.value.jupyterhub_message
        assert caught.value.outcome.facts["Detail"] == key

    asyncio.run(scenario())


def test_one_machine_that_drains_is_no_obstacle(followed: Hub, condor: FakeCondor) -> None:
    condor.slot_ads = [slot(Draining=True), slot(State="Claimed")]

    async def scenario() -> None:
        spawner = followed.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner._phase[0] == "queued_slots")
        start.cancel()

    asyncio.run(scenario())


def test_free_slots_that_htcondor_does_not_give_are_told_with_its_reason(
    followed: Hub, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afhub.spawner.UNREAD_S", 0.05)
    condor.slot_ads = [slot(), slot()]

    async def scenario() -> None:
        spawner = followed.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner._phase[0] == "queued_slots")
        condor.ads["1.0"]["LastRejMatchReason"] = "no match found"
        condor.tell("released", "1.0")
        await until(lambda: spawner._phase[0] == "unmatched")
        assert "2 of 2 slots of class Regular are free" in spawner._phase[1]
        assert "(no match found)" in spawner._phase[1]
        start.cancel()

    asyncio.run(scenario())


def test_events_wake_only_the_notebook_they_are_about(followed: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        mine, other = followed.spawner(), followed.spawner(server="two")
        await started(mine, condor)
        await started(other, condor, 40124)
        condor.tell("held", "1.0", **HOLD)
        await until(lambda: mine.outcome)
        assert other.outcome is None
        assert await other.poll() is None

    asyncio.run(scenario())
