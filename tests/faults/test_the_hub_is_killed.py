"""A hub that is killed with -9 forgets no notebook, whatever moment that is."""

from __future__ import annotations

import functools

from breakage import frozen, kill_hub, no_matches, stopped_while_it_starts
from hubclient import HubUser

from minipool import Minipool, wait_for

# Of alice's server alone: others may run beside it.
ALICES_STATE = "ps -o state= -p $(pgrep -d , -u alice -x afhub-notebook || echo 0) || true"


def is_ready(user: HubUser) -> bool:
    return bool(user.server().get("ready"))


def is_pending(user: HubUser) -> bool:
    model = user.server()
    return bool(model.get("pending"))


def test_killed_while_it_submits_it_tells_what_became_of_the_start(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    with frozen(pool, "hub", "condor_schedd"):
        alice.ask({"notebook_class": "regular"})
        asked = (
            "SELECT 1 FROM spawners JOIN users ON users.id = spawners.user_id WHERE users.name = 'alice' AND "
            "(json_extract(spawners.state, '$.asked') OR json_extract(spawners.state, '$.submitting'))"
        )
        wait_for("the hub wrote down the start", lambda: pool.database(asked), every_s=0.1)
        kill_hub(pool)

    def settled() -> bool:
        model = alice.server()
        return not model or bool(model["ready"])

    wait_for("the start is done or given up", settled, 60)
    if alice.server():
        alice.compute()
    else:
        alice.wait_for_outcome("interrupted")


def test_killed_before_the_job_starts_it_finishes_the_start(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    with no_matches(pool):
        alice.ask({"notebook_class": "regular"})
        wait_for("the job waits in the queue", lambda: alice.job().get("JobStatus") == 1)
        job = alice.job()["Id"]
        kill_hub(pool)
        wait_for("the hub knows of the start", lambda: is_pending(alice))
        assert alice.job()["Id"] == job
    alice.wait_until_ready()
    assert alice.job()["Id"] == job
    alice.compute()


def test_killed_while_the_server_starts_it_takes_its_port_report_afterwards(
    pool: Minipool, alice: HubUser
) -> None:
    alice.stop()
    with stopped_while_it_starts(pool, "alice"):
        alice.ask({"notebook_class": "regular"})
        wait_for("the job runs", lambda: alice.job().get("RemoteHost"))
        job, worker = alice.job()["Id"], alice.worker()
        wait_for(
            "the server stands still",
            lambda: pool.inside(worker, ALICES_STATE).startswith("T"),
        )
        kill_hub(pool)
        wait_for("the hub knows of the start", lambda: is_pending(alice))
    alice.wait_until_ready()
    assert alice.job()["Id"] == job
    alice.compute()


def test_killed_while_notebooks_run_it_costs_no_request_and_finds_them_again(
    pool: Minipool, alices_notebook: HubUser, bobs_notebook: HubUser
) -> None:
    users = (alices_notebook, bobs_notebook)
    before = [user.job() for user in users]
    with alices_notebook.knocking() as answers:
        wait_for("the notebook answers", lambda: answers[200] > 1)
        kill_hub(pool)
        seen = answers.total()
        wait_for("some more answers", lambda: answers.total() > seen + 5)
    assert set(answers) == {200}, f"answers of the notebook meanwhile, by status: {dict(answers)}"
    for user in users:
        wait_for("the hub knows the notebook", functools.partial(is_ready, user))
    assert [user.job() for user in users] == before
    bobs_notebook.stop()
    wait_for("the job is gone", lambda: not bobs_notebook.job())


def test_killed_while_it_stops_a_notebook_it_leaves_no_job_without_a_notebook(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    with frozen(pool, "hub", "condor_schedd"):
        assert alice.api("DELETE", "/users/alice/server").status_code == 202
        kill_hub(pool)
    # JupyterHub stops nothing that it is still looking at.
    wait_for("the hub has looked at the notebook", lambda: not is_pending(alice))
    alice.stop()
    wait_for("the job is gone", lambda: not alice.job())
