"""Waiting for what JupyterHub announces to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], every_s: float = 0.1) -> None:
    """Return as soon as ``condition`` holds; it is looked at every ``every_s`` seconds."""
    while True:
        if condition():
            return
        await asyncio.sleep(every_s)
