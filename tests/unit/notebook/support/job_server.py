"""A real Jupyter server, in a process of its own, with the files and variables that HTCondor gives a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
import websocket

from minipool import wait_for
from passing_time import PassingTime
from ready_python import Child, ReadyPython

TOKEN = "token-of-a-test"
API = "api/afhub/v1"

JOB_AD = """
ClusterId = 7
ProcId = 0
Owner = "ann"
AfhubClass = "regular"
AfhubMemoryLimitMb = 4096
RequestMemory = 1536
RequestCpus = 2
AllowedJobDuration = 43200
JobMaxVacateTime = 10
Requirements = stringListMember(MY.AfhubClass, TARGET.AfhubClasses ?: "")
"""
MACHINE_AD = """
Name = "slot1@notebooks@w.test"
Machine = "w.test"
CondorVersion = "$CondorVersion: 23.9.6 2024-08-08 BuildID: Debian $"
"""

PROGRAM = """
import json, os, pathlib, sys
from jupyter_afhub import chirp, clients, extension, monitor
monitor.SAMPLE_S = 0.5
extension.START_AFTER_S = 0.05
if clock := os.environ.pop("TEST_CLOCK", ""):
    from passing_time import PassingTime
    extension.CLOCK = PassingTime(pathlib.Path(clock))
exec(os.environ.pop("TEST_PROGRAM", ""))
from jupyter_server.serverapp import ServerApp
ServerApp.launch_instance(sys.argv[1:])
"""


class Tab:
    """One open Lab, as far as the extension knows: its websocket."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(
            url, header=[f"Authorization: token {TOKEN}"], timeout=20, suppress_origin=True
        )
        self.messages: list[dict[str, Any]] = []

    def say(self, kind: str, /, **content: Any) -> None:
        self._socket.send(json.dumps({"type": kind, **content}))

    def hears(self, kind: str, /, within_s: float = 20, **content: Any) -> dict[str, Any]:
        """The next message of a kind, with these values at its top."""
        deadline = time.monotonic() + within_s
        while True:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"no {kind} {content} within {within_s} s, but {self.messages[-5:]}"
            self._socket.settimeout(left_s)
            try:
                text = self._socket.recv()
            except websocket.WebSocketTimeoutException:
                continue
            message = json.loads(text)
            self.messages.append(message)
            if message["type"] == kind and all(message.get(name) == value for name, value in content.items()):
                return dict(message)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """What it has received of a kind until now, including what arrives within the next two looks."""
        self._socket.settimeout(1.2)
        try:
            while True:
                self.messages.append(json.loads(self._socket.recv()))
                if (
                    self.messages[-1]["type"] == "info"
                    and self.messages[-2:-1]
                    and self.messages[-2]["type"] == "info"
                ):
                    break
        except (websocket.WebSocketTimeoutException, websocket.WebSocketConnectionClosedException):
            pass
        return [message for message in self.messages if message["type"] == kind]

    def close(self) -> None:
        self._socket.close()


