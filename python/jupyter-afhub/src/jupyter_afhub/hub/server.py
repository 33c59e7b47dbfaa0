"""The server itself: JupyterHub's extension in Jupyter Server, with our sockets and our report to the hub."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import random
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import anyio.lowlevel
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_path
from jupyter_server.serverapp import ServerApp
from jupyterhub._version import __version__ as singleuser_version
from jupyterhub._version import _check_version
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from traitlets import default

from jupyter_afhub.report import AGAIN_S, Accepted, ReportError, report_port

FIRST_ACTIVITY_S = (20.0, 60.0)
"""When the first activity is reported, in seconds after the hub knows the port: not while the user waits for Lab."""


LINGER_S = 3.0
"""How long threads may keep a server that has stopped."""


class KernelSpecs(KernelSpecManager):
    """Looks for kernels where its base does, and does not import all of IPython to learn the last of these folders."""

    @default("kernel_dirs")
    def _kernel_dirs_default(self) -> list[str]:
        ipython = os.environ.get("IPYTHONDIR") or "~/.ipython"
        return [*jupyter_path("kernels"), str(Path(ipython).expanduser() / "kernels")]


class NotebookServer(ServerApp):
    """Jupyter Server on sockets that are already listening; reports its port once it answers on them."""

    sockets: ClassVar[list[socket.socket]] = []
    listening_port: ClassVar[int] = 0
    failure: ClassVar[str | None] = None

    @default("kernel_spec_manager_class")
    def _default_kernel_spec_manager_class(self) -> Any:
        if self.gateway_config.gateway_enabled:
            return super()._default_kernel_spec_manager_class()
        return KernelSpecs

    def init_webapp(self) -> None:
        """As the hub says of its cookies; this server sees plain http, and would let this one go without TLS."""
        options = json.loads(os.environ.get("JUPYTERHUB_COOKIE_OPTIONS") or "{}")
        self.tornado_settings["xsrf_cookie_kwargs"] = {"path": self.base_url, **options}
        super().init_webapp()

    def init_ioloop(self) -> None:
        super().init_ioloop()
        self.known = asyncio.Event()
        self._settled = threading.Event()
        self._stopped = threading.Event()

    def init_signal(self) -> None:
        """Signals are the running event loop's business, see `_heed_signals`; until then they end the process.

        Jupyter Server's own handlers write to the log wherever the process happens to be. Where that is in the log
        itself, Python refuses the second writer, and the server goes on as if nobody had asked it to stop.
        """

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.leave)
        loop.add_signal_handler(signal.SIGINT, self._signal_stop, signal.SIGINT, None)
        loop.add_signal_handler(signal.SIGUSR1, self._signal_info, signal.SIGUSR1, None)

    def leave(self) -> None:
        """HTCondor wants the job to go: open Labs save first. Asked a second time, the server stops at once."""
        afhub = self.web_app.settings.get("afhub")
        if afhub is None or afhub.leaving.begun:
            self._signal_stop(signal.SIGTERM, None)
            return
        saving = asyncio.ensure_future(afhub.leaving.save_everything())
        saving.add_done_callback(lambda _: self._signal_stop(signal.SIGTERM, None))

    def _find_http_port(self) -> None:
        """The port is decided: no configuration file of the user changes it."""
        self.port = self.listening_port

    def _bind_http_server_tcp(self) -> bool:
        """Called by the running event loop: from here on requests are answered."""
        self.port = self.listening_port
        self._heed_signals()
        self._watch_for_the_first_request()
        self.http_server.add_sockets(self.sockets)
        threading.Thread(target=self._report, name="afhub-report", daemon=True).start()
        # The launcher switched it off. What is there by now stays until the end: it need never look at that.
        gc.freeze()
        gc.enable()
        return True

    def write_browser_open_files(self) -> None:
        """No browser runs on this host, and the file would hold the token."""

    def _watch_for_the_first_request(self) -> None:
        """The hub asks for the server once it knows the port: a request says that the report has arrived."""
        settings = self.web_app.settings
        log_function = settings["log_function"]

        def log_first(handler: Any) -> None:
            settings["log_function"] = log_function
            self._settled.set()
            self.io_loop.add_callback(self._warm_up)
            log_function(handler)

        settings["log_function"] = log_first

    async def _warm_up(self) -> None:
        """Import what the first page needs and the start did not, while the browser is on its way from the hub."""
        await self.known.wait()
        importlib.import_module("jupyterhub.httpclient")
        # The first use of anyio imports what it needs in this kind of event loop.
        await anyio.lowlevel.checkpoint()

    def _report(self) -> None:
        """Runs in a thread of its own, so that a slow hub does not keep the server from answering it."""
        hub = (os.environ["JUPYTERHUB_API_URL"], os.environ["JUPYTERHUB_API_TOKEN"], self.listening_port)
        try:
            accepted = report_port(*hub, stop=self._stopped, log=self.log.warning)
        except ReportError as error:
            if not self._stopped.is_set():
                self.io_loop.add_callback(self._fail, str(error))
            return
        self.io_loop.add_callback(self._welcome, accepted)
        for pause_s in AGAIN_S:
            if self._settled.wait(pause_s):
                return
            with contextlib.suppress(ReportError):
                report_port(*hub, patience_s=0)

    def _fail(self, reason: str) -> None:
        """Nobody can reach a notebook the hub does not know: free the slot."""
        self.log.critical("stopping: %s", reason)
        # By name: Jupyter Server gives its running instance a class derived from this one.
        NotebookServer.failure = reason
        self.stop()

    def _welcome(self, accepted: Accepted) -> None:
        self.log.info("the hub knows port %d", self.listening_port)
        _check_version(accepted.hub_version, singleuser_version, self.log)
        self.known.set()

    def start_ioloop(self) -> None:
        try:
            super().start_ioloop()
        finally:
            self._stopped.set()
            self._settled.set()


class HubExtension(JupyterHubSingleUser):
    """JupyterHub's extension; what it asks the hub at start is in the answer to the port report already."""

    serverapp_class = NotebookServer

    @classmethod
    def get_extension_package(cls) -> str:
        return "jupyter_afhub.hub"

    async def check_hub_version(self) -> None:
        """One request less before the server listens; NotebookServer compares the versions after its
        report."""

    async def keep_activity_updated(self) -> None:
        """A hub that waits for the port knows that the server is active."""
        await self.serverapp.known.wait()
        await asyncio.sleep(random.SystemRandom().uniform(*FIRST_ACTIVITY_S))
        await super().keep_activity_updated()

    async def stop_extension(self) -> None:
        await super().stop_extension()
        used = sys.modules.get("jupyterhub.httpclient")
        if used:
            await used.JupyterHubHTTPClient.loop_instance().close()


def run(port: int, sockets: list[socket.socket], options: list[str]) -> int:
    """Serve until stopped; the exit code is 0 where that was asked for, 1 where the server gave up."""
    NotebookServer.sockets = sockets
    NotebookServer.listening_port = port
    HubExtension.launch_instance(options)
    code = 1 if NotebookServer.failure else 0
    # Python waits for every thread before it ends, and one that read a file when the loop stopped waits for ever.
    late = threading.Timer(LINGER_S, os._exit, (code,))
    late.daemon = True
    late.start()
    return code
