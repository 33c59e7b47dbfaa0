"""Hosts that die or are cut off: workers for a while and for good, the manager frozen and killed meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from breakage import Lost, cut_off, frozen, power_off
from hubclient import HubUser

from minipool import Minipool, stays, wait_for

FOR_A_WHILE_S = 45
MANAGER = ("condor_collector", "condor_negotiator")
SPARE = "spare"


@dataclass(frozen=True)
class LostNotebooks:
    """Jobs of notebooks that nobody will hear of again, and the worker that stays cut off."""

    of_alice: dict[str, Any]
    of_bob: dict[str, Any]
    worker: str


@pytest.fixture(scope="module")
def lost_notebooks(
    pool: Minipool, alice: HubUser, bob: HubUser, lost: Lost, all_is_well: Callable[[], None]
) -> Iterator[LostNotebooks]:
    """alice's worker dies and boots, bob's is cut off for as long as these tests last: HTCondor waits for both.

    Each loses the default server. On the worker that booted alice has a notebook named SPARE.
    """
    alice.running("regular")
    bob.stop_all()
    name = ""
    bob.start({"notebook_class": "regular"}, name)
    while bob.worker(name) == alice.worker():
        # Two workers can't give both of them the same slot, so that one of the next is elsewhere.
        name = f"{name}x"
        bob.start({"notebook_class": "regular"}, name)
    lost.notebooks |= {("alice", ""), ("bob", name)}
    notebooks = LostNotebooks(alice.job(), {**bob.job(name), "name": name}, bob.worker(name))
    for other in bob.active():
        if other != name:
            bob.stop(other)
    with power_off(pool, alice.worker()):
        pass
    lost.hosts.add(notebooks.worker)
    with cut_off(pool, notebooks.worker):
        alice.start({"notebook_class": "regular"}, SPARE, timeout_s=120)
        yield notebooks
    lost.hosts.clear()
    lost.notebooks.clear()
    for user in (alice, bob):
        user.stop_all()
    # The worker itself has stopped what was on it.
    all_is_well()


def test_a_start_finds_a_worker_that_lives_though_a_dead_one_still_offers_its_slots(
    lost_notebooks: LostNotebooks, alice: HubUser
) -> None:
    alice.compute(SPARE)
    assert alice.worker(SPARE) != lost_notebooks.worker


def test_a_worker_cut_off_for_a_while_costs_no_notebook(
    pool: Minipool, lost_notebooks: LostNotebooks, alice: HubUser
) -> None:
    job, worker = alice.job(SPARE), alice.worker(SPARE)
    kernel = alice.notebook("POST", f"{SPARE}/api/kernels").json()["id"]
    with cut_off(pool, worker):
        stays("the hub calls the notebook ready", lambda: alice.server(SPARE).get("ready"), FOR_A_WHILE_S)

    def answers() -> bool:
        try:
            return alice.notebook("GET", f"{SPARE}/api/status", timeout_s=20).status_code == 200
        except requests.RequestException:
            return False

    wait_for("the notebook answers", answers)
    assert alice.notebook("GET", f"{SPARE}/api/kernels/{kernel}").status_code == 200
    alice.compute(SPARE)
    assert alice.job(SPARE) == job


def says_that_it_waits(message: str) -> bool:
    return bool(re.search(r"queue|wait|still trying", message, re.IGNORECASE))


def test_a_frozen_manager_costs_no_notebook_and_delays_a_start(
    pool: Minipool, lost_notebooks: LostNotebooks, alice: HubUser, bob: HubUser
) -> None:
    job = alice.job(SPARE)
    with alice.knocking(f"{SPARE}/api/status") as answers, frozen(pool, "nbcm", *MANAGER):
        bob.ask({"notebook_class": "large"}, SPARE)
        bob.progress(SPARE, until=says_that_it_waits)
        stays("alice's notebook is ready", lambda: alice.server(SPARE).get("ready"), 20)
        assert not bob.server(SPARE)["ready"]
    bob.wait_until_ready(SPARE)
    assert set(answers) == {200}, f"answers of alice's notebook meanwhile, by status: {dict(answers)}"
    assert alice.job(SPARE) == job
    bob.compute(SPARE)


def test_a_killed_manager_costs_no_notebook_and_a_start_waits_until_it_knows_the_slots_again(
    pool: Minipool, lost_notebooks: LostNotebooks, alice: HubUser, bob: HubUser
) -> None:
    bob.stop(SPARE)
    job = alice.job(SPARE)
    before = pool.check("nbcm", "pgrep -x condor_collecto")
    with alice.knocking(f"{SPARE}/api/status") as answers:
        pool.check("nbcm", "pkill -KILL -x condor_collecto && pkill -KILL -x condor_negotiat")
        bob.ask({"notebook_class": "large"}, SPARE)
        bob.progress(SPARE, until=says_that_it_waits)
        wait_for(
            "a new collector runs",
            lambda: pool.run("nbcm", "pgrep -x condor_collecto").stdout not in ("", before),
        )
        # The schedd and the startds report every minute. Their first report goes into a connection that is gone.
        bob.wait_until_ready(SPARE, timeout_s=240)
    assert set(answers) == {200}, f"answers of alice's notebook meanwhile, by status: {dict(answers)}"
    assert alice.job(SPARE) == job
    bob.compute(SPARE)


def patience_s(pool: Minipool) -> float:
    """HTCondor waits for a host as long as the site says, and is sure a little later."""
    return float(pool.host_vars("hub")["notebook_lease_s"]) + 120


def test_a_worker_that_died_ended_its_notebooks_with_the_reason(
    pool: Minipool, lost_notebooks: LostNotebooks, alice: HubUser
) -> None:
    alice.wait_until_gone(timeout_s=patience_s(pool))
    alice.wait_for_outcome("node_lost", job=lost_notebooks.of_alice)
    wait_for("the job left the queue", lambda: not alice.job())


def test_a_worker_cut_off_for_good_ends_its_notebooks_with_the_reason(
    pool: Minipool, lost_notebooks: LostNotebooks, bob: HubUser
) -> None:
    name = lost_notebooks.of_bob["name"]
    bob.wait_until_gone(name, timeout_s=patience_s(pool))
    bob.wait_for_outcome("node_lost", job=lost_notebooks.of_bob, name=name)
    wait_for("the job left the queue", lambda: not bob.job(name))