class JobServer:
    """A server that runs, or did."""

    def __init__(
        self, python: ReadyPython, folder: Path, *, job_ad: str | None = JOB_AD,
        environ: Mapping[str, str | None] | None = None, program: str = "", own_time: bool = False,
    ) -> None:  # fmt: skip
        """`own_time`: its way to its site goes by `clock`, which a test can move on."""
        self.folder = folder
        self._python = python
        self.clock = PassingTime(folder / "clock")
        self.home = folder / "home"
        self.scratch = folder / "scratch"
        for path in (self.home, self.scratch, folder / "config"):
            path.mkdir(exist_ok=True)
        if job_ad is not None:
            (self.scratch / ".job.ad").write_text(job_ad)
            (self.scratch / ".machine.ad").write_text(MACHINE_AD)
        # No Lab around it: those that the tools of the tests bring have tests of their own, in tests/lab.
        extensions = {
            "jupyter_afhub": True, "jupyter_resource_usage": True,
            "jupyter_lsp": False, "jupyterlab": False, "notebook": False, "notebook_shim": False,
        }  # fmt: skip
        config = {"ServerApp": {"jpserver_extensions": extensions}}
        (folder / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
        variables: dict[str, str | None] = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": ":".join(sys.path),
            "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "_CONDOR_SCRATCH_DIR": str(self.scratch), "_CONDOR_JOB_AD": str(self.scratch / ".job.ad"),
            "_CONDOR_MACHINE_AD": str(self.scratch / ".machine.ad"), "_CONDOR_SLOT": "slot1",
            "TEST_PROGRAM": program, "TEST_CLOCK": str(folder / "clock") if own_time else "", **(environ or {}),
        }  # fmt: skip
        self.environ = {name: value for name, value in variables.items() if value is not None}
        self.process: Child | None = None
        self.port = 0
        self._tabs: list[Tab] = []

    def start(self) -> None:
        self.process = self._python.start(
            PROGRAM,
            [
                "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={TOKEN}",
                f"--ServerApp.root_dir={self.home}",
            ],
            env=self.environ, cwd=self.home, log=self.folder / "log",
        )  # fmt: skip

        def listens() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log
            for path in (self.folder / "runtime").glob(f"jpserver-{self.process.pid}.json"):
                self.port = json.loads(path.read_text() or "{}").get("port", 0)
            return self.port > 0 and self.status("api/status") == 200

        wait_for("the server listens", listens, timeout_s=60, every_s=0.1)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _ask(self, method: str, path: str, token: str = TOKEN, body: object = None) -> requests.Response:
        return requests.request(
            method, f"http://127.0.0.1:{self.port}/{path}", headers={"Authorization": f"token {token}"}, json=body,
            timeout=20, allow_redirects=False,
        )  # fmt: skip

    def status(self, path: str, token: str = TOKEN) -> int:
        try:
            return self._ask("GET", path, token).status_code
        except requests.ConnectionError:
            return 0

    def get(self, path: str) -> Any:
        answer = self._ask("GET", path)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: object) -> Any:
        answer = self._ask("POST", path, body=body)
        answer.raise_for_status()
        return answer.json()

    def info(self) -> dict[str, Any]:
        return dict(self.get(f"{API}/info"))

    def tab(self) -> Tab:
        tab = Tab(f"ws://127.0.0.1:{self.port}/{API}/stream")
        self._tabs.append(tab)
        return tab

    def session(self, path: str = "analysis.ipynb") -> str:
        """Open a notebook with a kernel; returns the kernel's id."""
        body = {"path": path, "type": "notebook", "name": path, "kernel": {"name": "python3"}}
        return str(self.post("api/sessions", body)["kernel"]["id"])

    def execute(self, kernel: str, code: str) -> None:
        """Start code in a kernel; does not wait for its end."""
        url = f"ws://127.0.0.1:{self.port}/api/kernels/{kernel}/channels"
        channel = websocket.create_connection(
            url, header=[f"Authorization: token {TOKEN}"], timeout=30, suppress_origin=True
        )
        header = {"msg_id": "1", "msg_type": "execute_request", "session": "s", "username": "ann", "version": "5.3",
                  "date": "2026-01-01T00:00:00Z"}  # fmt: skip
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        }
        channel.send(
            json.dumps(
                {
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                }
            )
        )
        while True:
            message = json.loads(channel.recv())
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "busy":
                break
        channel.close()

    def ends(self, within_s: float = 30) -> int:
        assert self.process is not None
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {within_s} s\n{self.log}") from None

    def stop(self) -> None:
        for tab in self._tabs:
            tab.close()
        if self.process:
            if self.process.poll() is None:
                # Kernels end with the server that is asked to, not with one that is killed.
                self.process.terminate()
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    self.process.kill()
            self.process.wait()
