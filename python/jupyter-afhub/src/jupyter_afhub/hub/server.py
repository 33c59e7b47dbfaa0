"""The server itself: JupyterHub's extension in Jupyter Server, with our sockets and our report to the hub."""

from __future__ import annotations

import os
import socket
import threading
from typing import ClassVar

from jupyter_server.serverapp import ServerApp
from jupyterhub._version import __version__ as singleuser_version
from jupyterhub._version import _check_version
from jupyterhub.singleuser.extension import JupyterHubSingleUser

from jupyter_afhub.report import Accepted, ReportError, report_port


class NotebookServer(ServerApp):
    """Jupyter Server on sockets that are already listening; reports its port once it answers on them."""

    sockets: ClassVar[list[socket.socket]] = []
    listening_port: ClassVar[int] = 0
    failure: ClassVar[str | None] = None

    def _find_http_port(self) -> None:
        """The port is decided: no configuration file of the user changes it."""
        self.port = self.listening_port

    def _bind_http_server_tcp(self) -> bool:
        """Called by the running event loop: from here on requests are answered."""
        self.port = self.listening_port
        self.http_server.add_sockets(self.sockets)
        self._stopped = threading.Event()
        threading.Thread(target=self._report, name="afhub-report", daemon=True).start()
        return True

    def _report(self) -> None:
        """Runs in a thread of its own, so that a slow hub does not keep the server from answering it."""
        try:
            accepted = report_port(
                os.environ["JUPYTERHUB_API_URL"],
                os.environ["JUPYTERHUB_API_TOKEN"],
                self.listening_port,
                stop=self._stopped,
                log=self.log.warning,
            )
        except ReportError as error:
            if not self._stopped.is_set():
                self.io_loop.add_callback(self._fail, str(error))
        else:
            self.io_loop.add_callback(self._welcome, accepted)

    def _fail(self, reason: str) -> None:
        """Nobody can reach a notebook the hub does not know: free the slot."""
        self.log.critical("stopping: %s", reason)
        # By name: Jupyter Server gives its running instance a class derived from this one.
        NotebookServer.failure = reason
        self.stop()

    def _welcome(self, accepted: Accepted) -> None:
        self.log.info("the hub knows port %d", self.listening_port)
        _check_version(accepted.hub_version, singleuser_version, self.log)

    def start_ioloop(self) -> None:
        try:
            super().start_ioloop()
        finally:
            if hasattr(self, "_stopped"):
                self._stopped.set()


class HubExtension(JupyterHubSingleUser):
    """JupyterHub's extension; what it asks the hub at start is in the answer to the port report already."""

    serverapp_class = NotebookServer

    @classmethod
    def get_extension_package(cls) -> str:
        return "jupyter_afhub.hub"

    async def check_hub_version(self) -> None:
        """One request less before the server listens; NotebookServer compares the versions after its
        report."""


def run(port: int, sockets: list[socket.socket], options: list[str]) -> int:
    """Serve until stopped; the exit code is 0 where that was asked for, 1 where the server gave up."""
    NotebookServer.sockets = sockets
    NotebookServer.listening_port = port
    HubExtension.launch_instance(options)
    return 1 if NotebookServer.failure else 0
