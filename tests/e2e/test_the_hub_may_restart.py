"""A restart of the hub drops nobody: the proxy keeps its routes, and the hub finds its notebooks again."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from hubclient import HubUser

from minipool import Minipool, wait_for


def job_of(pool: Minipool, owner: str) -> dict[str, Any]:
    jobs = pool.queue("ClusterId,Owner,AfhubServer,JobStatus,RemoteHost")
    mine = [job for job in jobs if (job["Owner"], job["AfhubServer"]) == (owner, "")]
    assert len(mine) == 1, jobs
    return mine[0]


def test_a_notebook_stays_reachable_and_known(pool: Minipool, alices_notebook: HubUser) -> None:
    # A token of this moment: a notebook asks the hub again about one that it has known for five minutes.
    alice = HubUser(pool, alices_notebook.name)
    alice.login()
    before = job_of(pool, "alice")
    answers: Counter[int] = Counter()
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            answers[alice.notebook("GET", "api/status").status_code] += 1
            stop.wait(0.1)

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        wait_for("the notebook answers", lambda: answers[200] > 1)
        pid = pool.check("hub", "systemctl show -P MainPID afhub-hub")
        pool.check("hub", "systemctl restart afhub-hub")
        assert pool.check("hub", "systemctl show -P MainPID afhub-hub") != pid
        wait_for("the hub answers again", lambda: alice.api("GET", "/user").status_code == 200)
        seen = answers.total()
        wait_for("some more answers", lambda: answers.total() > seen + 5)
    finally:
        stop.set()
        knocking.join()
    assert set(answers) == {200}, f"answers of the notebook meanwhile, by status: {dict(answers)}"
    wait_for("the hub knows the notebook", lambda: alice.server().get("ready"))
    assert job_of(pool, "alice") == before


def test_the_hub_that_started_anew_still_stops_and_starts_the_notebook(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    before = job_of(pool, "alice")
    pool.check("hub", "systemctl restart afhub-hub")
    wait_for("the hub answers again", lambda: alices_notebook.api("GET", "/user").status_code == 200)
    wait_for("the hub knows the notebook", lambda: alices_notebook.server().get("ready"))
    alices_notebook.stop()
    wait_for(
        "the job is gone",
        lambda: all(job["ClusterId"] != before["ClusterId"] for job in pool.queue()),
    )
    alices_notebook.running("regular")
    assert job_of(pool, "alice")["ClusterId"] != before["ClusterId"]
