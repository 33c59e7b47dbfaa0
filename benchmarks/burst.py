"""Twenty clicks within a second: twenty servers asked for at once over the hub's REST API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import requests
from hubclient import HubUser

from minipool import Minipool, wait_for

T = TypeVar("T")

PATIENCE_S = 180


@dataclass(frozen=True)
class Burst:
    """asked_s: until the last click was made; ready_s: when each server was ready; both from the first click on."""

    asked_s: float
    ready_s: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Until all were ready."""
        return max(self.ready_s)


def _click(user: HubUser, name: str) -> float:
    """Asks for a server; returns when that was."""
    at = time.monotonic()
    answer = user.api("POST", f"/users/{user.name}/servers/{name}", json={"notebook_class": "regular"})
    if answer.status_code not in (201, 202):
        raise RuntimeError(f"{name} of {user.name}: {answer.status_code} {answer.text}")
    return at


def _ready(user: HubUser, name: str) -> float:
    """Follows a start's progress as the page that waits does; returns when the server was ready."""
    url = f"{user.pool.url}/hub/api/users/{user.name}/servers/{name}/progress"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with requests.get(
            url, headers={"Authorization": f"token {user.token}"}, verify=str(user.pool.ca_file), stream=True,
            timeout=PATIENCE_S,
        ) as answer:  # fmt: skip
            for line in answer.iter_lines():
                if not line.startswith(b"data:"):
                    continue
                told = json.loads(line.partition(b":")[2])
                if told.get("ready"):
                    return time.monotonic()
                if told.get("failed"):
                    raise RuntimeError(f"{name} of {user.name}: {told}")
        # Before the start has begun there is no progress to follow.
        time.sleep(0.05)
    raise RuntimeError(f"{name} of {user.name} is not ready after {PATIENCE_S} s")


def measure(users: Sequence[HubUser], clicks: int, look: Callable[[], T]) -> tuple[Burst, T]:
    """One burst, shared out among the users, and what `look` sees when all are ready; all are stopped afterwards."""
    wanted = [(users[number % len(users)], f"bench{number}") for number in range(clicks)]
    try:
        with ThreadPoolExecutor(2 * clicks) as threads:
            asked = [threads.submit(_click, *one) for one in wanted]
            ready = [threads.submit(_ready, *one) for one in wanted]
            asked_at = [one.result() for one in asked]
            ready_at = [one.result() for one in ready]
        seen = look()
    finally:
        stop_all(users)
    begun = min(asked_at)
    return Burst(max(asked_at) - begun, tuple(sorted(at - begun for at in ready_at))), seen


def stop_all(users: Sequence[HubUser]) -> None:
    """Stops all servers of the users at once, and waits until they are gone."""
    for user in users:
        answer = user.api("GET", f"/users/{user.name}?include_stopped_servers")
        answer.raise_for_status()
        names = [name for name in answer.json()["servers"] if name]
        with ThreadPoolExecutor(10) as threads:
            list(threads.map(lambda name, user=user: user.stop(name, timeout_s=PATIENCE_S), names))


def empty(pool: Minipool) -> None:
    """Waits until the hub's schedd has no job and all slots are free again."""
    wait_for("the queue of notebooks is empty", lambda: not pool.queue(), timeout_s=PATIENCE_S)
    wait_for(
        "all slots are free",
        lambda: all(slot["State"] == "Unclaimed" for slot in pool.slots()),
        timeout_s=PATIENCE_S,
        every_s=1,
    )
