"""Fixtures that all tests share. Those for a running mini-pool find it by the environment variable INSTANCE."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hubclient import HubUser
from pools import OnPools

from minipool import Minipool


def pytest_configure(config: pytest.Config) -> None:
    """The tests on a running pool have rules of their own."""
    config.pluginmanager.register(OnPools(config), "pools")


@pytest.fixture(scope="session")
def pool() -> Minipool:
    """The mini-pool of this run (``INSTANCE``, default ``test``)."""
    return Minipool.from_environment()


def _logged_in(request: pytest.FixtureRequest, pool: Minipool, name: str) -> Iterator[HubUser]:
    user = HubUser(pool, name)
    # A pool that is made anew in the middle knows nobody.
    plugin = request.config.pluginmanager.get_plugin("pools")
    assert isinstance(plugin, OnPools)
    plugin.users.append(user)
    user.login()
    assert user.token, f"{name} cannot log in"
    user.stop_all()
    yield user
    user.stop_all()


@pytest.fixture(scope="session")
def alice(request: pytest.FixtureRequest, pool: Minipool) -> Iterator[HubUser]:
    """alice, logged in. All her notebooks are stopped before the first and after the last test."""
    yield from _logged_in(request, pool, "alice")


@pytest.fixture(scope="session")
def bob(request: pytest.FixtureRequest, pool: Minipool) -> Iterator[HubUser]:
    """bob, logged in. All his notebooks are stopped before the first and after the last test."""
    yield from _logged_in(request, pool, "bob")


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
