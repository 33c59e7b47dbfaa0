"""A schedd that does not answer is not the end of a notebook: what is not known is not lost."""

from __future__ import annotations

from collections import Counter

from breakage import daemon_off, frozen, kill_hub
from hubclient import HubUser

from minipool import Minipool, stays, wait_for

AWAY_S = 120


def only_good_answers(answers: Counter[int]) -> bool:
    return set(answers) == {200}


def usable(user: HubUser) -> None:
    """The notebook is the one of before, computes, and can be stopped."""
    user.compute()
    wait_for("its job runs", lambda: user.job().get("JobStatus") == 2)
    user.stop()
    wait_for("its job is gone", lambda: not user.job())


def test_a_notebook_outlives_two_minutes_without_the_schedd(pool: Minipool, alices_notebook: HubUser) -> None:
    alice = alices_notebook
    job = alice.job()["Id"]
    kernel = alice.notebook("POST", "api/kernels").json()["id"]
    with alice.knocking() as answers:
        with daemon_off(pool, "hub", "schedd"):
            stays("the hub calls the notebook ready", lambda: alice.server().get("ready"), AWAY_S)
        seen = answers.total()
        wait_for("some more answers", lambda: answers.total() > seen + 5)
    assert only_good_answers(answers), f"answers of the notebook meanwhile, by status: {dict(answers)}"
    wait_for("the schedd knows the job", lambda: alice.job().get("Id") == job)
    assert alice.notebook("GET", f"api/kernels/{kernel}").status_code == 200
    usable(alice)


def test_a_start_without_the_schedd_is_refused_with_the_reason(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    with daemon_off(pool, "hub", "schedd"):
        answer = alice.ask({"notebook_class": "regular"})
        alice.wait_until_gone(timeout_s=60)
        assert answer.result().status_code in (202, 503)
        assert alice.wait_for_outcome("unreachable").job == ""
    alice.start({"notebook_class": "regular"})
    alice.compute()
    assert alice.outcome() is None


def test_a_stop_without_the_schedd_is_made_up_for_when_it_is_back(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    with daemon_off(pool, "hub", "schedd"):
        alice.stop()
    wait_for("the job is gone", lambda: not alice.job())


def test_a_hub_that_starts_without_the_schedd_keeps_its_notebooks(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    job = alice.job()["Id"]
    with alice.knocking() as answers, daemon_off(pool, "hub", "schedd"):
        kill_hub(pool)
        wait_for("the hub lists the notebook", lambda: alice.server().get("ready"))
        stays("the hub calls the notebook ready", lambda: alice.server().get("ready"), 15)
    assert only_good_answers(answers), f"answers of the notebook meanwhile, by status: {dict(answers)}"
    wait_for("the schedd knows the job", lambda: alice.job().get("Id") == job)
    usable(alice)


def test_a_schedd_that_hangs_costs_no_notebook(pool: Minipool, alices_notebook: HubUser) -> None:
    alice = alices_notebook
    with alice.knocking() as answers, frozen(pool, "hub", "condor_schedd"):
        stays("the hub calls the notebook ready", lambda: alice.server().get("ready"), 25)
    assert only_good_answers(answers), f"answers of the notebook meanwhile, by status: {dict(answers)}"
    usable(alice)


def test_a_schedd_killed_with_all_its_shadows_finds_the_notebook_again(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    job = alice.job()["Id"]
    before = pool.check("hub", "pgrep -x condor_schedd")
    with alice.knocking() as answers:
        # Its shadows die with it.
        pool.check("hub", "pkill -KILL -x condor_schedd")
        wait_for(
            "a new schedd runs", lambda: pool.run("hub", "pgrep -x condor_schedd").stdout not in ("", before)
        )
        wait_for("it has a shadow for the job", lambda: pool.run("hub", "pgrep -x condor_shadow").stdout)
        wait_for("it answers", lambda: pool.run("hub", "condor_q -total").returncode == 0)
    assert only_good_answers(answers), f"answers of the notebook meanwhile, by status: {dict(answers)}"
    assert alice.server().get("ready")
    assert alice.job()["Id"] == job
    usable(alice)
