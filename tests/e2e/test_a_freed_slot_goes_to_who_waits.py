"""When all reserved slots are taken, who waits gets the next one that becomes free, at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hubclient import HubUser

from minipool import Minipool, wait_for

#: Far below the interval of the negotiator, which is not asked otherwise.
SOON_S = 15


def test_a_start_that_waits_goes_on_soon_after_another_notebook_stopped(
    pool: Minipool, alice: HubUser, bob: HubUser
) -> None:
    slots = sum(
        row["slots_per_host"] * len(pool.group(row["run_on"]))
        for row in pool.classes
        if row["name"] == "regular"
    )
    alice.stop_all()
    bob.stop_all()
    names = [(user, name) for user in (alice, bob) for name in ("", "one", "two")]
    assert len(names) > slots, "the two users may not have enough notebooks to fill the slots"
    try:
        for user, name in names[:slots]:
            user.start({"notebook_class": "regular"}, name)
        late, late_name = names[slots]
        with ThreadPoolExecutor(1) as thread:
            start = thread.submit(late.start, {"notebook_class": "regular"}, late_name)
            wait_for(
                "one notebook waits",
                lambda: start.done() or any(job["JobStatus"] == 1 for job in pool.queue()),
            )
            assert not start.done(), start.result()
            first, first_name = names[0]
            first.stop(first_name)
            wait_for(
                "who waits gets the slot",
                lambda: start.done() or late.job(late_name).get("JobStatus") == 2,
                timeout_s=SOON_S,
            )
            assert start.result()["ready"]
    finally:
        alice.stop_all()
        bob.stop_all()
