"""Starts notebook servers by hand on a worker, as a user with a shell there would, and says when they answer.

Runs on a worker as that user, with nothing but the system's Python. It speaks lines of JSON: a request on its
standard input, one or more answers on its standard output; times are seconds since 1970. It is also the stand-in for
a hub that `afhub-notebook` needs: it takes the report of the port and knows one token, and does nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BIN = "/opt/afhub/env/current/bin"
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60.0
#: How often a port is tried that nobody listens on yet. Trying costs the server less than one percent of a core.
TRY_EVERY_S = 0.01

TOKEN = secrets.token_hex(16)

_speaking = threading.Lock()


def say(**what: Any) -> None:
    """One answer."""
    with _speaking:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the program's name, which may hold spaces; the first is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(stat_of(int(entry.name))[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_s(root: int) -> float:
    """CPU seconds, user and system, of a process and its descendants, those that have ended included."""
    ticks = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            ticks += sum(int(value) for value in stat_of(pid)[11:15])
    return ticks / TICKS


def began_at(pid: int) -> float:
    """When a process was started."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + int(stat_of(pid)[19]) / TICKS


def environment_of(pid: int) -> dict[str, str]:
    """The variables that a process was started with."""
    text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def notebooks() -> list[tuple[float, int, dict[str, str]]]:
    """This user's notebook servers that are jobs: when started, process, variables; the newest last."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            pid = int(entry.name)
            variables = environment_of(pid)
            if "_CONDOR_JOB_AD" in variables and "JUPYTERHUB_API_TOKEN" in variables:
                found.append((began_at(pid), pid, variables))
    # Kernels and helpers inherit the variables; the server is the eldest of each job.
    eldest = {
        item[2]["_CONDOR_JOB_AD"]: item for item in sorted(found, key=lambda item: item[:2], reverse=True)
    }
    return sorted(eldest.values(), key=lambda item: item[:2])


class StandIn(BaseHTTPRequestHandler):
    """What a server asks of its hub, answered with yes."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: standard error belongs to what goes wrong."""

    def _answer(self, status: int, what: Any) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Who the token belongs to."""
        if self.headers.get("Authorization", "").split() not in (["token", TOKEN], ["Bearer", TOKEN]):
            self._answer(403, {"status": 403, "message": "another token"})
            return
        name = os.environ["USER"]
        scopes = [f"access:servers!server={name}/", f"access:servers!user={name}"]
        self._answer(
            200,
            {
                "kind": "user",
                "name": name,
                "admin": False,
                "groups": [],
                "scopes": scopes,
                "session_id": None,
            },
        )

    def do_POST(self) -> None:
        """The report of the port, and of activity."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/batchspawner"):
            say(event="port", port=json.loads(body)["port"], at=time.time())
        self._answer(201, {})


def first_answer(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    """Waits until the server answers a request with 200."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            connection.request("GET", path)
            status = connection.getresponse().status
            connection.close()
        except OSError:
            time.sleep(TRY_EVERY_S)
            continue
        if status == 200:
            return
        raise RuntimeError(f"{path} is answered with {status}")
    raise RuntimeError(f"no answer within {PATIENCE_S:.0f} s")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Agent:
    """One server at a time."""

    def __init__(self) -> None:
        self.hub = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
        threading.Thread(target=self.hub.serve_forever, daemon=True).start()
        self.process: subprocess.Popen[bytes] | None = None
        # Until a notebook was seen: what a login gives.
        self.variables = dict(os.environ)

    def see(self, _: dict[str, Any]) -> None:
        """The user's newest notebook here; servers that are started by hand get what the hub gave that one."""
        found = notebooks()
        if not found:
            say(event="seen", at=None)
            return
        began, pid, variables = found[-1]
        if variables["JUPYTERHUB_API_URL"].startswith("https"):
            self.variables = {
                key: value for key, value in variables.items() if not key.startswith("_CONDOR_")
            }
        say(event="seen", at=began, pid=pid, cpu_s=cpu_s(pid))

    def start(self, request: dict[str, Any]) -> None:
        """Starts a server and says when it answers its first request."""
        if self.process is not None:
            raise RuntimeError("a server runs already")
        port = free_port()
        variables = dict(self.variables)
        if request["program"] == "afhub-notebook":
            prefix = variables.get("JUPYTERHUB_SERVICE_PREFIX", f"/user/{os.environ['USER']}/")
            variables |= {
                "AFHUB_PORT_RANGE": f"{port}-{port}",
                "JUPYTERHUB_ALLOW_TOKEN_IN_URL": "1",
                "JUPYTERHUB_API_TOKEN": TOKEN,
                "JUPYTERHUB_API_URL": f"http://127.0.0.1:{self.hub.server_port}/hub/api",
                "JUPYTERHUB_SERVICE_PREFIX": prefix,
            }
            command = [f"{BIN}/afhub-notebook"]
        else:
            prefix = "/"
            variables = {key: value for key, value in variables.items() if not key.startswith("JUPYTERHUB_")}
            command = [
                f"{BIN}/jupyter-lab",
                "--no-browser",
                "--ip=0.0.0.0",
                f"--port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={TOKEN}",
                f"--ServerApp.root_dir={os.environ['HOME']}",
            ]
        begun = time.time()
        self.process = subprocess.Popen(
            command, env=variables, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        first_answer(port, f"{prefix}api", self.process)
        answered = time.time()
        say(event="answers", began=begun, at=answered, cpu_s=cpu_s(self.process.pid))

    def stop(self, _: dict[str, Any]) -> None:
        """Ends the server, if one runs."""
        if self.process is not None:
            process, self.process = self.process, None
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        say(event="stopped", at=time.time())


def main() -> None:
    """Answers requests until there are no more."""
    agent = Agent()
    say(event="here", at=time.time(), token=TOKEN)
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                {"see": agent.see, "start": agent.start, "stop": agent.stop}[request["do"]](request)
            except (OSError, RuntimeError) as error:
                say(event="failed", do=request["do"], why=str(error))
    finally:
        agent.stop({})


if __name__ == "__main__":
    main()
