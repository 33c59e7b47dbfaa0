"""A user of the stock hub as a program: the tunnel to that hub, log-in, start, stop, pages, the notebook's own API."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from minipool import Minipool, wait_for

PORT = 8100
"""Where the stock hub's proxy listens on the hub host, and only there."""

Timeout = tuple[float, float]


@dataclass(frozen=True)
class Start:
    """How a start went. Times are of time.time(), in seconds; 0 where it did not get that far.

    clicked: the request to start was sent. accepted: the hub answered it. ready: the hub said that the server is ready.
    usable: JupyterLab's page and the server's API answered through the proxy. events: what the progress bar showed.
    """

    clicked: float
    accepted: float
    status: int
    ready: float = 0.0
    usable: float = 0.0
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> str:
        """The words of the progress bar where the start failed, else an empty string."""
        last = self.events[-1] if self.events else {}
        return str(last.get("message", "")) if last.get("failed") else ""


@contextmanager
def stock_hub(pool: Minipool) -> Iterator[str]:
    """Opens a tunnel to the stock hub over SSH; gives the hub's address, without a slash at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tunnel = subprocess.Popen(
        ["ssh", "-F", str(pool.state / "ssh_config"), "-N", "-o", "ExitOnForwardFailure=yes", "-o", "ControlPath=none",
         "-L", f"127.0.0.1:{port}:127.0.0.1:{PORT}", "hub"],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        if tunnel.poll() is not None:
            raise RuntimeError(f"the tunnel to the stock hub ended with {tunnel.returncode}")
        try:
            return requests.get(f"{url}/hub/health", timeout=5).ok
        except requests.RequestException:
            return False

    try:
        wait_for("the stock hub answers", answers, 30, 0.2)
        yield url
    finally:
        tunnel.terminate()
        tunnel.wait(10)


def jobs(
    pool: Minipool, attributes: str = "ClusterId,Owner,JobStatus,RemoteHost,HoldReason,NumJobStarts"
) -> list[dict[str, Any]]:
    """The ads of all jobs in the stock schedd, removed ones that have not ended included."""
    out = pool.check("hub", f"stock-condor condor_q -all -json -attributes {attributes}")
    return list(json.loads(out or "[]"))


@dataclass
class StockUser:
    """One logged-in user of the stock hub. The password of a demo account is its name."""

    url: str
    name: str
    session: requests.Session = field(default_factory=requests.Session)
    token: str = ""

    def login(self) -> None:
        """Logs in as a browser does, and asks for an API token."""
        self.session.trust_env = False
        self.session.get(f"{self.url}/hub/login", timeout=60).raise_for_status()
        answer = self.session.post(
            f"{self.url}/hub/login", timeout=60, allow_redirects=False,
            data={"username": self.name, "password": self.name, "_xsrf": self._xsrf()},
        )  # fmt: skip
        if answer.status_code != 302 or "login" in answer.headers["Location"]:
            raise RuntimeError(f"{self.name} could not log in: {answer.status_code}")
        self.session.get(f"{self.url}/hub/home", timeout=60).raise_for_status()
        asked = self.session.post(
            f"{self.url}/hub/api/users/{self.name}/tokens", timeout=60, json={"note": "benchmarks"},
            headers={"X-XSRFToken": self._xsrf(), "Referer": f"{self.url}/hub/token"},
        )  # fmt: skip
        asked.raise_for_status()
        self.token = asked.json()["token"]

    def _xsrf(self) -> str:
        return str(self.session.cookies.get("_xsrf", path="/hub/"))

    def api(self, method: str, path: str, timeout: float | Timeout = 60, **options: Any) -> requests.Response:
        """One call of the hub's REST API with the user's token. Raises nothing for an HTTP error."""
        return requests.request(
            method, f"{self.url}/hub/api{path}", timeout=timeout,
            headers={"Authorization": f"token {self.token}"}, **options,
        )  # fmt: skip

    def server(self, name: str = "") -> dict[str, Any]:
        """The hub's model of one of the user's servers, {} where there is none."""
        answer = self.api("GET", f"/users/{self.name}")
        answer.raise_for_status()
        return dict(answer.json()["servers"].get(name, {}))

    def _server_path(self, name: str) -> str:
        return f"/users/{self.name}/servers/{name}" if name else f"/users/{self.name}/server"

    def click(self, options: dict[str, Any] | None = None, name: str = "") -> Start:
        """Asks for a server and does not wait for it."""
        clicked = time.time()
        asked = self.api("POST", self._server_path(name), json=options or {})
        return Start(clicked, time.time(), asked.status_code)

    def start(self, options: dict[str, Any] | None = None, name: str = "", timeout_s: float = 420) -> Start:
        """Starts a server and waits until it can be used, or its start failed: the hub's progress events tell which.

        Raises AssertionError where neither happens within `timeout_s` seconds.
        """
        begun = self.click(options, name)
        if begun.status not in (201, 202):
            return begun
        events: list[dict[str, Any]] = []
        ready = 0.0
        if begun.status == 201:
            ready = begun.accepted
        else:
            for event in self.progress(name, timeout_s):
                events.append(event)
                ready = time.time() if event.get("ready") else 0.0
            if not ready:
                return Start(begun.clicked, begun.accepted, begun.status, events=events)
        left = timeout_s - (time.time() - begun.clicked)
        wait_for(f"{self.name}'s server {name!r} can be used", lambda: self.usable(name), left, 0.05)
        return Start(begun.clicked, begun.accepted, begun.status, ready, time.time(), events)

    def progress(self, name: str = "", timeout_s: float = 420) -> Iterator[dict[str, Any]]:
        """The events of the progress bar as the browser gets them; the last one is ready or failed."""
        deadline = time.monotonic() + timeout_s
        with self.api("GET", f"{self._server_path(name)}/progress", timeout=(10, 60), stream=True) as stream:
            stream.raise_for_status()
            for line in stream.iter_lines(chunk_size=1):
                if line.startswith(b"data:"):
                    event = dict(json.loads(line[5:]))
                    yield event
                    if event.get("ready") or event.get("failed"):
                        return
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self.name}'s server {name!r}: no end within {timeout_s} s")

    def usable(self, name: str = "") -> bool:
        """Whether JupyterLab's page and the server's API answer through the proxy."""
        base = f"{name}/" if name else ""
        return self.notebook("GET", f"{base}api/status").ok and self.notebook("GET", f"{base}lab").ok

    def stop(self, name: str = "", timeout_s: float = 90) -> None:
        """Stops a server and waits until the hub has no model of it; a name is free again afterwards."""
        asked = self.api("DELETE", self._server_path(name), json={"remove": bool(name)})
        if asked.status_code not in (202, 204, 400, 404):
            raise RuntimeError(f"{self.name}'s server {name!r}: {asked.status_code} {asked.text}")
        wait_for(f"{self.name}'s server {name!r} is gone", lambda: not self.server(name), timeout_s)

    def stop_all(self) -> None:
        """Stops every server of the user, and forgets the names of those that were stopped before."""
        answer = self.api("GET", f"/users/{self.name}?include_stopped_servers")
        answer.raise_for_status()
        for name in answer.json()["servers"]:
            self.stop(name)

    def page(self, path: str) -> requests.Response:
        """A page as the user's browser gets it, at the end of all redirects."""
        return self.session.get(f"{self.url}{path}", timeout=60)

    def notebook(self, method: str, path: str, **options: Any) -> requests.Response:
        """One call of a notebook server's own API through the proxy, with the user's token."""
        return requests.request(
            method, f"{self.url}/user/{self.name}/{path}", timeout=60,
            headers={"Authorization": f"token {self.token}"}, **options,
        )  # fmt: skip
