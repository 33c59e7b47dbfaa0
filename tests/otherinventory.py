"""The one other inventory that the end-to-end tests deploy: two more classes, tokens for the batch pool; and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubclient import HubUser

from minipool import Minipool, Result, wait_for

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
BRIEF: dict[str, Any] = {
    **TINY,
    "name": "brief",
    "title": "Brief",
    "description": "Little time.",
    "runtime_s": 240,
}


def deploy(pool: Minipool, *arguments: str) -> Result:
    """Deploys the whole inventory."""
    result = pool.playbook("ansible/site.yml", *arguments)
    assert result.returncode == 0, result.stdout[-6000:]
    return result


def classes_of_slots(pool: Minipool) -> set[str]:
    """What the slots of the pool are for."""
    return {str(ad.get("AfhubClasses")) for ad in pool.slots()}


def variables(pool: Minipool) -> dict[str, Any]:
    """What is different in it."""
    return {
        "notebook_classes": [*pool.classes, TINY, BRIEF],
        "notebook_batch_authentication": "idtokens",
    }


@dataclass(frozen=True)
class Deployed:
    """This inventory while it is deployed, its variables in a file.

    variables: that file. before: the job of alice's notebook "large", which runs on a big server since before.
    """

    variables: Path
    before: dict[str, Any]


def job_of_large(pool: Minipool) -> dict[str, Any]:
    """The job of alice's notebook on a big server."""
    jobs = pool.queue("ClusterId,JobStatus,RemoteHost,AfhubServer,Owner")
    mine = [job for job in jobs if (job["Owner"], job["AfhubServer"]) == ("alice", "large")]
    assert len(mine) == 1, jobs
    return mine[0]


def put_back(pool: Minipool, alice: HubUser) -> None:
    """Deploys the inventory as it was, unless a test has done so."""
    if TINY["name"] not in pool.check("hub", "cat /etc/afhub/hub/settings.json"):
        return
    deploy(pool)
    wait_for(
        "no slot of the other inventory's classes is left",
        lambda: not {TINY["name"], BRIEF["name"]} & classes_of_slots(pool),
        timeout_s=90,
    )
    wait_for("the hub answers", lambda: alice.api("GET", "/user").status_code == 200)
