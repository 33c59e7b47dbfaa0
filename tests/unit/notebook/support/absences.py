"""Notebooks whose site goes away, and a clock with which it stays away for minutes that take no time."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fake_chirp import FakeChirp
from fake_hub import FakeHub
from job_server import JobServer, Tab
from minipool import wait_for
from passing_time import PassingTime
from ready_python import ReadyPython

NOTICE = {
    "id": "back", "level": "info", "text": "Back again.", "at": "2026-01-01T12:00:00Z", "until": None, "from": "admin",
}  # fmt: skip


@dataclass
class Absence:
    """A notebook with an open tab, and what it hears its site through, which is away until it comes back."""

    server: JobServer
    tab: Tab
    clock: PassingTime
    """The one that the notebook's way to its site goes by."""
    asked: Callable[[], int]
    """How often the notebook has turned to it, since it went or since it came back."""
    come_back: Callable[[], None]


@contextmanager
def without_shadow(python: ReadyPython, folder: Path) -> Iterator[Absence]:
    """The starter takes connections and answers nothing, as it does where its shadow is gone."""
    chirp = FakeChirp()
    (folder / "scratch").mkdir()
    server = JobServer(
        python,
        folder,
        environ={"_CONDOR_CHIRP_CONFIG": str(chirp.configure(folder / "scratch"))},
        own_time=True,
    )
    before = 0

    def asked() -> int:
        return chirp.connections + chirp.reads - before

    def come_back() -> None:
        nonlocal before
        chirp.attributes["AfhubNotices"] = json.dumps(json.dumps([NOTICE]))
        before += asked()
        chirp.manner = "answers"

    try:
        server.start()
        tab = server.tab()
        wait_for("the shadow was asked", lambda: chirp.reads, 20)
        chirp.manner = "is silent"
        before = asked()
        yield Absence(server, tab, server.clock, asked, come_back)
    finally:
        server.stop()
        chirp.close()


class _NobodyThere(socketserver.TCPServer):
    """Hangs up on whoever connects, and counts them."""

    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), socketserver.BaseRequestHandler)
        self.connections = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def verify_request(self, request: object, client_address: object) -> bool:
        self.connections += 1
        return False

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@contextmanager
def without_hub(python: ReadyPython, folder: Path) -> Iterator[Absence]:
    """Whoever connects to the hub's address is hung up on, as by a proxy whose hub is gone."""
    hub = FakeHub()
    port = int(hub.server_address[1])
    listening: list[FakeHub | _NobodyThere] = [hub]
    server = JobServer(
        python,
        folder,
        environ={
            "JUPYTERHUB_API_URL": hub.api_url, "JUPYTERHUB_API_TOKEN": "own-token", "AFHUB_CLASS": "regular",
        },
        own_time=True,
    )  # fmt: skip

    def asked() -> int:
        (there,) = listening
        return there.connections if isinstance(there, _NobodyThere) else len(there.asked)

    def come_back() -> None:
        listening.pop().close()
        back = FakeHub(port)
        back.publish(NOTICE)
        listening.append(back)

    try:
        server.start()
        tab = server.tab()
        wait_for("the hub was asked", lambda: len(hub.asked) > 1, 20)
        listening.pop().close()
        listening.append(_NobodyThere(port))
        yield Absence(server, tab, server.clock, asked, come_back)
    finally:
        server.stop()
        for other in listening:
            other.close()
