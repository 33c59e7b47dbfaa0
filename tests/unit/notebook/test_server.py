"""The server itself, with a hub that only knows what these tests need: who may enter, what it reports, how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import websocket

from minipool import wait_for

OWNER, STRANGER, UNKNOWN = "owners-token", "strangers-token", "unknown-token"
SCOPES = {OWNER: ["access:servers!user=ann"], STRANGER: ["access:servers!user=bob"]}
PREFIX = "/user/ann/"
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcy4uLg==",
    "Sec-WebSocket-Version": "13",
}

PROGRAM = """
import os, pwd, sys, threading
home = os.environ.pop("TEST_HOME")
pwd.getpwuid = lambda uid: pwd.struct_passwd(("ann", "x", uid, uid, "", home, "/bin/sh"))
from jupyter_afhub import launcher, report
report.AGAIN_S = (0.2,) * 50
sys.exit(launcher.main(["--allow-root", *sys.argv[1:]]))
"""


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def _answer(self, code: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/hub/api/batchspawner":
            self.server.ports.append(body["port"])
        self._answer(201, {})

    def do_GET(self) -> None:
        scopes = SCOPES.get(self.headers["Authorization"].removeprefix("token "))
        if scopes is None:
            self._answer(403, {"message": "no such token"})
        else:
            self._answer(200, {"name": "ann", "kind": "user", "scopes": scopes})

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Hub(ThreadingHTTPServer):
    """Takes every report of a port and knows two tokens."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ports: list[int] = []


@dataclass
class Notebook:
    """A server that runs, or did."""

    hub: Hub
    process: subprocess.Popen[bytes]
    home: Path
    answers: list[int] = field(default_factory=list)

    @property
    def log(self) -> str:
        return "\n".join(path.read_text() for path in (self.home / ".local/state/afhub").glob("*.log"))

    def get(self, path: str, token: str = "", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.ports[0], timeout=30)
        if token:
            headers["Authorization"] = f"token {token}"
        connection.request("GET", PREFIX + path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def ends(self, within_s: float = 15) -> int:
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {within_s} s\n{self.log}") from None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    """Starts a server and waits for its report."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
    api_url = f"http://127.0.0.1:{hub.server_address[1]}/hub/api"
    started: list[subprocess.Popen[bytes]] = []

    def one(more: str = "", *options: str, **environ: str) -> Notebook:
        process = subprocess.Popen(
            [sys.executable, "-c", more + PROGRAM, *options], stdin=subprocess.DEVNULL, cwd="/",
            env={
                "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "TEST_HOME": str(tmp_path),
                "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"), "AFHUB_PORT_RANGE": "20000-29999",
                "JUPYTERHUB_API_URL": api_url, "JUPYTERHUB_API_TOKEN": "own-token",
                "JUPYTERHUB_SERVICE_PREFIX": PREFIX, "JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_USER": "ann",
                "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ann",
                "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{PREFIX}oauth_callback",
                "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(["access:servers!server=ann/"]),
                "JUPYTERHUB_OAUTH_SCOPES": json.dumps(["access:servers!server=ann/"]),
                **environ,
            },
        )  # fmt: skip
        started.append(process)
        notebook = Notebook(hub, process, tmp_path)

        def reported() -> bool:
            assert process.poll() is None, f"ended with {process.returncode}\n{notebook.log}"
            return bool(hub.ports)

        wait_for("the server reports its port", reported, timeout_s=60, every_s=0.05)
        return notebook

    yield one
    for process in started:
        process.kill()
        process.wait()
    hub.shutdown()
    hub.server_close()


def test_only_its_user_gets_in(start: Callable[..., Notebook]) -> None:
    notebook = start()
    for path in ("api/contents", "api/kernels", "api/sessions", "api/kernelspecs", "api/terminals"):
        for token in ("", STRANGER, UNKNOWN, "own-token"):
            assert notebook.get(path, token).status == 403, f"{path} with {token!r}"
        assert notebook.get(path, OWNER).status == 200, path
    page = notebook.get("files/results.txt")
    assert (page.status, page.headers["Location"].partition("?")[0]) == (302, "/hub/api/oauth2/authorize")
    for path in ("api/events/subscribe", "api/kernels/00000000-0000-0000-0000-000000000000/channels"):
        assert notebook.get(path, STRANGER, **WEBSOCKET).status == 403, path


