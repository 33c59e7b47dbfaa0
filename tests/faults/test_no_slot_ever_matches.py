"""A start that no slot can ever meet says so, names the requirement, and can be taken back."""

from __future__ import annotations

import re
from contextlib import ExitStack

from breakage import daemon_off, smaller_slots
from hubclient import HubUser

from minipool import Minipool, wait_for


def taken_back(user: HubUser) -> None:
    """The user cancels the start: it is gone at once, and so is its job."""
    assert user.server().get("pending") == "spawn"
    user.stop()
    wait_for("its job is gone", lambda: not user.job())
    assert user.outcome() is None, "a cancelled start needs no explanation"


def test_a_class_none_of_whose_hosts_is_there_says_so(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    with ExitStack() as hosts:
        for host in pool.group("big_servers"):
            hosts.enter_context(daemon_off(pool, host, "startd_nb"))
        alice.ask({"notebook_class": "large"})
        wait_for("its job waits", lambda: alice.job().get("JobStatus") == 1)
        alice.progress(until=lambda said: re.search(r"\bno machine", said, re.IGNORECASE))
        taken_back(alice)
        # Other classes do not care.
        alice.start({"notebook_class": "regular"})
        alice.compute()
        alice.stop()
    alice.start({"notebook_class": "large"})
    alice.compute()
    alice.stop()


def test_a_class_for_which_all_slots_are_too_small_names_the_memory(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    (row,) = (row for row in pool.classes if row["name"] == "large")
    with smaller_slots(pool, pool.group(row["run_on"]), row["slot_memory_mb"] - 4096):
        alice.ask({"notebook_class": "large"})
        wait_for("its job waits", lambda: alice.job().get("JobStatus") == 1)
        alice.progress(until=lambda said: bool(re.search(r"no machine has .*memory", said, re.IGNORECASE)))
        taken_back(alice)
    alice.start({"notebook_class": "large"})
    alice.compute()
    alice.stop()
