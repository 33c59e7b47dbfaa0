"""A hub's settings, HTCondor replaced at its thinnest point, and a hub's database without the hub."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jupyterhub import orm

from afhub.condor import CondorRefused, CondorUnreachable
from afhub.events import Event
from afhub.pool import Pool
from afhub.settings import Settings
from afhub.spawner import NotebookSpawner

CLASSES: list[dict[str, Any]] = [
    {
        "name": "regular",
        "title": "Regular",
        "memory_limit_mb": 12288,
        "slot_memory_mb": 1536,
        "cores": 1,
        "runtime_s": 43200,
        "run_on": "workers",
        "slots_per_host": 2,
        "default": True,
    },
    {
        "name": "large",
        "title": "Large",
        "memory_limit_mb": 20480,
        "slot_memory_mb": 20480,
        "cores": 2,
        "runtime_s": 21600,
        "run_on": "big_servers",
    },
]
SETTINGS: dict[str, Any] = {
    "hub_name": "hub.example.org",
    "state_dir": "/var/lib/afhub/hub",
    "secrets_dir": "/var/lib/afhub/secrets",
    "database_url": "sqlite:////var/lib/afhub/hub/jupyterhub.sqlite",
    "classes": CLASSES,
    "condor": {
        "schedd": "hub.example.org",
        "collector": "nbcm.example.org:9618",
        "tokens_dir": "/etc/afhub/hub/tokens.d",
    },
    "notebook": {
        "command": "/opt/afhub/env/current/bin/afhub-notebook",
        "port_range": {"first": 40000, "last": 40999},
        "jupyter_path": ["/cvmfs/af.example.org/share/jupyter", "/site/jupyter"],
        "environment": {"SITE_NOTE": 'it\'s a "site" value'},
    },
}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeCondor:
    """HTCondor as the hub sees it through its helper process: a queue, slots, an event log, and moods."""

    def __init__(self) -> None:
        self.log: Path | None = None
        self.unread: list[dict[str, Any]] = []
        self.forced: list[str] = []
        self.ads: dict[str, dict[str, Any]] = {}
        self.slot_ads: list[dict[str, Any]] = []
        self.submitted: list[dict[str, str]] = []
        self.calls: list[str] = []
        self.silent = False
        self.silent_calls: set[str] = set()
        self.refuses = ""
        self.delay_s = 0.0

    async def call(self, name: str, *args: Any) -> Any:
        self.calls.append(name)
        silent = self.silent
        await asyncio.sleep(self.delay_s)
        if silent or self.silent or name in self.silent_calls:
            raise CondorUnreachable("silent")
        return getattr(self, f"_{name}")(*args)

    async def close(self) -> None:
        return None

    def _jobs(self) -> list[dict[str, Any]]:
        return copy.deepcopy(list(self.ads.values()))

    def _details(self) -> list[dict[str, Any]]:
        return self._jobs()

    def _edit(self, job_id: str, attributes: dict[str, Any]) -> bool:
        if self.refuses:
            raise CondorRefused(self.refuses)
        if job_id in self.ads:
            self.ads[job_id].update(attributes)
        return job_id in self.ads

    def _slots(self) -> list[dict[str, Any]]:
        return self.slot_ads

    def _submit(self, description: dict[str, str]) -> str:
        if self.refuses:
            raise CondorRefused(self.refuses)
        self.submitted.append(description)
        job_id = f"{len(self.submitted)}.0"
        self.add(
            job_id,
            owner=description["My.Owner"].strip('"'),
            server=description["My.AfhubServer"].strip('"'),
            notebook_class=description["My.AfhubClass"].strip('"'),
        )
        return job_id

    def _reschedule(self) -> bool:
        return True

    def _remove(self, job_id: str, reason: str) -> bool:
        return self.ads.pop(job_id, None) is not None

    def _remove_by_force(self, job_id: str) -> bool:
        self.forced.append(job_id)
        return self.ads.pop(job_id, None) is not None

    def _events(self) -> list[dict[str, Any]]:
        found, self.unread = self.unread, []
        return found

    def tell(self, kind: str, job_id: str, *, owner: str = "alice", server: str = "", **facts: Any) -> None:
        """Write an event into the log."""
        at = facts.pop("at", int(time.time()))
        self.unread.append(asdict(Event(kind, job_id, owner, server, "regular", at, **facts)))
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{kind} {job_id}\n")

    def add(
        self,
        job_id: str,
        *,
        owner: str = "alice",
        server: str = "",
        notebook_class: str = "regular",
        status: int = 1,
        **attributes: Any,
    ) -> None:
        cluster, _, proc = job_id.partition(".")
        self.ads[job_id] = {
            "ClusterId": int(cluster),
            "ProcId": int(proc),
            "Owner": owner,
            "AfhubServer": server,
            "AfhubClass": notebook_class,
            "JobStatus": status,
            "QDate": 1000 + int(cluster),
            **attributes,
        }

    def run(self, job_id: str, host: str = "slot1@notebooks@worker1.example.org") -> None:
        self.ads[job_id].update(JobStatus=2, RemoteHost=host)

    def hold(self, job_id: str, reason: str, code: int = 26) -> None:
        self.ads[job_id].update(JobStatus=5, HoldReason=reason, HoldReasonCode=code)


async def until(condition: Callable[[], Any], timeout_s: float = 5) -> None:
    """Wait until a condition holds; the test fails where it does not in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def started(spawner: NotebookSpawner, condor: FakeCondor, port: int = 40123) -> str:
    """Start a notebook to the end; returns its address."""
    start = asyncio.ensure_future(spawner.start())
    await until(lambda: spawner.job_id)
    condor.run(spawner.job_id)
    spawner.accept_port(port)
    return await start


def saved(spawner: NotebookSpawner) -> dict[str, Any]:
    """What a hub that restarts would know of the server."""
    state: dict[str, Any] = spawner.orm_spawner.state
    return state


class Hub:
    """Makes spawners on one database, as a hub does that is restarted now and then."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        NotebookSpawner.settings = settings
        NotebookSpawner.pool = pool
        self.db = orm.new_session_factory("sqlite://")()

    def spawner(self, name: str = "alice", server: str = "", **options: str) -> NotebookSpawner:
        user = self.db.query(orm.User).filter_by(name=name).one_or_none() or orm.User(name=name)
        row = user.orm_spawners.get(server) or orm.Spawner(name=server, user=user)
        self.db.add(row)
        self.db.commit()
        spawner = NotebookSpawner(
            user=SimpleNamespace(name=name, url=f"/user/{name}/", escaped_name=name, settings={}),
            orm_spawner=row,
            hub=SimpleNamespace(
                public_host="", api_url="http://127.0.0.1:8081/hub/api", base_url="/hub/", allowed_origin=""
            ),
            hub_connect_url=NotebookSpawner.settings.public_url,
            oauth_client_id=f"jupyterhub-user-{name}",
            cookie_options={"secure": True, "samesite": "Lax"},
            api_token="" if row.state else "secret-token",
            user_options=options,
        )
        spawner.load_state(row.state or {})
        return spawner
