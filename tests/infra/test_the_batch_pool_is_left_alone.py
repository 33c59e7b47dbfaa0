"""A deployment of the notebook layer neither restarts a batch startd nor touches a batch job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minipool import Minipool


@pytest.fixture(scope="module")
def before(pool: Minipool) -> dict[str, Any]:
    """What molecule/default/prepare.yml wrote down before the notebook layer was deployed."""
    return dict(json.loads((pool.state / "before.json").read_text()))


def test_the_job_of_before_still_runs_and_never_stopped(pool: Minipool, before: dict[str, Any]) -> None:
    _, cluster, start, where = before["job"].split()
    now = pool.check(
        "batch", f"condor_q -all {cluster} -af JobStatus ClusterId JobStartDate RemoteHost NumShadowStarts"
    ).split()
    assert now == ["2", cluster, start, where, "1"]


def test_the_batch_startds_are_the_processes_of_before(pool: Minipool, before: dict[str, Any]) -> None:
    assert sorted(before["startds"]) == pool.group("batch_workers")
    for worker, pid_and_start in before["startds"].items():
        pid, start = pid_and_start.split()
        assert pool.check(worker, f"cut -d' ' -f22 /proc/{pid}/stat; cat /proc/{pid}/comm").split() == [
            start,
            "condor_startd",
        ]


def test_the_batch_startd_shares_no_file_and_no_policy_with_the_notebook_startd(pool: Minipool) -> None:
    knobs = [
        "EXECUTE",
        "STARTD_LOG",
        "STARTD_ADDRESS_FILE",
        "STARTD_CLAIM_ID_FILE",
        "STARTD_HISTORY",
        "START",
        "COLLECTOR_HOST",
    ]
    for worker in pool.group("workers"):
        command = " && ".join(
            f"condor_config_val -subsystem STARTD {{}} {knob} 2>/dev/null || echo unset-{{}}"
            for knob in knobs
        )
        batch = pool.check(worker, command.replace("{}", "")).split("\n")
        notebooks = pool.check(worker, command.replace("{}", "-local-name NB")).split("\n")
        same = [knob for knob, one, other in zip(knobs, batch, notebooks, strict=False) if one == other]
        assert not same, f"{worker}: both startds have the same {same}"
