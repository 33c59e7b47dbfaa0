"""A fake of the server extension: it says what a test tells it to, and remembers what the Lab answered.

The Lab cannot tell it from the real one. Tests speak to it with `POST {base}fake/say` and `GET {base}fake/heard`.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated
from tornado.websocket import WebSocketHandler


def calm() -> dict[str, Any]:
    """The Info of a notebook of the class Regular with plenty of memory and time."""
    ends = datetime.now(UTC) + timedelta(seconds=7800)
    return {
        "version": 1,
        "in_job": True,
        "class": {
            "name": "regular",
            "title": "Regular",
            "memory_limit_mb": 4096,
            "cores": 2,
            "runtime_s": 28800,
        },
        "job": {
            "id": "4711.0",
            "owner": "alice",
            "started_at": datetime.now(UTC).isoformat(),
            "ends_at": ends.isoformat(),
            "time_left_s": 7800,
            "vacate_s": 30,
        },
        "slot": "slot1_2@worker1.af.test",
        "node": {
            "name": "worker1.af.test",
            "cores": 16,
            "load": [1.5, 1.25, 1.0],
            "memory_total_mb": 65536,
            "memory_free_mb": 40960,
            "scratch_free_mb": 102400,
            "scratch_total_mb": 204800,
            "other_notebooks": 3,
        },
        "memory": {
            "used_mb": 1229,
            "limit_mb": 4096,
            "fraction": 0.3,
            "peak_mb": 1500,
            "source": "cgroup2",
            "growth_mb_per_min": None,
            "full_in_s": None,
        },
        "cpu": {"percent": 35, "cores": 2},
        "kernels": [],
        "warnings": [],
        "notices": [],
        "silenced": [],
        "hub": {"home": "/hub/home", "spawn": "/hub/spawn"},
        "problems": [],
    }


class Fake:
    """The state that all handlers share."""

    def __init__(self) -> None:
        self.info = calm()
        self.history: dict[str, Any] = {"step_s": 5, "points": []}
        self.heard: list[dict[str, Any]] = []
        self.clients: list[Stream] = []
        self.refusing = False


class Info(JupyterHandler):
    """GET info, and history by another name."""

    def initialize(self, fake: Fake, what: str = "info") -> None:
        self.fake, self.what = fake, what

    @authenticated
    def get(self) -> None:
        if self.fake.info is None:
            raise HTTPError(404)
        self.finish(self.fake.info if self.what == "info" else self.fake.history)


class Stream(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """The stream: Info once a second, and whatever the test says."""

    def initialize(self, fake: Fake) -> None:
        self.fake = fake
        self.number = -1

    async def get(self, *args: Any, **kwargs: Any) -> None:
        if self.current_user is None or self.fake.refusing:
            raise HTTPError(403)
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        self.number = len(self.fake.clients)
        self.fake.clients.append(self)
        self.task = asyncio.ensure_future(self.tell())

    async def tell(self) -> None:
        while self.ws_connection is not None:
            await self.say({"type": "info", "info": self.fake.info})
            await asyncio.sleep(1)

    async def say(self, message: dict[str, Any]) -> None:
        if self.ws_connection is not None:
            await self.write_message(json.dumps(message))

    async def on_message(self, message: str | bytes) -> None:
        said = json.loads(message)
        self.fake.heard.append({"client": self.number, **said})
        if said["type"] == "document":
            await self.say(
                {"type": "document_saved", "path": said["path"], "saved_as": said["path"], "error": None}
            )

    def on_close(self) -> None:
        self.task.cancel()
        super().on_close()


class Say(JupyterHandler):
    """What the test tells the fake."""

    def initialize(self, fake: Fake) -> None:
        self.fake = fake

    def check_xsrf_cookie(self) -> None:
        """The test is no browser."""

    @authenticated
    async def post(self) -> None:
        asked = json.loads(self.request.body)
        fake = self.fake
        fake.refusing = asked.get("refusing", fake.refusing)
        fake.history = asked.get("history", fake.history)
        for part, values in asked.get("info", {}).items():
            fake.info[part] = {**fake.info[part], **values} if isinstance(values, dict) else values
        if asked.get("calm"):
            fake.info = calm()
            fake.refusing, fake.history = False, {"step_s": 5, "points": []}
            fake.heard.clear()
        if asked.get("hang_up"):
            for client in fake.clients:
                client.close()
        for message in asked.get("messages", []):
            alive = [client for client in fake.clients if client.ws_connection is not None]
            for client in alive if asked.get("to_all", True) else alive[-1:]:
                await client.say(message)
        alive = [client for client in fake.clients if client.ws_connection is not None]
        self.finish({"clients": len(alive)})

    @authenticated
    def get(self) -> None:
        self.finish({"heard": self.fake.heard})


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "fake_afhub"}]


def _load_jupyter_server_extension(server: Any) -> None:
    fake = Fake()
    base = server.web_app.settings["base_url"]
    api = url_path_join(base, "api/afhub/v1")
    server.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(api, "info"), Info, {"fake": fake}),
            (url_path_join(api, "history"), Info, {"fake": fake, "what": "history"}),
            (url_path_join(api, "stream"), Stream, {"fake": fake}),
            (url_path_join(base, "fake"), Say, {"fake": fake}),
        ],
    )
