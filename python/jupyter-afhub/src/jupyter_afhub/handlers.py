"""The extension's interface: REST and a websocket, both behind Jupyter's own authentication."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from jupyter_afhub import documents
from jupyter_afhub.clients import Client
from jupyter_afhub.leaving import Leaving
from jupyter_afhub.measure import MB
from jupyter_afhub.monitor import SAMPLE_S, Monitor

PATH = "api/afhub/v1"
RESOURCE = "afhub"
LARGEST_MESSAGE = 256 * 1024 * 1024
"""Bytes of a message to us: a notebook with its output."""

_LONGEST_NAME = 100


class _Handler(APIHandler):
    auth_resource = RESOURCE
    # What looks whether a notebook is used is no use of it.
    _track_activity = False

    def initialize(self, monitor: Monitor) -> None:
        self.monitor = monitor


class InfoHandler(_Handler):
    """GET info"""

    @authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps(await self.monitor.info()))


class HistoryHandler(_Handler):
    """GET history"""

    @authenticated
    @authorized
    async def get(self) -> None:
        points = [
            [round(point.at, 1), round(point.memory_mb, 1), round(point.cpu_percent, 1)]
            for point in self.monitor.history.points()
        ]
        self.finish(json.dumps({"step_s": SAMPLE_S, "points": points}))


class UsageHandler(_Handler):
    """The address of jupyter-resource-usage, with our figures in its words.

    It would sum up proportional sets of the server's children, which is neither what HTCondor counts nor all of the
    job, and an open tab that asks for them would count as use of the notebook.
    """

    @authenticated
    @authorized
    async def get(self) -> None:
        seen = await self.monitor.latest()
        job = self.monitor.job
        config = self.settings.get("jupyter_resource_usage_display_config")
        used, limit = seen.used, (job.memory_limit_mb or 0) * MB
        memory: dict[str, Any] = {"rss": limit, "pss": limit}
        answer: dict[str, Any] = {"rss": used, "pss": used, "limits": {"memory": memory}}
        threshold = getattr(config, "mem_warning_threshold", 0)
        if limit and threshold:
            memory["warn"] = limit - used < limit * threshold
        if getattr(config, "track_cpu_percent", False):
            answer.update(cpu_percent=round(seen.cpu_percent, 1), cpu_count=os.cpu_count())
            if job.cores:
                whole = job.cores * 100
                warn = whole - seen.cpu_percent < whole * config.cpu_warning_threshold
                answer["limits"]["cpu"] = {"cpu": job.cores, "warn": warn}
        if getattr(config, "track_disk_usage", False):
            disk = shutil.disk_usage(config.disk_path)
            warn = disk.free < disk.total * config.disk_warning_threshold
            answer.update(disk_used=disk.used, disk_total=disk.total)
            answer["limits"]["disk"] = {"disk": disk.total, "warn": warn}
        self.finish(json.dumps(answer))


class StreamHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """The websocket of one Lab."""

    auth_resource = RESOURCE
    client: Client | None = None

    def initialize(self, monitor: Monitor, leaving: Leaving) -> None:
        self.monitor = monitor
        self.leaving = leaving

    @property
    def max_message_size(self) -> int:
        return LARGEST_MESSAGE

    def set_default_headers(self) -> None:
        """A websocket's answer has no content that headers could protect."""

    def get_compression_options(self) -> None:
        """Messages are small, or large once."""

    @ws_authenticated
    async def get(self, *arguments: Any, **options: Any) -> None:
        allowed = self.authorizer.is_authorized(self, self.current_user, "execute", RESOURCE)
        if not await ensure_async(allowed):
            raise HTTPError(403)
        await ensure_async(super().get(*arguments, **options))

    async def open(self, *arguments: Any, **options: Any) -> None:
        super().open(*arguments, **options)
        self.client = self.monitor.clients.connect(self)
        self.send({"type": "info", "info": await self.monitor.info()})
        self.monitor.connected(self.client)
        self.leaving.greet(self.client)

    def send(self, message: dict[str, Any]) -> None:
        try:
            self.write_message(json.dumps(message)).add_done_callback(_heed)
        except WebSocketClosedError:
            return

    async def on_message(self, data: str | bytes) -> None:
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict) or self.client is None:
            return
        name = str(message.get("id"))[:_LONGEST_NAME]
        match message.get("type"):
            case "visible":
                self.monitor.clients.is_visible(self.client, message.get("visible") is True)
            case "shown":
                self.monitor.clients.was_shown(self.client, name)
            case "read":
                self.monitor.was_read(self.client, name)
            case "silence":
                self.monitor.silence(str(message.get("kind")))
                self.monitor.clients.send_all({"type": "info", "info": await self.monitor.info()})
            case "document":
                await self._save(message)
            case "saved":
                self.leaving.saved(self.client, message)

    async def _save(self, message: dict[str, Any]) -> None:
        """Write a document that a Lab sends because it was asked to."""
        path = str(message.get("path", ""))
        allowed = self.authorizer.is_authorized(self, self.current_user, "write", "contents")
        if not await ensure_async(allowed):
            saved = documents.Saved(path, None, "you may not write here")
        else:
            saved = await self.leaving.save(message)
        self.send({"save_id": message.get("save_id"), **saved.as_json()})

    def on_close(self) -> None:
        if self.client:
            self.monitor.disconnected(self.client)
        super().on_close()


def _heed(sent: Any) -> None:
    """A Lab that went away while it was spoken to is nothing to report."""
    if not sent.cancelled():
        sent.exception()


def routes(base_url: str, monitor: Monitor, leaving: Leaving) -> list[tuple[str, type, dict[str, Any]]]:
    """The extension's addresses."""
    here = {"monitor": monitor}
    return [
        (url_path_join(base_url, PATH, "info"), InfoHandler, here),
        (url_path_join(base_url, PATH, "history"), HistoryHandler, here),
        (url_path_join(base_url, PATH, "stream"), StreamHandler, {**here, "leaving": leaving}),
    ]


def usage_route(base_url: str, monitor: Monitor) -> tuple[str, type, dict[str, Any]]:
    """The address of jupyter-resource-usage. What is registered first answers."""
    return (url_path_join(base_url, "api/metrics/v1"), UsageHandler, {"monitor": monitor})
