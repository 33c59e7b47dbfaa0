"""Notebooks whose site is away for five real minutes, while other tests run."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fake_chirp import FakeChirp
from fake_hub import FakeHub
from job_server import JobServer, Tab
from minipool import wait_for

AWAY_S = 300.0
NOTICE = {
    "id": "back", "level": "info", "text": "Back again.", "at": "2026-01-01T12:00:00Z", "until": None, "from": "admin",
}  # fmt: skip
# As often as in a notebook, not as in the other tests.
PROGRAM = "monitor.SAMPLE_S = 5.0"


@dataclass
class Absence:
    """A notebook with an open tab, and what it hears its site through, which is away since `begun` (monotonic)."""

    server: JobServer
    tab: Tab
    begun: float
    questions: Callable[[], int]
    """How often the one who is away was asked meanwhile."""
    come_back: Callable[[], None]
    waiting: ExitStack
    """What goes on until the five minutes are over."""
    problems: list[str] = field(default_factory=list)
    """What the notebook said was wrong at their end."""
    asked: int = 0
    away_s: float = 0.0

    def wait_until_over(self) -> None:
        """Looks at the notebook when the minutes are over, and lets the other side come back then."""
        wait_for("five minutes are over", lambda: time.monotonic() - self.begun > AWAY_S, AWAY_S + 5)
        self.waiting.close()
        self.away_s = time.monotonic() - self.begun
        self.problems, self.asked = self.server.info()["problems"], self.questions()
        self.come_back()


@contextmanager
def without_shadow(folder: Path) -> Iterator[Absence]:
    """The starter takes connections and answers nothing, as it does where its shadow is gone."""
    chirp = FakeChirp()
    (folder / "scratch").mkdir()
    server = JobServer(
        folder,
        environ={"_CONDOR_CHIRP_CONFIG": str(chirp.configure(folder / "scratch"))},
        program=PROGRAM,
    )

    def come_back() -> None:
        chirp.attributes["AfhubNotices"] = json.dumps(json.dumps([NOTICE]))
        chirp.manner = "answers"

    try:
        server.start()
        tab = server.tab()
        wait_for("the shadow was asked", lambda: chirp.reads, 20)
        chirp.manner = "is silent"
        before = chirp.connections
        with ExitStack() as waiting:
            waiting.enter_context(tab.kept_open())
            yield Absence(
                server, tab, time.monotonic(), lambda: chirp.connections - before, come_back, waiting
            )
    finally:
        server.stop()
        chirp.close()


class _NobodyThere(socketserver.TCPServer):
    """Hangs up on whoever connects, and counts them."""

    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), socketserver.BaseRequestHandler)
        self.connections = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def verify_request(self, request: object, client_address: object) -> bool:
        self.connections += 1
        return False

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@contextmanager
def without_hub(folder: Path) -> Iterator[Absence]:
    """Whoever connects to the hub's address is hung up on, as by a proxy whose hub is gone."""
    hub = FakeHub()
    port = int(hub.server_address[1])
    listening: list[FakeHub | _NobodyThere] = [hub]
    server = JobServer(
        folder,
        environ={
            "JUPYTERHUB_API_URL": hub.api_url, "JUPYTERHUB_API_TOKEN": "own-token", "AFHUB_CLASS": "regular",
        },
        program=PROGRAM,
    )  # fmt: skip

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
        nobody = _NobodyThere(port)
        listening.append(nobody)
        with ExitStack() as waiting:
            waiting.enter_context(tab.kept_open())
            yield Absence(server, tab, time.monotonic(), lambda: nobody.connections, come_back, waiting)
    finally:
        server.stop()
        for other in listening:
            other.close()
