"""A notebook ends, or never starts, for a reason outside the hub: nothing is left, and the user is told why."""

from __future__ import annotations

import shlex

import pytest
from breakage import kill_hub, mounted_over, no_matches
from hubclient import HubUser

from minipool import Minipool, wait_for

WHY = "The file server is away until noon"
# What the user may meet: home page, spawn page, the address of the notebook that does not run.
PAGES = ("/hub/home", "/hub/spawn/alice", "/hub/user/alice/lab")


def on_the_job(user: HubUser, command: str) -> dict[str, str]:
    """Runs a command of HTCondor's admin on the job of the user's default server; returns the job as it was."""
    job = user.job()
    user.pool.check("hub", f"{command} {job['Id']}")
    return job


def test_a_notebook_held_by_an_admin_ends_and_every_page_says_why_until_the_next_start(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    job = on_the_job(alice, f"condor_hold -reason {shlex.quote(WHY)}")
    alice.wait_until_gone(timeout_s=20)
    outcome = alice.wait_for_outcome("held", job=job)
    assert WHY in outcome.text
    wait_for("the job left the queue", lambda: not alice.job())

    kill_hub(pool)
    for path in PAGES:
        told = alice.outcome(path=path)
        assert told is not None, f"{path} says nothing"
        assert (told.reason, told.job, told.at) == ("held", job["Id"], outcome.at), f"{path}: {told}"
        assert WHY in told.text, f"{path}: {told}"

    alice.start({"notebook_class": "regular"})
    alice.compute()
    for path in PAGES[:2]:
        assert alice.outcome(path=path) is None, f"{path} still tells of the notebook before"


def test_a_start_held_in_the_queue_fails_with_the_admins_reason(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    with no_matches(pool):
        alice.ask({"notebook_class": "regular"})
        wait_for("the job waits in the queue", lambda: alice.job().get("JobStatus") == 1)
        job = on_the_job(alice, f"condor_hold -reason {shlex.quote(WHY)}")
        alice.wait_until_gone(timeout_s=20)
        outcome = alice.wait_for_outcome("held", job=job)
        assert WHY in outcome.text
        wait_for("the job left the queue", lambda: not alice.job())
    spawn_page = alice.outcome(path="/hub/spawn/alice")
    assert spawn_page is not None and WHY in spawn_page.text


def test_a_notebook_removed_by_an_admin_ends_with_the_reason(alices_notebook: HubUser) -> None:
    job = on_the_job(alices_notebook, f"condor_rm -reason {shlex.quote(WHY)}")
    alices_notebook.wait_until_gone(timeout_s=60)
    assert WHY in alices_notebook.wait_for_outcome("removed", job=job).text


@pytest.mark.parametrize("how", ["", "-fast"], ids=["softly", "at once"])
def test_a_notebook_given_back_to_the_queue_ends_and_starts_anew_only_when_asked(
    alices_notebook: HubUser, how: str
) -> None:
    alice = alices_notebook
    job = on_the_job(alice, f"condor_vacate_job {how}")
    alice.wait_until_gone(timeout_s=60)
    alice.wait_for_outcome("evicted", job=job)
    wait_for("the job left the queue", lambda: not alice.job())
    alice.start({"notebook_class": "regular"})
    alice.compute()
    assert alice.job()["Id"] != job["Id"]


def test_a_notebook_whose_process_is_killed_ends_and_says_so(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    assert alice.notebook("POST", "api/kernels").status_code == 201
    job, worker = alice.job(), alice.worker()
    pool.check(worker, "pkill -KILL -u alice -f '[/]bin/afhub-notebook'")
    alice.wait_until_gone(timeout_s=20)
    alice.wait_for_outcome("killed", job=job)


def test_a_notebook_that_its_user_shuts_down_from_within_ends_and_says_so(alices_notebook: HubUser) -> None:
    alice = alices_notebook
    job = alice.job()
    assert alice.notebook("POST", "api/shutdown").status_code == 200
    alice.wait_until_gone(timeout_s=20)
    alice.wait_for_outcome("ended", job=job)


def test_a_worker_without_the_notebook_environment_is_named_as_the_reason(
    pool: Minipool, alice: HubUser
) -> None:
    alice.stop()
    workers = pool.group("workers")
    folder = pool.check(workers[0], "readlink -f /opt/afhub/env/current").strip()
    with mounted_over(pool, workers, folder, "size=64k"):
        alice.ask({"notebook_class": "regular"})
        alice.wait_until_gone(timeout_s=60)
        alice.wait_for_outcome("environment")
        wait_for("the job left the queue", lambda: not alice.job())
    alice.start({"notebook_class": "regular"})
    alice.compute()


def test_a_notebook_that_its_user_stops_needs_no_explanation(alices_notebook: HubUser) -> None:
    alices_notebook.stop()
    assert alices_notebook.outcome() is None
