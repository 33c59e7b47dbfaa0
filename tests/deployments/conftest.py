"""The tests of this folder share what they deploy, and with it one pool: a deployment takes a minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hubclient import HubUser
from otherinventory import BRIEF, TINY, Deployed, classes_of_slots, deploy, job_of_large, put_back, variables

from minipool import Minipool, wait_for

# First the tests with neither fixture, then those of the one, then of the other.
DEPLOYMENTS = ("changed_inventory", "inventory_as_it_was")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the tests by what has to be deployed for them; those of other folders stay where they are."""

    def rank(item: pytest.Item) -> tuple[bool, ...]:
        fixtures = getattr(item, "fixturenames", ())
        return tuple(name in fixtures for name in reversed(DEPLOYMENTS))

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def named_notebooks_are_gone(alice: HubUser, bob: HubUser) -> Iterator[None]:
    """No notebook is left of them."""
    yield
    for user in (alice, bob):
        user.stop_all(but_the_default=True)


@pytest.fixture(scope="session")
def changed_inventory(
    pool: Minipool, alice: HubUser, bob: HubUser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Another inventory is deployed; each deployment takes more than a minute, so that tests share it."""
    for user in (alice, bob):
        user.stop_all()
    alice.running("large", "large")
    before = job_of_large(pool)
    file = tmp_path_factory.mktemp("inventory") / "changed.yml"
    file.write_text(yaml.safe_dump(variables(pool)))
    try:
        deploy(pool, "-e", f"@{file}")
        wait_for(
            "the workers offer slots of both classes",
            lambda: {TINY["name"], BRIEF["name"]} <= classes_of_slots(pool),
            timeout_s=90,
        )
        wait_for("the hub answers", lambda: alice.api("GET", "/user").status_code == 200)
        yield Deployed(file, before)
    finally:
        for user in (alice, bob):
            user.stop_all()
        put_back(pool, alice)


@pytest.fixture(scope="session")
def inventory_as_it_was(
    pool: Minipool, changed_inventory: Deployed, alice: HubUser, bob: HubUser
) -> dict[str, Any]:
    """The inventory is as before again; gives the job of a notebook "large" of alice's that ran meanwhile."""
    for user in (alice, bob):
        user.stop_all()
    alice.running("large", "large")
    before = job_of_large(pool)
    put_back(pool, alice)
    return before
