"""Fixtures of the notebook's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from absences import Absence, without_hub, without_shadow
from fake_chirp import FakeChirp
from job_server import JobServer


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for minutes to pass comes last."""
    items.sort(key=lambda item: "absences" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def begin_absences(request: pytest.FixtureRequest) -> None:
    """Minutes that some tests need begin before the first one, and pass beside the others."""
    if any("absences" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("absences")


@pytest.fixture(scope="session")
def absences(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Absence]]:
    """Notebooks whose shadow or hub went away when the tests began."""
    with (
        without_shadow(tmp_path_factory.mktemp("shadow-away")) as shadow,
        without_hub(tmp_path_factory.mktemp("hub-away")) as hub,
    ):
        yield {"shadow": shadow, "hub": hub}


@pytest.fixture(scope="session")
def absences_over(absences: dict[str, Absence]) -> dict[str, Absence]:
    """The same when five minutes are over: both are back."""
    for absence in absences.values():
        absence.wait_until_over()
    return absences


@pytest.fixture
def job_server(tmp_path: Path) -> Iterator[Callable[..., JobServer]]:
    """Starts a Jupyter server in what it takes for a job."""
    started: list[JobServer] = []

    def start(**options: Any) -> JobServer:
        server = JobServer(tmp_path, **options)
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
