"""A notebook that nobody uses is stopped after the idle timeout; one whose kernel is busy is not."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hubclient import HubUser, hub_answers

from minipool import Minipool, wait_for

TIMEOUT_S = 60
SETTINGS = "/etc/afhub/hub/settings.json"

# Says nothing while it works: no output, no message, no request.
BUSY = """
import os, time
while not os.path.exists({enough!r}):
    time.sleep(0.5)
"""


def restart(pool: Minipool) -> None:
    pool.check("hub", "systemctl restart afhub-hub")
    wait_for("the hub answers again", lambda: hub_answers(pool), 60)


def is_looked_at(user: HubUser) -> bool:
    return all(model["pending"] != "check" for model in user.active().values())


@pytest.fixture
def short_timeout(pool: Minipool) -> Iterator[None]:
    """An idle timeout of a minute; afterwards the deployed one."""
    program = (
        "import json, sys; path = sys.argv[1]; text = json.load(open(path)); "
        f"text['limits']['idle_timeout_s'] = {TIMEOUT_S}; json.dump(text, open(path, 'w'))"
    )
    pool.check("hub", f"cp -p {SETTINGS} {SETTINGS}.deployed")
    try:
        pool.check("hub", f"python3 -c {shlex.quote(program)} {SETTINGS}")
        restart(pool)
        yield
    finally:
        pool.check("hub", f"mv {SETTINGS}.deployed {SETTINGS}")
        restart(pool)


def test_the_culler_knows_busy_from_idle(
    pool: Minipool, short_timeout: None, alice: HubUser, bob: HubUser
) -> None:
    # JupyterHub stops nothing that it is still looking at.
    for user in (alice, bob):
        wait_for("the hub has looked", functools.partial(is_looked_at, user), 60)
    # Anew, so that they report as often as this timeout needs.
    alice.stop_all()
    bob.stop_all()
    alice.running("regular")
    enough = "/home/alice/.enough"
    pool.check(alice.worker(), f"rm -f {enough}")
    thread = ThreadPoolExecutor(1)
    cell = thread.submit(alice.execute, BUSY.format(enough=enough), timeout_s=600)
    try:
        bob.running("regular")
        idle = bob.job()
        bob.wait_until_gone(timeout_s=5 * TIMEOUT_S)
        bob.wait_for_outcome("idle", job=idle)

        def at_work() -> bool:
            status = json.loads(pool.check("hub", "afhub status --json"))
            (row,) = [one for one in status["notebooks"] if one["user"] == "alice"]
            return (row["state"], row["idle_s"], row["busy_kernels"]) == ("running", 0, 1)

        # It began to work before bob's server was last used. The hub writes into an ad once a minute.
        wait_for("the ad says that alice's kernel works", at_work, 90, every_s=2)
        assert alice.server().get("ready"), alice.outcome()
    finally:
        pool.check("worker1", f"touch {enough}")
        wait_for("the cell ended", cell.done, 60)
        pool.check("worker1", f"rm -f {enough}")
        thread.shutdown()
    alice.wait_until_gone(timeout_s=5 * TIMEOUT_S)
    alice.wait_for_outcome("idle")
