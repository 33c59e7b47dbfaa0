"""What all end-to-end tests share. Notebooks that one test started are used again by the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hubclient import HubUser


@pytest.fixture(scope="module", autouse=True)
def named_notebooks_are_gone(alice: HubUser, bob: HubUser) -> Iterator[None]:
    """A user may have few names: those of one file's tests are free again for the next."""
    yield
    for user in (alice, bob):
        user.stop_all(but_the_default=True)
