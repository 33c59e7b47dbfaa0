"""Jupyter Server's way to web pages of the notebook's own processes: `<base>/proxy/<port>/`.

jupyter-server-proxy passes requests on, with the cookies of whoever sends them, to any port of this host.
Here a port has to be one on which the notebook's own user listens, and nobody else: a page of another user
would act in the name of this one, and would be sent the cookies. What passes requests on is imported with the
first request, not at the server's start.
"""

from __future__ import annotations

from typing import Any

from tornado.routing import PathMatches, Router, Rule


class OwnPorts(Router):
    """Leads to the handler that does the work."""

    # Jupyter Server looks at every handler's methods for one that asks for no log-in; this has none.
    SUPPORTED_METHODS = ()

    def __init__(self, application: Any) -> None:
        self._application = application

    def find_handler(self, request: Any, **options: Any) -> Any:
        from afhub_outsource.proxy_handler import OwnPortHandler

        return self._application.get_handler_delegate(request, OwnPortHandler, **options)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"].rstrip("/")
    pattern = PathMatches(base + r"/proxy/(\d{1,5})(/.*|)")
    server.web_app.add_handlers(".*$", [Rule(pattern, OwnPorts(server.web_app))])
