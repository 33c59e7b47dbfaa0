"""Fixtures that all tests share. Those for a running mini-pool find it by the environment variable INSTANCE."""

from __future__ import annotations

import pytest

from minipool import Minipool


@pytest.fixture(scope="session")
def pool() -> Minipool:
    """The mini-pool of this run (``INSTANCE``, default ``test``)."""
    return Minipool.from_environment()
