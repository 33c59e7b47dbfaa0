"""What an admin changes in the inventory arrives with the next deployment, without harm to notebooks that run."""

from __future__ import annotations

import json
from typing import Any

from hubclient import HubUser
from otherinventory import BRIEF, TINY, Deployed, classes_of_slots, deploy, job_of_large

from minipool import Minipool, Result, recap, wait_for


def changes(result: Result) -> dict[str, int]:
    """Changed tasks by host, of those that have any; all hosts have to be in the recap."""
    counts = recap(result.stdout)
    assert counts, result.stdout[-2000:]
    return {host: count["changed"] for host, count in counts.items() if count["changed"]}


def slots_of_tiny(pool: Minipool) -> list[dict[str, Any]]:
    return [ad for ad in pool.slots() if ad.get("AfhubClasses") == "tiny"]


def test_a_preview_of_an_unchanged_inventory_reports_no_change(pool: Minipool) -> None:
    """With --check, as CHECK=1 makes it; molecule's idempotence step shows the same for a real deployment."""
    assert changes(deploy(pool, "--check")) == {}


def test_a_new_class_appears_everywhere(pool: Minipool, changed_inventory: Deployed, alice: HubUser) -> None:
    hosts = {f"{name}.af.test" for name in pool.group("workers")}
    wait_for(
        "each worker offers a slot of the new class",
        lambda: {ad["Machine"] for ad in slots_of_tiny(pool)} == hosts,
        timeout_s=60,
    )
    for ad in slots_of_tiny(pool):
        assert (ad["SlotType"], ad["Cpus"], ad["Memory"]) == ("Static", 1, 256), ad["Name"]
    settings = json.loads(pool.check("hub", "cat /etc/afhub/hub/settings.json"))
    assert [row["name"] for row in settings["classes"]][-2:] == ["tiny", "brief"]
    transforms = pool.check("hub", "condor_config_val JOB_TRANSFORM_NAMES").split()
    assert "Afhub_tiny" in transforms
    page = alice.page("/hub/spawn").text
    assert 'value="tiny"' in page and TINY["description"] in page
    assert page.count('name="notebook_class"') == len(pool.classes) + 2


def test_a_notebook_of_the_new_class_starts_with_its_limits(
    pool: Minipool, changed_inventory: Deployed, bob: HubUser
) -> None:
    bob.running("tiny", "tiny")
    jobs = pool.queue("Owner,AfhubServer,RemoteHost,AfhubMemoryLimitMb,RequestMemory,AllowedJobDuration")
    job = next(job for job in jobs if job["AfhubServer"] == "tiny")
    assert (job["AfhubMemoryLimitMb"], job["RequestMemory"], job["AllowedJobDuration"]) == (1024, 256, 3600)
    assert job["RemoteHost"] in {ad["Name"] for ad in slots_of_tiny(pool)}
    # The workers change their slots when their last notebook has ended, and are about to.
    bob.stop("tiny")


def test_the_notebook_that_ran_all_the_time_still_runs(
    pool: Minipool, changed_inventory: Deployed, alice: HubUser
) -> None:
    assert job_of_large(pool) == changed_inventory.before
    wait_for("the hub knows the notebook", lambda: alice.server("large").get("ready"))
    assert alice.notebook("GET", "large/api/status").status_code == 200


def test_postgresql_takes_the_place_of_sqlite(
    pool: Minipool, changed_inventory: Deployed, bob: HubUser
) -> None:
    """By one variable. It starts with an empty database, so bob logs in anew; then SQLite is as it was."""
    variables = f"@{changed_inventory.variables}"
    result = pool.playbook("ansible/hub.yml", "-e", variables, "-e", "jupyterhub_database=postgresql")
    try:
        assert result.returncode == 0, result.stdout[-6000:]
        url = json.loads(pool.check("hub", "cat /etc/afhub/hub/settings.json"))["database_url"]
        assert url.startswith("postgresql"), url
        anew = HubUser(pool, "bob")
        assert anew.login().status_code == 302
        anew.running("regular")
        assert anew.notebook("GET", "api/status").status_code == 200
        anew.stop()
    finally:
        back = pool.playbook("ansible/hub.yml", "-e", variables)
    assert back.returncode == 0, back.stdout[-6000:]
    wait_for("the hub of before answers", lambda: bob.api("GET", "/user").status_code == 200)
    assert job_of_large(pool) == changed_inventory.before


def test_without_its_row_the_class_is_gone(
    pool: Minipool, inventory_as_it_was: dict[str, Any], alice: HubUser
) -> None:
    assert not {TINY["name"], BRIEF["name"]} & classes_of_slots(pool)
    assert "Afhub_tiny" not in pool.check("hub", "condor_config_val JOB_TRANSFORM_NAMES")
    assert 'value="tiny"' not in alice.page("/hub/spawn").text
    answer = alice.api("POST", "/users/alice/servers/tiny", json={"notebook_class": "tiny"})
    assert answer.status_code == 400
    assert job_of_large(pool) == inventory_as_it_was
