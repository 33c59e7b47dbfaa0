"""The schedd sets the limits of a notebook by its class: what a description says otherwise counts for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from minipool import Minipool

# Every line asks for more than a class gives, for another time, or for another program.
GREEDY = {
    "request_memory": "999999",
    "request_cpus": "64",
    "request_disk": "999999999",
    "request_gpus": "2",
    "requirements": "true",
    "rank": "TARGET.Memory",
    "priority": "20",
    "nice_user": "true",
    "accounting_group": "somebody_else",
    "allowed_job_duration": "999999999",
    "allowed_execute_duration": "999999999",
    "job_lease_duration": "999999",
    "periodic_hold": "CurrentTime > 0",
    "periodic_release": "true",
    "periodic_remove": "CurrentTime > 0",
    "on_exit_hold": "true",
    "on_exit_remove": "false",
    "max_retries": "9",
    "leave_in_queue": "true",
    "My.JobMaxVacateTime": "999999",
    "My.AfhubMemoryLimitMb": "999999",
    "My.MemoryUsage": "1",
    "My.ResidentSetSize": "1",
    "My.WantIOProxy": "WantDelayedUpdates =!= true",
    "My.WantRemoteUpdates": "WantDelayedUpdates =!= true",
    "My.WantDelayedUpdates": "true",
    "My.PreCmd": '"/bin/sh"',
    "My.PostCmd": '"/bin/sh"',
    "transfer_executable": "true",
}
# The attributes that these lines, and no others, would end up in.
ATTRIBUTES = [
    "RequestMemory",
    "RequestCpus",
    "RequestDisk",
    "RequestGPUs",
    "Requirements",
    "Rank",
    "JobPrio",
    "NiceUser",
    "AccountingGroup",
    "AcctGroup",
    "AcctGroupUser",
    "AllowedJobDuration",
    "AllowedExecuteDuration",
    "JobLeaseDuration",
    "PeriodicHold",
    "PeriodicRelease",
    "PeriodicRemove",
    "OnExitHold",
    "OnExitRemove",
    "LeaveJobInQueue",
    "JobMaxVacateTime",
    "AfhubMemoryLimitMb",
    "MemoryUsage",
    "ResidentSetSize",
    "WantIOProxy",
    "WantRemoteUpdates",
    "WantDelayedUpdates",
    "PreCmd",
    "PostCmd",
    "TransferExecutable",
]

SubmitAll = Callable[..., list[Any]]


def test_what_lands_in_the_queue_has_the_values_of_the_class(pool: Minipool, submit_all: SubmitAll) -> None:
    modest = submit_all([{"My.AfhubClass": json.dumps(row["name"])} for row in pool.classes])
    greedy = submit_all([{**GREEDY, "My.AfhubClass": json.dumps(row["name"])} for row in pool.classes])
    for row, expected, answer in zip(pool.classes, modest, greedy, strict=True):
        assert answer.job, f"{row['name']}: {answer.refusal}"
        values = {name: answer.ad.get(name) for name in ATTRIBUTES}
        assert values == {name: expected.ad.get(name) for name in ATTRIBUTES}
        assert values["RequestMemory"] == str(row["slot_memory_mb"])
        assert values["RequestCpus"] == str(row["cores"])
        assert values["AllowedJobDuration"] == str(row["runtime_s"])
        assert values["AfhubMemoryLimitMb"] == str(row["memory_limit_mb"])
        assert {values[f"Want{way}"] for way in ("IOProxy", "RemoteUpdates", "DelayedUpdates")} == {"false"}


@pytest.mark.parametrize("line", sorted(GREEDY))
def test_each_line_alone_changes_nothing(submit_all: SubmitAll, line: str) -> None:
    plain, changed = submit_all([{}, {line: GREEDY[line]}])
    assert changed.job, changed.refusal
    assert {name: changed.ad.get(name) for name in ATTRIBUTES} == {
        name: plain.ad.get(name) for name in ATTRIBUTES
    }


def test_a_class_that_is_a_sum_is_worked_out_once_and_for_all(submit_all: SubmitAll) -> None:
    (answer,) = submit_all([{"My.AfhubClass": 'ifThenElse(JobStatus == 5, "regular", "large")'}])
    assert answer.refusal or answer.ad["AfhubClass"] in ('"regular"', '"large"'), answer.ad["AfhubClass"]


REFUSED: list[tuple[dict[str, str | None], str]] = [
    ({"executable": "/bin/sh"}, "afhub-notebook only"),
    ({"executable": "/opt/afhub/env/current/bin/../bin/afhub-notebook"}, "afhub-notebook only"),
    ({"executable": "/OPT/afhub/env/current/bin/afhub-notebook"}, "afhub-notebook only"),
    ({"universe": "scheduler"}, "notebooks only"),
    ({"universe": "local"}, "notebooks only"),
    ({"universe": "parallel", "machine_count": "2"}, "notebooks only"),
    ({"universe": "grid", "grid_resource": "batch slurm"}, "notebooks only"),
    ({"universe": "docker", "docker_image": "debian"}, "notebooks only"),
    ({"universe": "container", "container_image": "debian"}, "notebooks only"),
    ({"My.WantDocker": "true", "My.DockerImage": '"debian"'}, "notebooks only"),
    ({"max_materialize": "1"}, "notebooks only"),
    ({"My.AfhubClass": '"huge"'}, "AfhubClass is huge"),
    ({"My.AfhubClass": '"Regular"'}, "AfhubClass is Regular"),
    ({"My.AfhubClass": '" regular"'}, "AfhubClass is"),
    ({"My.AfhubClass": '"regular,large"'}, "AfhubClass is regular,large"),
    ({"My.AfhubClass": "5"}, "AfhubClass is 5"),
    ({"My.AfhubClass": '{ "regular" }'}, "AfhubClass is"),
    ({"My.AfhubClass": None}, "AfhubClass is not set"),
    ({"My.AfhubHub": '"another.example.org"'}, "notebooks of the hub"),
    ({"My.AfhubHub": None}, "notebooks of the hub"),
    ({"My.Owner": '"root"'}, "not permitted"),
    ({"My.Owner": '"condor"'}, "not permitted"),
    ({"My.Owner": '"afhub-proxy"'}, "not permitted"),
    ({"My.Owner": '"daemon"'}, "not permitted"),
    ({"My.Owner": '"no such name"'}, "not permitted"),
    ({"My.Owner": '"afhub"'}, "run as their owners"),
    ({"My.Owner": '"afhub"', "executable": "/bin/sh"}, "only"),
    ({"My.Owner": '"afhub"', "executable": "/bin/true"}, "only"),
    ({"My.Owner": '"afhub"', "executable": "/bin/sh", "My.AfhubHub": None}, "only"),
    ({"My.User": '"alice@af.test"'}, "run as their owners"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED, ids=lambda value: json.dumps(value)[:70])
def test_what_is_no_notebook_of_this_hub_is_refused_with_the_reason(
    submit_all: SubmitAll, changes: dict[str, str | None], reason: str
) -> None:
    (answer,) = submit_all([changes])
    assert not answer.job, f"taken as {answer.job}: {answer.ad}"
    assert reason in answer.refusal
