"""Each class starts where the inventory says, as its user, with its limits, also while the batch pool is full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hubclient import HubUser

from minipool import Minipool, wait_for

ATTRIBUTES = (
    "ClusterId,Owner,JobStatus,AfhubClass,AfhubServer,RemoteHost,AfhubMemoryLimitMb,RequestCpus,RequestMemory,"
    "AllowedJobDuration,QDate,ShadowBday"
)
BATCH_JOBS = 500


def server_name(row: dict[str, Any]) -> str:
    """The usual class runs as the server without a name, the others under the name of their class."""
    return "" if row.get("default") else str(row["name"])


@pytest.fixture(scope="module")
def started(pool: Minipool, alice: HubUser, bob: HubUser) -> Iterator[list[dict[str, Any]]]:
    """The jobs of a notebook of every class for both users, all asked for at the same moment."""
    wanted = [(user, row) for row in pool.classes for user in (alice, bob)]
    with ThreadPoolExecutor(len(wanted)) as threads:
        starts = [threads.submit(user.running, row["name"], server_name(row)) for user, row in wanted]
        for start in starts:
            start.result()
    yield pool.queue(ATTRIBUTES)
    for user, row in wanted:
        if server_name(row):
            user.stop(server_name(row))


def job_of(started: list[dict[str, Any]], user: str, name: str) -> dict[str, Any]:
    jobs = [job for job in started if (job["Owner"], job["AfhubServer"]) == (user, name)]
    assert len(jobs) == 1, f"{user}'s notebook {name!r} should have one job: {started}"
    return jobs[0]


@pytest.fixture(params=["alice", "bob"])
def user(request: pytest.FixtureRequest) -> HubUser:
    found: HubUser = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["regular", "large", "xlarge"])
def row(request: pytest.FixtureRequest, pool: Minipool) -> dict[str, Any]:
    """A class as the inventory has it."""
    return next(row for row in pool.classes if row["name"] == request.param)


def test_every_class_of_the_inventory_is_tried_here(pool: Minipool) -> None:
    assert [row["name"] for row in pool.classes] == ["regular", "large", "xlarge"]


def test_it_runs_on_a_host_of_its_group_in_a_slot_of_its_class(
    pool: Minipool, started: list[dict[str, Any]], user: HubUser, row: dict[str, Any]
) -> None:
    job = job_of(started, user.name, server_name(row))
    assert job["JobStatus"] == 2
    assert job["AfhubClass"] == row["name"]
    host = job["RemoteHost"].rpartition("@")[2]
    assert host in {f"{name}.af.test" for name in pool.group(row["run_on"])}, job["RemoteHost"]
    slot = wait_for(
        "the collector knows that the slot is taken",
        lambda: next(
            (ad for ad in pool.slots() if ad["Name"] == job["RemoteHost"] and ad["State"] == "Claimed"), None
        ),
        timeout_s=30,
    )
    assert slot
    assert slot["SlotType"] == ("Static" if "slots_per_host" in row else "Dynamic")
    assert slot["Cpus"] == row["cores"]
    assert slot["Memory"] >= row["slot_memory_mb"]


def test_its_job_has_the_limits_of_its_class(
    started: list[dict[str, Any]], user: HubUser, row: dict[str, Any]
) -> None:
    job = job_of(started, user.name, server_name(row))
    assert (job["AfhubMemoryLimitMb"], job["RequestCpus"], job["RequestMemory"], job["AllowedJobDuration"]) == (
        row["memory_limit_mb"], row["cores"], row["slot_memory_mb"], row["runtime_s"],
    )  # fmt: skip


SERVERS = r"""
for pid in $(pgrep -f '^[^ ]*python[^ ]* [^ ]*/bin/afhub-notebook'); do
  echo "UID=$(stat -c %u /proc/$pid)"
  tr '\0' '\n' < /proc/$pid/environ | grep -aE '^(AFHUB|MEM_LIMIT|CPU_LIMIT|USER|HOME|JUPYTERHUB_SERVER_NAME)'
  echo --
done
"""


@pytest.fixture(scope="module")
def processes(pool: Minipool, started: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Account and environment of the notebook servers that really run, as root of each host sees them."""
    found: list[dict[str, str]] = []
    for host in pool.group("workers") + pool.group("big_servers"):
        texts = pool.check(host, SERVERS).split("--\n")[:-1]
        found += [{"host": host, **dict(line.split("=", 1) for line in text.splitlines())} for text in texts]
    return found


