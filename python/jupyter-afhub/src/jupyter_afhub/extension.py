"""Loading and starting the extension. Nothing here is expensive: what costs waits until the server listens."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from typing import Any

from jupyter_afhub import batch_handlers, dask_panels, examples, handlers
from jupyter_afhub.clock import CLOCK
from jupyter_afhub.leaving import Leaving
from jupyter_afhub.monitor import Monitor

SETTING = "afhub"
START_AFTER_S = 2.0
"""Seconds from when the server listens to the first look: the browser is on its way, and goes first."""


class Extension:
    """What belongs to one server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.monitor = Monitor(server, clock=CLOCK)
        self.leaving = Leaving(self.monitor, lambda: server.contents_manager)

    def load(self) -> None:
        """Add the addresses; called before the server listens."""
        web_app = self.server.web_app
        web_app.settings[SETTING] = self
        base_url = web_app.settings["base_url"]
        routes: list[Any] = [
            *handlers.routes(base_url, self.monitor, self.leaving),
            *batch_handlers.routes(base_url, self.server),
            *examples.routes(base_url),
            *dask_panels.routes(base_url, self.server),
        ]
        if self.monitor.job.in_job and importlib.util.find_spec("jupyter_resource_usage"):
            routes.append(handlers.usage_route(base_url, self.monitor))
        web_app.add_handlers(".*$", routes)

    def start(self) -> None:
        """Called once the server listens."""
        if not self.monitor.job.in_job:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(START_AFTER_S, self.monitor.start)
        # The hub's server heeds signals itself, and so does a server in somebody else's process.
        if not hasattr(self.server, "leave") and threading.current_thread() is threading.main_thread():
            self.leaving.heed_sigterm(loop)
