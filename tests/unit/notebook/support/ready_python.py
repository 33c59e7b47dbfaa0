"""A Python that has imported what a Jupyter server imports, and forks one in no time.

A server of its own for each test costs 1.5 s of CPU, most of it for the same imports again and again. What is forked is
a process as any other: with an environment, a working folder, a log and signals of its own, and ended as Python ends.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# What a server would import in its first second; what is not in this list is imported by each of them.
IMPORTS = (
    "jupyter_server.serverapp", "jupyter_server.extension.application", "jupyter_server.files.handlers",
    "jupyter_server.kernelspecs.handlers", "jupyter_server.nbconvert.handlers", "jupyter_server.view.handlers",
    *(
        f"jupyter_server.services.{name}.handlers"
        for name in (
            "api", "config", "contents", "events", "kernels", "kernelspecs", "nbconvert", "security", "sessions",
        )
    ),
    "jupyter_server.services.shutdown", "jupyter_server_terminals.app", "jupyter_resource_usage.server_extension",
    "jupyter_afhub.chirp", "jupyter_afhub.extension", "jupyter_afhub.hublink", "htchirp", "IPython",
)  # fmt: skip

IMPORT_A_SERVER = f"""
import importlib
from jupyter_afhub import imports
with imports.absent(*imports.FORMATS):
    importlib.import_module("jsonschema")
for name in {IMPORTS}:
    importlib.import_module(name)
"""


class Child:
    """A process that was forked: as much of subprocess.Popen as the tests need."""

    def __init__(self, parent: ReadyPython, pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._parent.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Its exit status; subprocess.TimeoutExpired where there is none in time."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a Jupyter server", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        # Until its status was asked for, nobody else gets its number.
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ReadyPython:
    """The one that forks."""

    def __init__(self, before: str = IMPORT_A_SERVER) -> None:
        """`before`: what it does before the first one is wanted."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, before], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip

    def start(
        self, program: str, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> Child:
        """Run a program as `python -c` does; what it says is added to `log`."""
        job = {
            "program": program, "arguments": list(arguments), "env": dict(env), "cwd": str(cwd), "log": str(log),
        }  # fmt: skip
        return Child(self, self.ask(job))

    def ask(self, question: Mapping[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def _status(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _await_job() -> dict[str, Any]:
    """Answers questions; returns in each child, with what it has to do. The parent ends with its last question."""
    children: set[int] = set()
    while line := sys.stdin.buffer.readline():
        question = json.loads(line)
        answer: int | None
        if "ended" in question:
            answer = _status(question["ended"])
            if answer is not None:
                children.discard(question["ended"])
        else:
            answer = os.fork()
            if answer == 0:
                return dict(question)
            children.add(answer)
        os.write(1, json.dumps(answer).encode() + b"\n")
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    sys.exit(0)


def _become(job: Mapping[str, Any]) -> None:
    """Puts a child where a Python of its own would be."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    first = job["env"].get("PYTHONPATH", "").split(":")
    sys.path[:] = [*first, *(path for path in sys.path[1:] if path not in first)]
    sys.argv[:] = ["-c", *job["arguments"]]


if __name__ == "__main__":
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(sys.argv[1], names)  # noqa: S102 - what a test wants to run
    assert threading.active_count() == 1, (
        "what was imported has started a thread; it would be missing in a child"
    )
    gc.collect()
    gc.freeze()
    todo = _await_job()
    _become(todo)
    exec(todo["program"], names)  # noqa: S102 - what a test wants to run