def test_it_runs_as_its_user_and_knows_its_limits(
    pool: Minipool, processes: list[dict[str, str]], user: HubUser, row: dict[str, Any]
) -> None:
    uid = pool.check("hub", f"id -u {user.name}").strip()
    mine = [
        server
        for server in processes
        if (server["UID"], server["JUPYTERHUB_SERVER_NAME"]) == (uid, server_name(row))
    ]
    assert len(mine) == 1, processes
    assert mine[0]["host"] in pool.group(row["run_on"])
    assert mine[0]["USER"] == user.name and mine[0]["HOME"] == f"/home/{user.name}"
    assert mine[0]["AFHUB_CLASS"] == row["name"]
    assert mine[0]["MEM_LIMIT"] == str(row["memory_limit_mb"] * 1024 * 1024)
    assert mine[0]["CPU_LIMIT"] == str(row["cores"])


def test_no_notebook_runs_as_anybody_else(pool: Minipool, processes: list[dict[str, str]]) -> None:
    known = {pool.check("hub", f"id -u {name}").strip() for name in ("alice", "bob")}
    assert {server["UID"] for server in processes} == known


def test_it_measures_itself_against_the_limit_of_its_class(
    started: list[dict[str, Any]], user: HubUser, row: dict[str, Any]
) -> None:
    answer = user.notebook("GET", f"{server_name(row)}/api/metrics/v1".lstrip("/"))
    assert answer.status_code == 200, answer.text
    metrics = answer.json()
    assert metrics["limits"]["memory"]["rss"] == row["memory_limit_mb"] * 1024 * 1024
    assert 0 < metrics["rss"] < metrics["limits"]["memory"]["rss"]


def test_a_user_does_not_get_more_notebooks_than_the_site_allows(
    pool: Minipool, started: list[dict[str, Any]], alice: HubUser
) -> None:
    most = pool.host_vars("hub")["notebook_max_per_user"]
    assert len([job for job in started if job["Owner"] == "alice"]) == most
    answer = alice.api("POST", "/users/alice/servers/onemore", json={"notebook_class": "regular"})
    assert answer.status_code == 400, answer.text
    assert not alice.server("onemore")


def batch_state(pool: Minipool) -> tuple[int, int]:
    """Free cores of the batch pool, and batch jobs that wait."""
    slots = json.loads(
        pool.check("batch", "condor_status -json -attributes Name,State,SlotType,Cpus") or "[]"
    )
    free = sum(
        slot["Cpus"] for slot in slots if slot["SlotType"] != "Dynamic" and slot["State"] == "Unclaimed"
    )
    waiting = pool.check("batch", "condor_q -all -constraint 'JobStatus == 1' -af ClusterId").split()
    return free, len(waiting)


@pytest.fixture
def full_batch_pool(pool: Minipool) -> Iterator[None]:
    """Every batch slot is busy, and 500 jobs wait."""
    cores = sum(pool.host_vars(host)["batch_pool_cores"] for host in pool.group("batch_workers"))
    description = (
        "executable = /bin/sleep\\narguments = 900\\nrequest_cpus = 1\\nrequest_memory = 32\\nrequest_disk = 1\\n"
        f"should_transfer_files = no\\nqueue {BATCH_JOBS + cores}\\n"
    )
    submitted = pool.check("batch", f"printf '{description}' | condor_submit -terse", user="bob")
    cluster = submitted.split(".")[0]
    try:

        def full() -> bool:
            free, waiting = batch_state(pool)
            # A core is also taken for a while by a claim that runs nothing any more.
            running = pool.check("batch", "condor_q -all -constraint 'JobStatus == 2' -af ClusterId").split()
            return len(running) == cores and free == 0 and waiting >= BATCH_JOBS

        wait_for("every batch slot is busy and the rest waits", full, timeout_s=90, every_s=1)
        yield
    finally:
        pool.check("batch", f"condor_rm {cluster}", user="bob")
        wait_for(
            "the batch jobs are gone",
            lambda: not pool.check("batch", f"condor_q -all {cluster} -af ClusterId").strip(),
            timeout_s=60,
        )


@pytest.mark.usefixtures("full_batch_pool")
def test_notebooks_start_at_once_while_every_batch_slot_is_busy_and_500_jobs_wait(
    pool: Minipool, alice: HubUser, bob: HubUser
) -> None:
    for user in (alice, bob):
        user.stop()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda user: user.start({"notebook_class": "regular"}), (alice, bob)))
    jobs = [job for job in pool.queue(ATTRIBUTES) if job["AfhubServer"] == ""]
    reserved = {ad["Name"] for ad in pool.slots() if ad["SlotType"] == "Static"}
    assert len(jobs) == 2 and {job["RemoteHost"] for job in jobs} <= reserved, jobs
    free, waiting = batch_state(pool)
    assert free == 0 and waiting >= BATCH_JOBS, (
        f"{free} cores free, {waiting} jobs waiting: the pool was not full"
    )
    waited_s = [job["ShadowBday"] - job["QDate"] for job in jobs]
    assert max(waited_s) < 30, f"the notebooks waited {waited_s} s for their slots"
