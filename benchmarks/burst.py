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


def _connect(user: HubUser) -> requests.Session:
    """A connection to the hub that is open already, as that of a browser that shows the page with the button."""
    session = requests.Session()
    # REQUESTS_CA_BUNDLE of the surroundings would win.
    session.trust_env = False
    session.verify = str(user.pool.ca_file)
    session.headers["Authorization"] = f"token {user.token}"
    session.get(f"{user.pool.url}/hub/api/user", timeout=PATIENCE_S).raise_for_status()
    return session


def _start(session: requests.Session, user: HubUser, name: str) -> tuple[float, float]:
    """Asks for a server; returns when that was, and when the server was ready."""
    url = f"{user.pool.url}/hub/api/users/{user.name}/servers/{name}"
    at = time.monotonic()
    answer = session.post(url, json={"notebook_class": "regular"}, timeout=PATIENCE_S)
    if answer.status_code == 201:
        return at, time.monotonic()
    if answer.status_code != 202:
        raise RuntimeError(f"{name} of {user.name}: {answer.status_code} {answer.text}")
    # The hub did not want to keep this waiting any longer: it tells the rest as it does to the page that waits.
    with session.get(f"{url}/progress", stream=True, timeout=PATIENCE_S) as progress:
        for line in progress.iter_lines(chunk_size=1):
            told = json.loads(line.partition(b":")[2]) if line.startswith(b"data:") else {}
            if told.get("ready"):
                return at, time.monotonic()
            if told.get("failed"):
                raise RuntimeError(f"{name} of {user.name}: {told}")
    raise RuntimeError(f"{name} of {user.name} is not ready after {PATIENCE_S} s")


def measure(users: Sequence[HubUser], clicks: int, look: Callable[[], T]) -> tuple[Burst, T, T]:
    """One burst, shared out among the users, and what `look` sees before it and when all are ready."""
    wanted = [(users[number % len(users)], f"bench{number}") for number in range(clicks)]
    sessions = [_connect(user) for user, _ in wanted]
    before = look()
    try:
        with ThreadPoolExecutor(clicks) as threads:
            starts = [
                threads.submit(_start, session, *one) for session, one in zip(sessions, wanted, strict=True)
            ]
            moments = [start.result() for start in starts]
        after = look()
    finally:
        stop_all(users)
        for session in sessions:
            session.close()
    asked_at, ready_at = zip(*moments, strict=True)
    begun = min(asked_at)
    return Burst(max(asked_at) - begun, tuple(sorted(at - begun for at in ready_at))), before, after


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
