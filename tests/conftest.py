"""Fixtures that all tests share. Those for a running mini-pool find it by the environment variable INSTANCE."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hubclient import HubUser

from minipool import Minipool


@pytest.fixture(scope="session")
def pool() -> Minipool:
    """The mini-pool of this run (``INSTANCE``, default ``test``)."""
    return Minipool.from_environment()


def _logged_in(pool: Minipool, name: str) -> Iterator[HubUser]:
    user = HubUser(pool, name)
    user.login()
    assert user.token, f"{name} cannot log in"
    user.stop_all()
    yield user
    user.stop_all()


@pytest.fixture(scope="session")
def alice(pool: Minipool) -> Iterator[HubUser]:
    """alice, logged in. All her notebooks are stopped before the first and after the last test."""
    yield from _logged_in(pool, "alice")


@pytest.fixture(scope="session")
def bob(pool: Minipool) -> Iterator[HubUser]:
    """bob, logged in. All his notebooks are stopped before the first and after the last test."""
    yield from _logged_in(pool, "bob")


@pytest.fixture
def alices_notebook(alice: HubUser) -> HubUser:
    """alice, with a notebook of the class regular running as her default server."""
    alice.running("regular")
    return alice


@pytest.fixture
def bobs_notebook(bob: HubUser) -> HubUser:
    """bob, with a notebook of the class regular running as his default server."""
    bob.running("regular")
    return bob
