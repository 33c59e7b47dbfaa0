"""Order of the end-to-end tests. Notebooks that one test started are used again by the next."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that deploy come last: they stop the notebooks that others share."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
