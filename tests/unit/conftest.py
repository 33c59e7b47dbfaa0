"""What all unit tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from jupyter_afhub import imports

# One of them takes a second to import, in each process of the tests. In a notebook they are absent as well.
with imports.absent(*imports.FORMATS):
    import jsonschema  # noqa: F401

# How long one example takes is the machine's affair.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more process than cores: some of them wait for a server at any time."""
    return len(os.sched_getaffinity(0)) + 1
