"""A user of the hub as a program: logs in over the login page, then uses the REST API and the notebook server's API."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import requests
import websocket

from minipool import Minipool, wait_for


@dataclass(frozen=True)
class Outcome:
    """What a page of the hub says about the end of a notebook.

    server: its name, empty for the default server; reason: key of the reason; job: id of its HTCondor job;
    at: when it ended; text: all that the section says; links: where its buttons and links lead.
    """

    server: str
    reason: str
    job: str
    at: datetime
    text: str
    links: tuple[str, ...]


class _Outcomes(HTMLParser):
    """Reads the sections of a page that tell how a notebook ended."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Outcome] = []
        self._section: dict[str, str] | None = None
        self._words: list[str] = []
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "section" and "afhub-outcome" in values.get("class", "").split():
            self._section, self._words, self._links = values, [], []
        elif self._section is not None and ({"href", "action"} & set(values)):
            self._links.append(values.get("href") or values["action"])

    def handle_data(self, data: str) -> None:
        if self._section is not None:
            self._words += data.split()

    def handle_endtag(self, tag: str) -> None:
        if tag == "section" and self._section is not None:
            section, self._section = self._section, None
            self.found.append(
                Outcome(
                    server=section["data-server"],
                    reason=section["data-reason"],
                    job=section["data-job"],
                    at=datetime.fromisoformat(section["data-at"]),
                    text=" ".join(self._words),
                    links=tuple(self._links),
                )
            )