def test_the_report_is_repeated_until_somebody_knocks(start: Callable[..., Notebook]) -> None:
    notebook = start()
    wait_for("a second report", lambda: len(notebook.hub.ports) > 1, every_s=0.05)
    assert notebook.get("api").status == 200
    seen = len(notebook.hub.ports)
    for _ in range(20):
        assert notebook.get("api/status", OWNER).status == 200
    assert len(notebook.hub.ports) <= seen + 1
    assert len(set(notebook.hub.ports)) == 1


def test_it_ends_at_once_when_asked_amid_requests(start: Callable[..., Notebook]) -> None:
    notebook = start()
    enough = threading.Event()

    def ask() -> None:
        try:
            while True:
                notebook.answers.append(notebook.get("api").status)
                if len(notebook.answers) > 200:
                    enough.set()
        except (OSError, http.client.HTTPException):
            enough.set()

    asking = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in asking:
        thread.start()
    assert enough.wait(60)
    notebook.process.send_signal(signal.SIGTERM)
    assert notebook.ends() == 0
    assert "Traceback" not in notebook.log
    for thread in asking:
        thread.join(30)


def test_a_thread_that_hangs_does_not_keep_it(start: Callable[..., Notebook]) -> None:
    hang = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    notebook = start(hang)
    notebook.process.send_signal(signal.SIGTERM)
    assert notebook.ends() == 0


def test_open_labs_save_before_it_ends(start: Callable[..., Notebook], tmp_path: Path) -> None:
    (tmp_path / "job.ad").write_text("ClusterId = 7\nJobMaxVacateTime = 15\n")
    notebook = start(
        "", "--ServerApp.jpserver_extensions=jupyter_afhub=True",
        _CONDOR_JOB_AD=str(tmp_path / "job.ad"), AFHUB_CLASS="regular",
    )  # fmt: skip
    address = f"127.0.0.1:{notebook.hub.ports[0]}{PREFIX}api/afhub/v1"
    assert notebook.get("api/afhub/v1/info").status == 403
    assert notebook.get("api/afhub/v1/info", OWNER).status == 200
    assert notebook.get("api/afhub/v1/stream", STRANGER, **WEBSOCKET).status == 403
    lab = websocket.create_connection(
        f"ws://{address}/stream", header=[f"Authorization: token {OWNER}"], timeout=15, suppress_origin=True
    )

    def hears(kind: str) -> dict[str, Any]:
        while True:
            message = dict(json.loads(lab.recv()))
            if message["type"] == kind:
                return message

    assert hears("info")["info"]["job"]["id"] == "7.0"
    notebook.process.send_signal(signal.SIGTERM)
    asked = hears("save")
    assert asked["deadline_s"] == 10
    document = {
        "type": "document", "save_id": asked["id"], "path": "typed.txt", "doc_type": "file", "format": "text",
        "content": "typed, not saved", "last_modified": None,
    }  # fmt: skip
    lab.send(json.dumps(document))
    assert hears("document_saved")["saved_as"] == "typed.txt"
    lab.send(json.dumps({"type": "saved", "save_id": asked["id"], "documents": 1, "failed": []}))
    assert notebook.ends() == 0
    assert (notebook.home / "typed.txt").read_text() == "typed, not saved"
    assert "Traceback" not in notebook.log


def test_nobody_else_can_read_what_it_leaves(start: Callable[..., Notebook]) -> None:
    notebook = start()
    readable = [
        path for path in notebook.home.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077 and b"own-token" in path.read_bytes()
    ]  # fmt: skip
    assert not readable
    assert (notebook.home / "runtime").exists()
