"""A user of the hub as a program: logs in over the login page, then uses the REST API and the notebook server's API."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import requests
import websocket

from minipool import Minipool, wait_for


@dataclass
class HubUser:
    """One logged-in user. The password of a demo account is its name."""

    pool: Minipool
    name: str
    session: requests.Session = field(default_factory=requests.Session)
    token: str = ""

    def login(self, password: str | None = None) -> requests.Response:
        """Logs in as a browser does, and asks for an API token; returns the answer to the login."""
        self.session.trust_env = False  # REQUESTS_CA_BUNDLE of the surroundings would win
        self.session.verify = str(self.pool.ca_file)
        page = self.session.get(f"{self.pool.url}/hub/login")
        page.raise_for_status()
        answer = self.session.post(
            f"{self.pool.url}/hub/login",
            data={
                "username": self.name,
                "password": self.name if password is None else password,
                "_xsrf": self.session.cookies.get("_xsrf", path="/hub/"),
            },
            allow_redirects=False,
        )
        if answer.status_code == 302 and "login" not in answer.headers["Location"]:
            self.session.get(f"{self.pool.url}/hub/home").raise_for_status()
            asked = self.session.post(
                f"{self.pool.url}/hub/api/users/{self.name}/tokens",
                headers={
                    "X-XSRFToken": str(self.session.cookies.get("_xsrf", path="/hub/")),
                    "Referer": f"{self.pool.url}/hub/token",
                },
                json={"note": "tests", "expires_in": 7200},
            )
            asked.raise_for_status()
            self.token = asked.json()["token"]
        return answer

    def api(self, method: str, path: str, **options: Any) -> requests.Response:
        """One call of the hub's REST API with the user's token. Raises nothing for an HTTP error."""
        return requests.request(
            method, f"{self.pool.url}/hub/api{path}", headers={"Authorization": f"token {self.token}"},
            verify=str(self.pool.ca_file), timeout=60, **options,
        )  # fmt: skip

    def server(self, name: str = "") -> dict[str, Any]:
        """The hub's model of one of the user's servers, {} where there is none."""
        answer = self.api("GET", f"/users/{self.name}")
        answer.raise_for_status()
        return dict(answer.json()["servers"].get(name, {}))

    def _server_path(self, name: str) -> str:
        return f"/users/{self.name}/servers/{name}" if name else f"/users/{self.name}/server"

    def start(
        self, options: dict[str, Any] | None = None, name: str = "", timeout_s: float = 90
    ) -> dict[str, Any]:
        """Starts a notebook and waits until it is ready; returns the hub's model of it."""
        asked = self.api("POST", self._server_path(name), json=options or {})
        assert asked.status_code in (201, 202), f"{asked.status_code} {asked.text}"

        def ready_or_failed() -> dict[str, Any] | None:
            model = self.server(name)
            assert model, (
                f"the start failed: {self.pool.check('hub', 'journalctl -u afhub-hub -n 30 --no-pager')}"
            )
            return model if model.get("ready") else None

        return wait_for(f"{self.name}'s notebook {name!r} is ready", ready_or_failed, timeout_s) or {}

    def running(self, notebook_class: str, name: str = "") -> dict[str, Any]:
        """The hub's model of a notebook of this class that runs; one that does is used again."""
        model = self.server(name)
        if model.get("ready") and model["user_options"] == {"notebook_class": notebook_class}:
            return model
        if model:
            self.stop(name)
        return self.start({"notebook_class": notebook_class}, name)

    def stop(self, name: str = "", timeout_s: float = 60) -> None:
        """Stops a notebook and waits until the hub has no model of it; a name is free again afterwards."""
        asked = self.api("DELETE", self._server_path(name), json={"remove": bool(name)})
        assert asked.status_code in (202, 204, 400, 404), f"{asked.status_code} {asked.text}"
        wait_for(f"{self.name}'s notebook {name!r} is gone", lambda: not self.server(name), timeout_s)

    def stop_all(self) -> None:
        """Stops every notebook of the user, and forgets the names of those that were stopped before."""
        answer = self.api("GET", f"/users/{self.name}?include_stopped_servers")
        answer.raise_for_status()
        for name in answer.json()["servers"]:
            self.stop(name)

    def page(self, path: str) -> requests.Response:
        """A page as the user's browser gets it, at the end of all redirects."""
        return self.session.get(f"{self.pool.url}{path}", timeout=60)

    def send_form(self, path: str, data: dict[str, Any]) -> requests.Response:
        """Sends a form of the hub as the user's browser does; redirects are not followed."""
        data = {"_xsrf": self.session.cookies.get("_xsrf", path="/hub/"), **data}
        return self.session.post(f"{self.pool.url}{path}", data=data, allow_redirects=False, timeout=60)

    def notebook(self, method: str, path: str, user: str | None = None, **options: Any) -> requests.Response:
        """One call of a notebook server's own API through the proxy, with this user's token."""
        return requests.request(
            method, f"{self.pool.url}/user/{user or self.name}/{path}",
            headers={"Authorization": f"token {self.token}"}, verify=str(self.pool.ca_file), timeout=60, **options,
        )  # fmt: skip

    def execute(self, code: str, kernel: str = "python3", timeout_s: float = 120, server: str = "") -> str:
        """Runs code in a new kernel; returns what it printed. Raises AssertionError with its traceback."""
        base = f"{server}/api/kernels".lstrip("/")
        started = self.notebook("POST", base, json={"name": kernel})
        assert started.status_code == 201, f"{started.status_code} {started.text}"
        kernel_id = started.json()["id"]
        socket = websocket.create_connection(
            f"{self.pool.url.replace('https', 'wss')}/user/{self.name}/{base}/{kernel_id}/channels",
            header={"Authorization": f"token {self.token}"}, sslopt={"ca_certs": str(self.pool.ca_file)},
            timeout=timeout_s,
        )  # fmt: skip
        try:
            return _execute(socket, code, timeout_s)
        finally:
            socket.close()
            self.notebook("DELETE", f"{base}/{kernel_id}")


def _execute(socket: websocket.WebSocket, code: str, timeout_s: float) -> str:
    message_id = uuid.uuid4().hex
    header = {
        "msg_id": message_id,
        "username": "",
        "session": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
    }
    socket.send(
        json.dumps(
            {
                "header": header,
                "parent_header": {},
                "metadata": {},
                "content": content,
                "channel": "shell",
                "buffers": [],
            }
        )
    )
    printed = ""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        message = json.loads(socket.recv())
        if message["parent_header"].get("msg_id") != message_id:
            continue
        kind, body = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            printed += body["text"]
        elif kind == "error":
            raise AssertionError("\n".join(body["traceback"]))
        elif kind == "status" and body["execution_state"] == "idle":
            return printed
    raise AssertionError(f"the cell did not end within {timeout_s} s; printed so far: {printed!r}")
