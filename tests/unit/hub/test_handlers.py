"""Who stops a notebook is kept, and only those who may stop it can."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.scopes import parse_scopes
from tornado.web import HTTPError

from afhub.handlers import CULLER, NotebookProgressAPIHandler, NotebookServerAPIHandler
from afhub.outcomes import Outcome
from afhub.spawner import NotebookSpawner
from hub_fakes import FakeCondor, Hub, started, until

pytestmark = pytest.mark.usefixtures("quick")


class Request:
    """What a handler has of the hub: the users, and who asks."""

    db: Any = None
    current_user: Any = None

    def __init__(self, spawner: NotebookSpawner, by: Any, scopes: tuple[str, ...]) -> None:
        self.current_user = by
        self.expanded_scopes = set(scopes)
        self.parsed_scopes = parse_scopes(scopes)
        self.request = SimpleNamespace(path="/hub/api/users/alice/server", body=b"")
        self.status = 200
        self.sent: list[dict[str, Any]] = []
        self._users = {
            "alice": SimpleNamespace(
                name="alice", spawners={spawner.name: spawner}, server_url=lambda name: f"/user/alice/{name}"
            )
        }

    def find_user(self, name: str) -> Any:
        return self._users.get(name)

    def set_status(self, status: int) -> None:
        self.status = status

    def set_header(self, name: str, value: str) -> None:
        pass

    async def keepalive(self) -> None:
        await asyncio.Event().wait()

    async def send_event(self, event: dict[str, Any]) -> None:
        self.sent.append(event)


class Stop(Request, NotebookServerAPIHandler):
    """DELETE .../server"""


class Progress(Request, NotebookProgressAPIHandler):
    """GET .../server/progress"""


ALICE = SimpleNamespace(name="alice")
BOB = SimpleNamespace(name="bob")
ADMIN = SimpleNamespace(name="root")
OWN = ("delete:servers!user=alice", "read:servers!user=alice")
BOBS = ("delete:servers!user=bob", "read:servers!user=bob")


@pytest.fixture
def jupyterhubs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stops that were handed on to JupyterHub."""
    asked: list[str] = []

    async def delete(self: Any, user_name: str, server_name: str = "") -> None:
        asked.append(user_name)

    monkeypatch.setattr(UserServerAPIHandler, "delete", delete)
    return asked


def service(name: str) -> orm.Service:
    return orm.Service(name=name)


@pytest.mark.parametrize(
    ("by", "key", "text"),
    [
        (ALICE, None, ""),
        (ADMIN, "stopped", "root stopped it"),
        (service(CULLER), "idle", "no activity for 4 hours"),
        (service("another"), "stopped", "another stopped it"),
    ],
)
def test_who_stopped_a_notebook_is_kept(
    hub: Hub, condor: FakeCondor, jupyterhubs: list[str], by: Any, key: str | None, text: str
) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        await started(spawner, condor)
        earlier: Outcome | None = Outcome.make("vanished", {})
        spawner.stopped_because = earlier
        await Stop(spawner, by, ("delete:servers",)).delete("alice")
        assert jupyterhubs == ["alice"]
        because = spawner.stopped_because
        assert (None if because is None else because.key) == key
        if because is not None:
            assert because.job_id == "1.0"
            assert text in spawner.pool.words(f"outcome.{key}.what", **because.values)
            # What a site's own words may use.
            assert {"title", "server", "job", "host", "log", "reason"} <= set(because.values)
        assert not spawner.cancelled

    asyncio.run(scenario())


def test_a_start_that_its_owner_cancels_is_no_failure(
    hub: Hub, condor: FakeCondor, jupyterhubs: list[str]
) -> None:
    spawner = hub.spawner()
    spawner._spawn_pending = True
    asyncio.run(Stop(spawner, ALICE, OWN).delete("alice"))
    assert spawner.cancelled
    assert jupyterhubs == ["alice"]


def pending(hub: Hub, condor: FakeCondor) -> NotebookSpawner:
    before = hub.spawner()
    before.job_id, before._token_hash = "5.0", "x"
    before._save_state()
    condor.add("5.0")
    spawner = hub.spawner()
    spawner._check_pending = True
    return spawner


def test_a_start_of_an_earlier_hub_is_cancelled_by_its_owner(
    hub: Hub, condor: FakeCondor, jupyterhubs: list[str]
) -> None:
    async def scenario() -> None:
        spawner = pending(hub, condor)
        poll = asyncio.ensure_future(spawner.poll())
        await until(lambda: spawner._adoption is not None)
        stop = Stop(spawner, ALICE, OWN)
        await stop.delete("alice")
        assert stop.status == 202
        assert await asyncio.wait_for(poll, 5) == 1
        assert spawner.outcome is None

    asyncio.run(scenario())


@pytest.mark.parametrize(("by", "scopes"), [(BOB, BOBS), (None, ()), (ALICE, ("read:servers!user=alice",))])
@pytest.mark.parametrize("server", ["_check_pending", "_spawn_pending"])
def test_a_stranger_cancels_nothing(
    hub: Hub, condor: FakeCondor, by: Any, scopes: tuple[str, ...], server: str
) -> None:
    async def scenario() -> None:
        spawner = pending(hub, condor)
        spawner._check_pending = False
        setattr(spawner, server, True)
        poll = asyncio.ensure_future(spawner.poll())
        await until(lambda: spawner._adoption is not None)
        with pytest.raises(HTTPError) as refusal:
            await Stop(spawner, by, scopes).delete("alice")
        assert refusal.value.status_code in (403, 404)
        assert not spawner.cancelled
        assert spawner.stopped_because is None
        assert not poll.done()
        poll.cancel()
        assert list(condor.ads) == ["5.0"]

    asyncio.run(scenario())


def test_a_notebook_that_a_restarted_hub_looks_for_is_not_taken_for_a_start(
    hub: Hub, condor: FakeCondor, jupyterhubs: list[str]
) -> None:
    async def scenario() -> None:
        await started(hub.spawner(), condor)
        again = hub.spawner()
        again._check_pending = True
        stop = Stop(again, ALICE, OWN)
        await stop.delete("alice")
        # JupyterHub says that it is pending; "202, accepted" would be a promise that nobody keeps.
        assert jupyterhubs == ["alice"]
        assert not again.cancelled

    asyncio.run(scenario())


def test_the_progress_of_a_start_of_an_earlier_hub_ends_with_the_result(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = pending(hub, condor)
        poll = asyncio.ensure_future(spawner.poll())
        page = Progress(spawner, ALICE, OWN)
        get = asyncio.ensure_future(page.get("alice"))
        await until(lambda: any("No machine offers" in event["message"] for event in page.sent))
        condor.hold("5.0", "lunch", 1)
        assert await asyncio.wait_for(poll, 5) == 1
        spawner._check_pending = False
        await asyncio.wait_for(get, 5)
        assert page.sent[-1]["failed"] is True
        assert page.sent[0]["message"].startswith("The hub was restarted meanwhile")

    asyncio.run(scenario())


@pytest.mark.parametrize(("by", "scopes"), [(BOB, BOBS), (None, ())])
def test_the_progress_is_the_owners(hub: Hub, condor: FakeCondor, by: Any, scopes: tuple[str, ...]) -> None:
    page = Progress(pending(hub, condor), by, scopes)
    with pytest.raises(HTTPError) as refusal:
        asyncio.run(asyncio.wait_for(page.get("alice"), 5))
    assert refusal.value.status_code in (403, 404)
    assert page.sent == []
