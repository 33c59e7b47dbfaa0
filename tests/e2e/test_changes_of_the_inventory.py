"""What an admin changes in the inventory arrives with the next deployment, without harm to notebooks that run.

Each deployment takes about a minute, so they are few, and each test looks at what one of them did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hubclient import HubUser

from minipool import Minipool, Result, recap, wait_for

TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "Tiny",
    "description": "For a look at a result.",
    "memory_limit_mb": 1024,
    "slot_memory_mb": 256,
    "cores": 1,
    "runtime_s": 3600,
    "run_on": "workers",
    "slots_per_host": 1,
}


def deploy(pool: Minipool, *arguments: str) -> Result:
    result = pool.playbook("ansible/site.yml", *arguments)
    assert result.returncode == 0, result.stdout[-6000:]
    return result


def changes(result: Result) -> dict[str, int]:
    """Changed tasks by host, of those that have any; all hosts have to be in the recap."""
    counts = recap(result.stdout)
    assert counts, result.stdout[-2000:]
    return {host: count["changed"] for host, count in counts.items() if count["changed"]}


def survivor(pool: Minipool) -> dict[str, Any]:
    """The job of alice's notebook on a big server."""
    jobs = pool.queue("ClusterId,JobStatus,RemoteHost,AfhubServer,Owner")
    mine = [job for job in jobs if (job["Owner"], job["AfhubServer"]) == ("alice", "large")]
    assert len(mine) == 1, jobs
    return mine[0]


def slots_of_tiny(pool: Minipool) -> list[dict[str, Any]]:
    return [ad for ad in pool.slots() if ad.get("AfhubClasses") == "tiny"]


@pytest.fixture(scope="module")
def running(pool: Minipool, alice: HubUser, bob: HubUser) -> Iterator[dict[str, Any]]:
    """A notebook of alice's that runs on a big server all the time. Those on the workers are stopped."""
    alice.stop_all()
    bob.stop_all()
    alice.running("large", "large")
    yield survivor(pool)
    alice.stop("large")


@pytest.fixture(scope="module")
def fourth_class(
    pool: Minipool, running: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The inventory with one more row in notebook_classes is deployed; afterwards the inventory as it was."""
    variables = tmp_path_factory.mktemp("inventory") / "classes.yml"
    variables.write_text(yaml.safe_dump({"notebook_classes": [*pool.classes, TINY]}))
    try:
        deploy(pool, "-e", f"@{variables}")
        yield variables
    finally:
        if "tiny" in pool.check("hub", "cat /etc/afhub/hub/settings.json"):
            deploy(pool)


@pytest.mark.slow
def test_a_preview_of_an_unchanged_inventory_reports_no_change(pool: Minipool) -> None:
    """With --check, as CHECK=1 makes it; molecule's idempotence step shows the same for a real deployment."""
    assert changes(deploy(pool, "--check")) == {}


@pytest.mark.slow
def test_a_new_class_appears_everywhere(pool: Minipool, fourth_class: Path, alice: HubUser) -> None:
    hosts = {f"{name}.af.test" for name in pool.group("workers")}
    wait_for(
        "each worker offers a slot of the new class",
        lambda: {ad["Machine"] for ad in slots_of_tiny(pool)} == hosts,
        timeout_s=60,
    )
    for ad in slots_of_tiny(pool):
        assert (ad["SlotType"], ad["Cpus"], ad["Memory"]) == ("Static", 1, 256), ad["Name"]
    settings = json.loads(pool.check("hub", "cat /etc/afhub/hub/settings.json"))
    assert [row["name"] for row in settings["classes"]][-1] == "tiny"
    transforms = pool.check("hub", "condor_config_val JOB_TRANSFORM_NAMES").split()
    assert "Afhub_tiny" in transforms
    wait_for("the hub answers", lambda: alice.api("GET", "/user").status_code == 200)
    page = alice.page("/hub/spawn").text
    assert 'value="tiny"' in page and TINY["description"] in page
    assert page.count('name="notebook_class"') == len(pool.classes) + 1


@pytest.mark.slow
def test_a_notebook_of_the_new_class_starts_with_its_limits(
    pool: Minipool, fourth_class: Path, bob: HubUser
) -> None:
    bob.running("tiny", "tiny")
    jobs = pool.queue("Owner,AfhubServer,RemoteHost,AfhubMemoryLimitMb,RequestMemory,AllowedJobDuration")
    job = next(job for job in jobs if job["AfhubServer"] == "tiny")
    assert (job["AfhubMemoryLimitMb"], job["RequestMemory"], job["AllowedJobDuration"]) == (1024, 256, 3600)
    assert job["RemoteHost"] in {ad["Name"] for ad in slots_of_tiny(pool)}
    # The workers change their slots when their last notebook has ended, and are about to.
    bob.stop("tiny")


@pytest.mark.slow
def test_the_notebook_that_ran_all_the_time_still_runs(
    pool: Minipool, running: dict[str, Any], fourth_class: Path, alice: HubUser
) -> None:
    assert survivor(pool) == running
    wait_for("the hub knows the notebook", lambda: alice.server("large").get("ready"))
    assert alice.notebook("GET", "large/api/status").status_code == 200


@pytest.mark.slow
def test_postgresql_takes_the_place_of_sqlite(
    pool: Minipool, fourth_class: Path, running: dict[str, Any], bob: HubUser
) -> None:
    """By one variable. It starts with an empty database, so bob logs in anew; then SQLite is as it was."""
    result = pool.playbook(
        "ansible/hub.yml", "-e", f"@{fourth_class}", "-e", "jupyterhub_database=postgresql"
    )
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
        back = pool.playbook("ansible/hub.yml", "-e", f"@{fourth_class}")
    assert back.returncode == 0, back.stdout[-6000:]
    wait_for("the hub of before answers", lambda: bob.api("GET", "/user").status_code == 200)
    assert survivor(pool) == running


@pytest.mark.slow
def test_without_its_row_the_class_is_gone(
    pool: Minipool, running: dict[str, Any], fourth_class: Path, alice: HubUser
) -> None:
    """The last test with the fourth class: it deploys the inventory as it was."""
    deploy(pool)
    wait_for("no slot of it is left", lambda: not slots_of_tiny(pool), timeout_s=60)
    assert "Afhub_tiny" not in pool.check("hub", "condor_config_val JOB_TRANSFORM_NAMES")
    wait_for("the hub answers", lambda: alice.api("GET", "/user").status_code == 200)
    assert 'value="tiny"' not in alice.page("/hub/spawn").text
    answer = alice.api("POST", "/users/alice/servers/tiny", json={"notebook_class": "tiny"})
    assert answer.status_code == 400
    assert survivor(pool) == running
