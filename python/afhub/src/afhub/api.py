"""The endpoint through which a notebook reports the port it listens on.

It takes the place of the one batchspawner brings. A report is accepted once, from the token of the server
whose start is pending, and holds the port alone; where that server runs is read from its job.
"""

from __future__ import annotations

import json

from jupyterhub.apihandlers import APIHandler
from tornado.web import HTTPError

from afhub.bodies import BodyError, read_json
from afhub.settings import PortRange
from afhub.spawner import NotebookSpawner

ROUTE = r"/api/batchspawner"
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


class PortReportHandler(APIHandler):
    """POST ``{"port": N}`` with the server's own API token: 201, or 400, 403 and 409 with a reason."""

    async def post(self) -> None:
        """Accept the report of a pending server."""
        spawner = self._spawner()
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

    def _spawner(self) -> NotebookSpawner | None:
        """The server whose token this request carries. A cookie or another token of its user won't do."""
        token = self.get_auth_token()
        user = self.current_user
        if not token or not getattr(self, "_token_authenticated", False):
            return None
        for spawner in getattr(user, "spawners", {}).values():
            if isinstance(spawner, NotebookSpawner) and spawner.knows_token(token):
                return spawner
        return None
