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

from benchmarks import attempts
from benchmarks.attempts import DidNotStartError, Failed
from minipool import Minipool, wait_for

T = TypeVar("T")

PATIENCE_S = 180


@dataclass(frozen=True)
class Burst:
    """asked_s: until the last click was made; ready_s: when each server was ready; both from the first click on.

    failed: the servers that did not start.
    """

    asked_s: float
    ready_s: tuple[float, ...]
    failed: tuple[Failed, ...] = ()

    def whole(self) -> Burst | Failed:
        """The burst, or that it is no sample since not all of its servers started."""
        if not self.failed:
            return self
        of = len(self.ready_s) + len(self.failed)
        return Failed(
            attempts.shortened("; ".join(attempts.counted(self.failed, of))),
            self.failed[0].at,
            "did not get all servers ready",
        )

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


def _start(session: requests.Session, user: HubUser, name: str) -> tuple[float, float | Failed]:
    """Asks for a server; returns when that was, and when the server was ready."""
    at = time.monotonic()
    try:
        return at, _ready(session, user, name)
    except attempts.FAILURES as error:
        return at, Failed.of(error)


def _ready(session: requests.Session, user: HubUser, name: str) -> float:
    url = f"{user.pool.url}/hub/api/users/{user.name}/servers/{name}"
    answer = session.post(url, json={"notebook_class": "regular"}, timeout=PATIENCE_S)
    if answer.status_code == 201:
        return time.monotonic()
    if answer.status_code != 202:
        raise DidNotStartError(f"the hub answers {answer.status_code} {answer.text}")
    # The hub did not want to keep this waiting any longer: it tells the rest as it does to the page that waits.
    with session.get(f"{url}/progress", stream=True, timeout=PATIENCE_S) as progress:
        for line in progress.iter_lines(chunk_size=1):
            told = json.loads(line.partition(b":")[2]) if line.startswith(b"data:") else {}
            if told.get("ready"):
                return time.monotonic()
            if told.get("failed"):
                raise DidNotStartError(str(told.get("message", told)))
    raise DidNotStartError("the hub's progress ended before the server was ready")


def measure(users: Sequence[HubUser], clicks: int, look: Callable[[], T]) -> tuple[Burst, T, T]:
    """One burst, shared out among the users, and what `look` sees before it and when all are ready or have failed.

    The servers go on running.
    """
    wanted = [(users[number % len(users)], f"bench{number}") for number in range(clicks)]
    sessions = [_connect(user) for user, _ in wanted]
    try:
        before = look()
        with ThreadPoolExecutor(clicks) as threads:
            starts = [
                threads.submit(_start, session, *one) for session, one in zip(sessions, wanted, strict=True)
            ]
            moments = [start.result() for start in starts]
        after = look()
    finally:
        for session in sessions:
            session.close()
    begun = min(at for at, _ in moments)
    return (
        Burst(
            max(at for at, _ in moments) - begun,
            tuple(sorted(at - begun for at in attempts.samples(end for _, end in moments))),
            attempts.failures(end for _, end in moments),
        ),
        before,
        after,
    )


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


def reset(pool: Minipool, users: Sequence[HubUser]) -> None:
    """No server, job or claimed slot is left, also where a start failed or goes on."""
    pool.check("hub", "condor_rm -all; true")
    wait_for("the hub lets go of all servers", lambda: _let_go(users), timeout_s=PATIENCE_S, every_s=1)
    stop_all(users)
    empty(pool)


def _let_go(users: Sequence[HubUser]) -> bool:
    """Asks the hub to stop all servers, which it refuses for those that start, until it has none."""
    names = [(user, name) for user in users for name in user.active()]
    for user, name in names:
        user.api("DELETE", f"/users/{user.name}/servers/{name}", json={"remove": True})
    return not names
