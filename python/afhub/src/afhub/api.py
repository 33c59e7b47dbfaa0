"""The endpoints for notebooks themselves: the report of the port they listen on, and what they tell and are told later.

The first takes the place of the one batchspawner brings. A report is accepted once, from the token of the server
whose start is pending, and holds the port alone; where that server runs is read from its job. The second is
:mod:`afhub.backchannel`'s.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import ClassVar

from jupyterhub.apihandlers import APIHandler
from jupyterhub.utils import utcnow
from tornado.web import HTTPError

from afhub import backchannel
from afhub.backchannel import Activity, Backchannel
from afhub.bodies import BodyError, read_json
from afhub.condor import CondorRefused, CondorUnreachable
from afhub.jobs import Job, JobStatus
from afhub.notices import Notice
from afhub.settings import PortRange
from afhub.spawner import NotebookSpawner

ROUTE = r"/api/batchspawner"
NOTEBOOK_ROUTE = r"/api/afhub/notebook"
#: A report is a few bytes long.
BODY_LIMIT = 256


class ReportError(ValueError):
    """The body is not a port report."""


def parse_report(body: bytes, port_range: PortRange) -> int:
    """The port in ``{"port": N}``; raises :class:`ReportError` for everything else."""
    if len(body) > BODY_LIMIT:
        raise ReportError("the body is too long")
    try:
        report = read_json(body)
    except BodyError as error:
        raise ReportError(str(error)) from error
    if not isinstance(report, dict) or list(report) != ["port"]:
        raise ReportError('the body must be {"port": NUMBER}')
    port = report["port"]
    if not isinstance(port, int) or isinstance(port, bool) or port not in port_range:
        raise ReportError(f"port must be a number from {port_range.first} to {port_range.last}")
    return port


class NotebookHandler(APIHandler):
    """A request that a notebook server makes with its own API token."""

    def spawner(self) -> NotebookSpawner | None:
        """The server whose token this request carries. A cookie or another token of its user won't do."""
        token = self.get_auth_token()
        user = self.current_user
        if not token or not getattr(self, "_token_authenticated", False):
            return None
        for spawner in getattr(user, "spawners", {}).values():
            if isinstance(spawner, NotebookSpawner) and spawner.knows_token(token):
                return spawner
        return None


class PortReportHandler(NotebookHandler):
    """POST ``{"port": N}`` with the server's own API token: 201, or 400, 403 and 409 with a reason."""

    async def post(self) -> None:
        """Accept the report of a pending server."""
        spawner = self.spawner()
        if spawner is None:
            raise HTTPError(403, "A port is reported with the API token of a notebook server")
        if not spawner.awaits_port:
            raise HTTPError(409, "No port report is expected from this server")
        try:
            port = parse_report(self.request.body, spawner.settings.notebook.port_range)
        except ReportError as error:
            raise HTTPError(400, f"Not a port report: {error}") from error
        spawner.accept_port(port)
        self.log.info("%s/%s listens on port %s", spawner.user.name, spawner.name, port)
        self.set_status(201)
        self.finish(json.dumps({"port": port}))


class BackchannelHandler(NotebookHandler):
    """POST a report with the server's own API token: 200 with the notices for it, or 400, 403, 429 and 503
    with a reason."""

    #: Set by :func:`afhub.hub_config.configure`.
    backchannel: ClassVar[Backchannel]
    _answer: asyncio.Task[tuple[str, tuple[Notice, ...]]] | None = None

    async def post(self) -> None:
        """Take a report and answer with the notices, at once or when there are new ones."""
        spawner = self.spawner()
        if spawner is None or not spawner.job_id:
            raise HTTPError(403, "A report is made with the API token of a notebook server that runs")
        try:
            report = backchannel.parse_report(self.request.body)
        except backchannel.ReportError as error:
            raise HTTPError(400, f"Not a report: {error}") from error
        row = spawner.row
        job = Job(
            job_id=spawner.job_id,
            owner=spawner.user.name,
            notebook_class=row.name if row else "",
            server=spawner.name,
            status=JobStatus.RUNNING,
        )
        if report.activity is not None:
            self._note_use(spawner, report.activity)
        try:
            await self.backchannel.note(job, report)
            self._answer = asyncio.ensure_future(self.backchannel.notices(job, report.known, report.wait_s))
            await asyncio.wait([self._answer])
            if self._answer.cancelled():
                return
            version, notices = self._answer.result()
        except backchannel.TooManyError as error:
            raise HTTPError(429, str(error)) from error
        except (CondorUnreachable, CondorRefused) as error:
            raise HTTPError(503, "The job scheduler does not answer") from error
        self.finish(
            json.dumps(
                {
                    "version": version,
                    "notices": [notice.as_dict() for notice in notices],
                    "report_every_s": self.backchannel.report_every_s,
                }
            )
        )

    def on_connection_close(self) -> None:
        """Nobody waits for the answer any more."""
        super().on_connection_close()
        if self._answer is not None:
            self._answer.cancel()

    def _note_use(self, spawner: NotebookSpawner, activity: Activity) -> None:
        """By this record idle notebooks are stopped."""
        used_at = utcnow(with_tz=False) - timedelta(seconds=activity.idle_s)
        known_until = used_at - timedelta(seconds=self.backchannel.use_step_s)
        rows = (spawner.orm_spawner, spawner.orm_spawner.user)
        if any(row.last_activity is None or row.last_activity < known_until for row in rows):
            for row in rows:
                row.last_activity = max(used_at, row.last_activity or used_at)
            self.db.commit()

    def _log(self) -> None:
        # Each notebook is here once a minute.
        if self.get_status() >= 400:
            super()._log()
