"""Fixtures for the hub's unit tests."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from afhub.pool import Pool
from afhub.settings import Settings, parse
from hub_fakes import SETTINGS, FakeCondor, Hub


@pytest.fixture
def data() -> dict[str, Any]:
    """The settings as decoded JSON, to be changed by a test."""
    return copy.deepcopy(SETTINGS)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return parse(copy.deepcopy(SETTINGS))


@pytest.fixture
def condor() -> FakeCondor:
    return FakeCondor()


@pytest.fixture
def pool(settings: Settings, condor: FakeCondor) -> Pool:
    return Pool(settings, schedd=condor, collector=condor, event_log=condor)


@pytest.fixture
def followed_settings(data: dict[str, Any], condor: FakeCondor, tmp_path: Path) -> Settings:
    """Settings of a hub whose schedd writes an event log."""
    condor.log = tmp_path / "EventLog"
    condor.log.touch()
    data["condor"]["event_log"] = str(condor.log)
    return parse(data)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of the hub that would only slow tests down."""
    monkeypatch.setattr("afhub.pool.WATCH_S", 0.01)
    monkeypatch.setattr("afhub.pool.PAUSE_S", 0.02)
    monkeypatch.setattr("afhub.spawner.WATCH_S", 0.01)
    monkeypatch.setattr("afhub.spawner.START_AGE_S", 0.02)
    monkeypatch.setattr("afhub.spawner.POLL_AGE_S", 0.0)
    monkeypatch.setattr("afhub.spawner.STOP_WAIT_S", 0.5)
    monkeypatch.setattr("afhub.spawner.BACK_S", 0.2)


@pytest.fixture
def known_accounts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Accounts of the host by name, with their numbers."""
    known = {"alice": 1001, "bob": 1002, "root": 0, "daemon": 2, "nobody": 65534}

    def getpwnam(name: str) -> SimpleNamespace:
        return SimpleNamespace(
            pw_name=name, pw_uid=known[name], pw_dir=f"/home/{name}", pw_shell="/bin/bash", pw_gid=known[name]
        )

    monkeypatch.setattr("pwd.getpwnam", getpwnam)
    return known


@pytest.fixture
def hub(settings: Settings, pool: Pool, known_accounts: dict[str, int]) -> Hub:
    return Hub(settings, pool)


@pytest.fixture
def followed(
    followed_settings: Settings, condor: FakeCondor, known_accounts: dict[str, int], quick: None
) -> Hub:
    """A hub that follows the event log."""
    return Hub(followed_settings, Pool(followed_settings, schedd=condor, collector=condor, event_log=condor))
