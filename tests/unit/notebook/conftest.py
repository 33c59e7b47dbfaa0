"""Fixtures of the notebook's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_chirp import FakeChirp
from job_server import JobServer
from ready_python import ReadyPython


@pytest.fixture(scope="session")
def ready_python() -> Iterator[ReadyPython]:
    """Starts servers that need not import everything once more."""
    ready = ReadyPython()
    yield ready
    ready.close()


@pytest.fixture
def job_server(ready_python: ReadyPython, tmp_path: Path) -> Iterator[Callable[..., JobServer]]:
    """Starts a Jupyter server in what it takes for a job."""
    started: list[JobServer] = []

    def start(**options: Any) -> JobServer:
        server = JobServer(ready_python, tmp_path, **options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def chirp() -> Iterator[FakeChirp]:
    """A stand-in for the starter's Chirp."""
    fake = FakeChirp()
    yield fake
    fake.close()
