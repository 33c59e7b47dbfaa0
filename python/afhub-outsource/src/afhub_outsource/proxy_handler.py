"""Requests to web pages of the notebook's own processes; see `proxy`."""

from __future__ import annotations

import os
from typing import Any

from jupyter_server_proxy.handlers import LocalProxyHandler
from tornado.web import HTTPError

from afhub_outsource.peers import listeners
from afhub_outsource.private import header_file


def refusal(port: int) -> tuple[int, str] | None:
    """Why requests to this port are not passed on, as a status and a text; None where they are."""
    users = listeners(port)
    if not users:
        return 404, f"nothing listens on port {port} of this notebook's host; what did may have ended"
    if users != {os.getuid()}:
        return 403, f"port {port} of this notebook's host is not yours"
    return None


class OwnPortHandler(LocalProxyHandler):
    """Passes requests and websockets on to a port that is the user's own."""

    async def prepare(self, *arguments: Any, **options: Any) -> None:
        await super().prepare(*arguments, **options)
        if self._finished:
            return
        port, path = self.path_args
        found = refusal(int(port))
        if found:
            raise HTTPError(*found)
        if not path:
            self.redirect(self.request.path + "/" + (f"?{self.request.query}" if self.request.query else ""))

    def get_request_headers_override(self) -> dict[str, str]:
        """Spark's pages want a key that a file of the user's holds."""
        try:
            return {"Authorization": header_file(int(self.path_args[0])).read_text(encoding="utf-8").strip()}
        except OSError:
            return {}
