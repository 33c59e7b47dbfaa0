"""What no server owns is removed and logged; what one owns, or may be about to, is left alone."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from afhub.pool import Pool
from afhub.reconciler import PATIENCE_S, STRANGER_S, Ownership, Reconciler
from afhub.settings import Settings
from hub_fakes import Clock, FakeCondor, Hub, until

pytestmark = pytest.mark.usefixtures("quick")

LEASE_S = 180.0


def once(hub: Hub, pool: Pool, condor: FakeCondor) -> list[str]:
    """One comparison; returns what it took away, when all of that is done."""

    async def scenario() -> list[str]:
        gone = await Reconciler(pool, lambda: hub.db, lease_s=LEASE_S).once()
        if not (condor.silent or condor.silent_calls):
            await until(lambda: not set(gone) & set(condor.ads))
        await pool.close()
        return gone

    return asyncio.run(scenario())


def owned(hub: Hub, name: str = "alice", server: str = "", **state: Any) -> None:
    """A server as the database knows it."""
    spawner = hub.spawner(name, server)
    spawner.orm_spawner.state = state
    hub.db.commit()


@pytest.mark.parametrize("status", [1, 2, 4, 5, 6, 7])
def test_a_job_that_no_server_owns_is_removed_and_logged(
    hub: Hub, pool: Pool, condor: FakeCondor, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    owned(hub, server="two")
    condor.add("7.0", server="two", status=status)
    assert once(hub, pool, condor) == ["7.0"]
    assert condor.ads == {}
    (told,) = [record.getMessage() for record in caplog.records if record.name == "afhub.reconciler"]
    assert told.startswith("Reconciler: removing job 7.0 of alice (server 'two'")
    assert "no server of the hub owns it" in told


def test_jobs_that_servers_own_are_left_alone(hub: Hub, pool: Pool, condor: FakeCondor) -> None:
    owned(hub, job_id="7.0")
    owned(hub, server="two", job_id="8.0")
    owned(hub, "bob", job_id="9.0")
    for job_id, facts in (("7.0", {}), ("8.0", {"server": "two"}), ("9.0", {"owner": "bob"})):
        condor.add(job_id, status=2, **facts)
    assert once(hub, pool, condor) == []
    assert "remove" not in condor.calls


@pytest.mark.parametrize(
    ("name", "server", "job_id"), [("bob", "", "7.0"), ("alice", "two", "7.0"), ("alice", "", "6.0")]
)
def test_ownership_is_of_user_server_and_job(
    hub: Hub, pool: Pool, condor: FakeCondor, name: str, server: str, job_id: str
) -> None:
    owned(hub)
    owned(hub, name, server, job_id=job_id)
    condor.add("7.0", status=2)
    assert once(hub, pool, condor) == ["7.0"]


def test_a_server_that_submits_right_now_keeps_its_jobs(hub: Hub, pool: Pool, condor: FakeCondor) -> None:
    owned(hub, submitting=True)
    condor.add("7.0")
    condor.add("8.0", server="two")
    assert once(hub, pool, condor) == ["8.0"]
    assert list(condor.ads) == ["7.0"]


@pytest.mark.parametrize("state", [None, {}, {"job_id": ""}, {"outcome": {"key": "held"}}])
def test_a_server_that_is_over_owns_nothing(state: Any) -> None:
    rows = Ownership([("alice", "", state)])
    assert (rows._jobs, rows._submitting) == (set(), set())


def test_a_removed_job_is_given_time_to_leave_its_node(hub: Hub, pool: Pool, condor: FakeCondor) -> None:
    condor.add("7.0", status=3, EnteredCurrentStatus=int(time.time() - LEASE_S - PATIENCE_S + 5))
    assert once(hub, pool, condor) == []
    assert {"remove", "remove_by_force"}.isdisjoint(condor.calls)


def test_a_removed_job_that_its_node_keeps_is_forced_out(
    hub: Hub, pool: Pool, condor: FakeCondor, caplog: pytest.LogCaptureFixture
) -> None:
    owned(hub, job_id="7.0")
    condor.add("7.0", status=3, EnteredCurrentStatus=int(time.time() - LEASE_S - PATIENCE_S - 5))
    assert once(hub, pool, condor) == ["7.0"]
    assert condor.forced == ["7.0"]
    assert "its node does not answer" in caplog.text


def test_a_force_that_fails_is_tried_again_later(
    hub: Hub, pool: Pool, condor: FakeCondor, caplog: pytest.LogCaptureFixture
) -> None:
    condor.silent_calls = {"remove_by_force"}
    condor.add("7.0", status=3, EnteredCurrentStatus=1)
    once(hub, pool, condor)
    assert "stays for now" in caplog.text
    condor.silent_calls = set()
    once(hub, pool, condor)
    assert condor.ads == {}


def test_silence_of_the_schedd_changes_nothing(
    hub: Hub, pool: Pool, condor: FakeCondor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "afhub.reconciler")
    condor.add("7.0", status=2)
    condor.silent = True
    assert once(hub, pool, condor) == []
    assert list(condor.ads) == ["7.0"]
    assert "does not answer" in caplog.text


def test_a_notebook_that_runs_is_spared_for_a_while_where_the_database_never_heard_of_its_server(
    settings: Settings, hub: Hub, condor: FakeCondor, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    pool = Pool(settings, schedd=condor, collector=condor, event_log=condor, clock=clock)
    reconciler = Reconciler(pool, lambda: hub.db, lease_s=LEASE_S)
    condor.add("7.0", status=2)

    async def scenario() -> None:
        for _ in range(3):
            assert await reconciler.once() == []
            clock.now += STRANGER_S / 4
        assert caplog.text.count("Is this the right database?") == 1
        clock.now += STRANGER_S / 2
        assert await reconciler.once() == ["7.0"]
        await pool.close()

    asyncio.run(scenario())


def test_the_queue_is_asked_and_not_remembered(hub: Hub, pool: Pool, condor: FakeCondor) -> None:
    async def scenario() -> None:
        await pool.jobs()
        condor.add("7.0")
        assert await Reconciler(pool, lambda: hub.db, lease_s=LEASE_S).once() == ["7.0"]
        await pool.close()

    asyncio.run(scenario())


def test_the_database_is_asked_after_the_queue(hub: Hub, pool: Pool, condor: FakeCondor) -> None:
    """A notebook that is submitted meanwhile is in the database when it is in the queue, not the other way round."""
    order: list[str] = []

    def session() -> Any:
        order.extend([*condor.calls, "database"])
        return hub.db

    async def scenario() -> None:
        await Reconciler(pool, session, lease_s=LEASE_S).once()
        await pool.close()

    asyncio.run(scenario())
    assert order == ["jobs", "database"]


def test_a_fault_does_not_end_it(
    hub: Hub,
    pool: Pool,
    condor: FakeCondor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("afhub.reconciler.FIRST_S", 0.0)
    monkeypatch.setattr("afhub.reconciler.EVERY_S", 0.01)
    condor.add("7.0")
    faults = [RuntimeError("database is locked")]

    def session() -> Any:
        if faults:
            raise faults.pop()
        return hub.db

    async def scenario() -> None:
        run = asyncio.ensure_future(Reconciler(pool, session, lease_s=LEASE_S).run())
        await until(lambda: not condor.ads)
        run.cancel()
        await pool.close()

    asyncio.run(scenario())
    assert "could not compare" in caplog.text
