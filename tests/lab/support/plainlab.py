"""A plain JupyterLab that runs outside any pool, with files and a log of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests


@dataclass(frozen=True)
class Environment:
    """A Python environment with JupyterLab, Notebook and our wheel."""

    prefix: Path

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a Python module there."""
        return subprocess.run(
            [self.prefix / "bin/python", "-m", *command],
            env=self.variables(),
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def variables(self) -> dict[str, str]:
        """The environment of a user who knows of no job and no hub."""
        plain = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("_CONDOR_", "JUPYTER", "AFHUB_", "PYTHON"))
        }
        # JupyterLab's own files are where the tests' tools are, everything else in the new environment.
        return {**plain, "JUPYTERLAB_DIR": str(Path(sys.prefix) / "share/jupyter/lab")}


@dataclass
class Server:
    """A running JupyterLab, with its files in `home`."""

    url: str
    token: str
    home: Path
    log: Path
    process: subprocess.Popen[bytes]

    def address(self, path: str = "lab?reset") -> str:
        """An address of it that needs no log-in."""
        return f"{self.url}{path}{'&' if '?' in path else '?'}token={self.token}"

    def api(self, method: str, path: str, **options: Any) -> requests.Response:
        """One call of its API."""
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"token {self.token}"}
            return session.request(method, f"{self.url}{path}", headers=headers, timeout=20, **options)

    def answers(self) -> bool:
        """Whether it is up; raises where it has ended."""
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")[-3000:]
        try:
            return self.api("GET", "api/status").status_code == 200
        except requests.ConnectionError:
            return False

    def say(self, **asked: Any) -> dict[str, Any]:
        """Tells the fake what to say or to be; see support/fake_afhub.py."""
        answer = self.api("POST", "fake", json=asked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """What the Lab told the fake of this type."""
        heard = self.api("GET", "fake").json()["heard"]
        return [message for message in heard if message["type"] == kind]


Start = Callable[..., Server]
