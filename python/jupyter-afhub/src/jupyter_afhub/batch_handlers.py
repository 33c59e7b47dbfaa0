"""The interface to the user's batch jobs: what the panel in the Lab shows, and its two buttons."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

from jupyter_afhub import batch, batch_pages
from jupyter_afhub.batch_files import Folder, describe
from jupyter_afhub.words import iso

PATH = "api/afhub/v1"
RESOURCE = "afhub"
FRESH_S = 4.0
"""How old an answer may be that is given once more: several tabs ask, the schedd is asked once."""
PATIENCE_S = 30.0
"""Longest an answer takes, the file system's share included."""

_JOB = re.compile(r"[0-9]{1,10}\.[0-9]{1,10}")
_GROUP = re.compile(r"[0-9a-f]{16}")
ACTIONS = {"remove": batch.REMOVE, "release": batch.RELEASE}


class Batch:
    """The pool of one server. Several tabs that ask at once get one answer."""

    def __init__(self, server: Any, pool: batch.Pool | None = None) -> None:
        self._server = server
        self.pool = pool or batch.Pool()
        self._acting = asyncio.Lock()
        self._looking: asyncio.Task[dict[str, Any]] | None = None
        self._begun = float("-inf")

    @property
    def configured(self) -> bool:
        """Whether there is a pool to ask."""
        return batch.configured(os.environ)

    def _look(self) -> dict[str, Any]:
        """The answer, good or bad; runs in a thread."""
        problem, queue = None, batch.Queue(time.time())
        try:
            queue = self.pool.queue()
        except batch.PoolError as error:
            problem = str(error)
        folder = Folder.of(self._server.contents_manager)
        return {
            **_nothing(problem),
            "at": iso(queue.at),
            **batch.as_json(queue, lambda path: describe(folder, path)),
            "pages": batch_pages.found(self._server.web_app.settings["base_url"]),
        }

    async def state(self) -> dict[str, Any]:
        """What the panel shows."""
        if not self.configured:
            return {"version": 1, "configured": False}
        stale = time.monotonic() - self._begun >= FRESH_S
        # A file system that hangs holds one thread, not one more with each question.
        if self._looking is None or (stale and self._looking.done()):
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._look))
            self._begun = time.monotonic()
        looking = self._looking
        await asyncio.wait({looking}, timeout=PATIENCE_S)
        if not looking.done():
            return _nothing("the file system that the jobs' files are on does not answer")
        return looking.result()

    async def act(self, tool: str, **chosen: str) -> int:
        """Remove or release; what is said next is asked anew."""
        async with self._acting:
            try:
                return await asyncio.to_thread(self.pool.act, tool, **chosen)
            finally:
                self._looking = None


def _nothing(problem: str | None) -> dict[str, Any]:
    """An answer without jobs."""
    return {
        "version": 1,
        "configured": True,
        "problem": problem,
        "at": iso(time.time()),
        "counts": batch.counts(()),
        "more": False,
        "groups": [],
        "pages": [],
    }


class _Handler(APIHandler):
    auth_resource = RESOURCE

    def initialize(self, jobs: Batch) -> None:
        self.jobs = jobs


class BatchHandler(_Handler):
    """GET batch"""

    # A panel that is open is no use of the notebook.
    _track_activity = False

    @authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps(await self.jobs.state()))


class ConfiguredHandler(_Handler):
    """GET batch/configured: asks nobody, so that a Lab without a panel in sight costs the schedd nothing."""

    _track_activity = False

    @authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps({"configured": self.jobs.configured}))


def _chosen(body: Any) -> dict[str, str]:
    """The one job or the one group that a request names; raises HTTPError for anything else."""
    if isinstance(body, dict) and len(body) == 1:
        for name, form in (("job", _JOB), ("group", _GROUP)):
            value = body.get(name)
            if isinstance(value, str) and form.fullmatch(value):
                return {name: value}
    raise HTTPError(400, 'Say which: {"job": "12.0"} or {"group": "an id that GET batch gave"}.')


class ActionHandler(_Handler):
    """POST batch/remove and batch/release: `{"job": "12.0"}` or `{"group": ID}`."""

    @authenticated
    @authorized
    async def post(self, action: str) -> None:
        chosen = _chosen(self.get_json_body())
        if not self.jobs.configured:
            raise HTTPError(404, "This notebook has no batch pool.")
        try:
            count = await self.jobs.act(ACTIONS[action], **chosen)
        except batch.NotThereError:
            what = "held job" if action == "release" else "job"
            raise HTTPError(404, f"You have no such {what} in the batch pool, or no longer.") from None
        except batch.PoolError as error:
            raise HTTPError(503, f"The batch pool did not {action} it: {error}") from error
        self.finish(json.dumps({"jobs": count}))


def routes(base_url: str, server: Any) -> list[tuple[str, type, dict[str, Any]]]:
    """The addresses of the batch jobs."""
    here = {"jobs": Batch(server)}
    names = "|".join(ACTIONS)
    return [
        (url_path_join(base_url, PATH, "batch"), BatchHandler, here),
        (url_path_join(base_url, PATH, "batch/configured"), ConfiguredHandler, here),
        (url_path_join(base_url, PATH, f"batch/({names})"), ActionHandler, here),
    ]