def hub_answers(pool: Minipool) -> bool:
    """Whether the hub answers behind TLS front and proxy."""
    try:
        answer = requests.get(f"{pool.url}/hub/api/", verify=str(pool.ca_file), timeout=10)
    except requests.RequestException:
        return False
    return answer.status_code == 200


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
                json={"note": "tests", "expires_in": 86400},
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

    def active(self) -> dict[str, dict[str, Any]]:
        """The hub's models of the user's servers that run, start or stop, by name."""
        answer = self.api("GET", f"/users/{self.name}")
        answer.raise_for_status()
        return dict(answer.json()["servers"])

    def _server_path(self, name: str) -> str:
        return f"/users/{self.name}/servers/{name}" if name else f"/users/{self.name}/server"

    def start(
        self, options: dict[str, Any] | None = None, name: str = "", timeout_s: float = 90
    ) -> dict[str, Any]:
        """Starts a notebook and waits until it is ready; returns the hub's model of it."""
        asked = self.ask(options, name)
        if asked.done():
            assert asked.result().status_code in (201, 202), (
                f"{asked.result().status_code} {asked.result().text}"
            )
        return self.wait_until_ready(name, timeout_s)

    def ask(self, options: dict[str, Any] | None = None, name: str = "") -> Future[requests.Response]:
        """Asks for a notebook and returns when the start has begun; the hub answers when it is done or takes long."""
        path, body = self._server_path(name), options or {}
        thread = ThreadPoolExecutor(1)
        answer = thread.submit(self.api, "POST", path, json=body)
        thread.shutdown(wait=False)
        wait_for(
            f"the start of {self.name}'s {name!r} begins",
            lambda: answer.done() or name in self.active(),
            every_s=0.1,
        )
        return answer

    def wait_until_ready(self, name: str = "", timeout_s: float = 90) -> dict[str, Any]:
        """Waits until a start that was asked for is done; returns the hub's model of the notebook."""

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
        if asked.status_code == 500:
            # JupyterHub's own answer where it looks at the notebook or stops it at this moment: once more, then.
            wait_for("nothing is going on", lambda: not self.server(name).get("pending"), timeout_s)
            asked = self.api("DELETE", self._server_path(name), json={"remove": bool(name)})
        assert asked.status_code in (202, 204, 400, 404), f"{asked.status_code} {asked.text}"
        wait_for(f"{self.name}'s notebook {name!r} is gone", lambda: not self.server(name), timeout_s)

    def stop_all(self, *, but_the_default: bool = False) -> None:
        """Stops every notebook of the user, and forgets the names of those that were stopped before."""
        answer = self.api("GET", f"/users/{self.name}?include_stopped_servers")
        answer.raise_for_status()
        for name in answer.json()["servers"]:
            if name or not but_the_default:
                self.stop(name)

    def progress(
        self, name: str = "", until: Callable[[str], object] = bool, timeout_s: float = 60
    ) -> list[str]:
        """What the spawn page says of a pending start, up to the first message for which `until` is true."""
        said: list[str] = []
        deadline = time.monotonic() + timeout_s
        with requests.get(
            f"{self.pool.url}/hub/api{self._server_path(name)}/progress", stream=True, timeout=timeout_s,
            headers={"Authorization": f"token {self.token}"}, verify=str(self.pool.ca_file),
        ) as stream:  # fmt: skip
            assert stream.status_code == 200, f"{stream.status_code} {stream.text}"
            for line in stream.iter_lines(chunk_size=1):
                if line.startswith(b"data:"):
                    said.append(str(json.loads(line[5:]).get("message", "")))
                    if until(said[-1]):
                        return said
                # The hub sends an empty line every few seconds.
                if time.monotonic() > deadline:
                    break
        raise AssertionError(
            f"the spawn page of {self.name}'s {name!r} said within {timeout_s} s only {said}"
        )

    def outcome(self, name: str = "", path: str = "/hub/home") -> Outcome | None:
        """How a page says that a notebook of the user ended; None where it says nothing of it."""
        page = self.page(path)
        sections = _Outcomes()
        sections.feed(page.text)
        found = [outcome for outcome in sections.found if outcome.server == name]
        assert len(found) <= 1, f"{page.url} tells {len(found)} times how {name!r} ended: {found}"
        return found[0] if found else None

    def wait_for_outcome(
        self, *reasons: str, job: dict[str, Any] | None = None, name: str = "", timeout_s: float = 30
    ) -> Outcome:
        """Waits until the home page says how a notebook ended, and checks that it is for one of these reasons."""

        def told() -> Outcome | None:
            outcome = self.outcome(name)
            return outcome if outcome and (job is None or outcome.job == job["Id"]) else None

        outcome = wait_for(f"{self.name}'s home page says how {name!r} ended", told, timeout_s)
        assert outcome is not None and outcome.reason in reasons, outcome
        assert len(outcome.text.split()) > 5, f"hardly a reason: {outcome}"
        age_s = (datetime.now(UTC) - outcome.at).total_seconds()
        assert -5 < age_s < 1800, f"that was not now: {outcome}"
        return outcome

    def wait_until_gone(self, name: str = "", timeout_s: float = 30) -> None:
        """Waits until the hub has noticed by itself that a notebook ended, or gave up a start."""
        wait_for(
            f"the hub lets go of {self.name}'s notebook {name!r}",
            lambda: name not in self.active(),
            timeout_s,
        )

    def job(self, name: str = "") -> dict[str, Any]:
        """The ad of the job of one of the user's notebooks, {} where there is none; Id is cluster and process."""
        ads = self.pool.queue("ClusterId,ProcId,JobStatus,Owner,AfhubServer,AfhubClass,RemoteHost,HoldReason")
        mine = [ad for ad in ads if (ad["Owner"], ad.get("AfhubServer")) == (self.name, name)]
        assert len(mine) <= 1, f"{self.name}'s notebook {name!r} has several jobs: {mine}"
        return {**mine[0], "Id": f"{mine[0]['ClusterId']}.{mine[0]['ProcId']}"} if mine else {}

    def worker(self, name: str = "") -> str:
        """The host of the inventory that runs one of the user's notebooks."""
        machine = str(self.job(name)["RemoteHost"]).rpartition("@")[2]
        return machine.partition(".")[0]

    @contextmanager
    def knocking(self, path: str = "api/status", every_s: float = 0.2) -> Iterator[Counter[int]]:
        """Asks a notebook again and again; counts its answers by status, and those that never came as 0."""
        answers: Counter[int] = Counter()
        stop = threading.Event()

        def knock() -> None:
            while not stop.is_set():
                try:
                    answers[self.notebook("GET", path, timeout_s=10).status_code] += 1
                except requests.RequestException:
                    answers[0] += 1
                stop.wait(every_s)

        thread = threading.Thread(target=knock)
        thread.start()
        try:
            yield answers
        finally:
            stop.set()
            thread.join()

    def page(self, path: str) -> requests.Response:
        """A page as the user's browser gets it, at the end of all redirects."""
        return self.session.get(f"{self.pool.url}{path}", timeout=60)

    def send_form(self, path: str, data: dict[str, Any]) -> requests.Response:
        """Sends a form of the hub as the user's browser does; redirects are not followed."""
        data = {"_xsrf": self.session.cookies.get("_xsrf", path="/hub/"), **data}
        return self.session.post(f"{self.pool.url}{path}", data=data, allow_redirects=False, timeout=60)

    def notebook(
        self, method: str, path: str, user: str | None = None, timeout_s: float = 60, **options: Any
    ) -> requests.Response:
        """One call of a notebook server's own API through the proxy, with this user's token."""
        return requests.request(
            method, f"{self.pool.url}/user/{user or self.name}/{path}",
            headers={"Authorization": f"token {self.token}"}, verify=str(self.pool.ca_file),
            timeout=timeout_s, **options,
        )  # fmt: skip

    def compute(self, name: str = "") -> None:
        """Has one of the user's notebooks compute something, and checks the result."""
        assert self.execute("print(6 * 7)", server=name) == "42\n"

    def execute(
        self,
        code: str,
        kernel: str = "python3",
        timeout_s: float = 120,
        server: str = "",
        keep: bool = False,
    ) -> str:
        """Runs code in a new kernel; returns what it printed. Raises AssertionError with its traceback.

        The kernel is shut down afterwards, or goes on where `keep` says so.
        """
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
            if not keep:
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
