"""The example notebooks: opened from the launcher, run from the first to the last cell, one result to the last bin."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import batchqueue
import pytest
from hubclient import HubUser
from kernels import kernel

from minipool import Minipool

API = "api/afhub/v1/examples"
WAYS = ["zmumu-htcondor", "zmumu-htmap", "zmumu-dask", "zmumu-spark"]
CELL_S = 300
RESULT = "import json; print(json.dumps({way}))"
COUNTS = "zmumu.total(counts).tolist()"
TABLE = "{way: row[2].tolist() for way, row in times.rows.items()}"


@dataclass(frozen=True)
class Run:
    """One notebook that ran: what it printed, what it counted, and the jobs that it had in the batch pool."""

    printed: str
    counts: Any
    jobs: list[dict[str, Any]]


Runs = Callable[[str], Run]


def copy_of(user: HubUser, name: str) -> str:
    """Has the server copy an example, as the launcher does; returns the copy's path."""
    answer = user.notebook("POST", API, json={"file": f"{name}.ipynb", "fresh": True})
    assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
    return str(answer.json()["path"])


def run(pool: Minipool, user: HubUser, name: str) -> Run:
    begun = batchqueue.now(pool)
    path = copy_of(user, name)
    answer = user.notebook("GET", f"api/contents/{path}")
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    notebook = answer.json()["content"]
    printed = ""
    with kernel(user, notebook["metadata"]["kernelspec"]["name"]) as cells:
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                printed += cells.run("".join(cell["source"]), CELL_S)
        what = TABLE if name == "zmumu-overview" else COUNTS
        counts = json.loads(cells.run(RESULT.format(way=what)))
    user.notebook("DELETE", f"api/contents/{path}")
    jobs = [*batchqueue.jobs(pool, user.name), *batchqueue.ended(pool, user.name, begun)]
    return Run(printed, counts, jobs)


@pytest.fixture(scope="module")
def runs(pool: Minipool, alice: HubUser) -> Runs:
    """Runs a notebook the first time that a test asks for it."""
    alice.running("regular")

    @cache
    def once(name: str) -> Run:
        return run(pool, alice, name)

    return once


def test_the_launcher_gets_a_card_for_each(alices_notebook: HubUser) -> None:
    rows = alices_notebook.notebook("GET", API).json()["examples"]
    assert [row["file"] for row in rows] == [
        "zmumu.ipynb", *(f"{way}.ipynb" for way in WAYS), "zmumu-overview.ipynb",
    ]  # fmt: skip
    assert all(row["title"] and row["text"] for row in rows)


def test_the_one_in_the_notebook_finds_the_z(runs: Runs) -> None:
    """It writes and reads ROOT files of simulated events and finds the peak at the mass of the Z."""
    done = runs("zmumu")
    peak = re.search(r"Z mass ([\d.]+) ± ([\d.]+) GeV", done.printed)
    assert peak and abs(float(peak[1]) - 91.1876) < 5 * float(peak[2]) < 0.1, done.printed
    assert sum(done.counts) > 100_000 and done.jobs == [], done.jobs


@pytest.mark.parametrize("way", WAYS)
def test_each_way_gives_the_same_result_to_the_last_bin(runs: Runs, way: str) -> None:
    assert runs(way).counts == runs("zmumu").counts


@pytest.mark.parametrize("way", WAYS)
def test_its_work_was_done_by_alices_jobs_on_batch_slots(pool: Minipool, runs: Runs, way: str) -> None:
    jobs = runs(way).jobs
    assert jobs, "no job of alice was seen"
    slots = {str(job.get("LastRemoteHost") or job.get("RemoteHost") or "") for job in jobs} - {""}
    assert slots, f"no job ran: {jobs}"
    assert {job["Owner"] for job in jobs} == {"alice"}
    for slot in slots:
        assert "@notebooks@" not in slot, f"a reserved notebook slot ran outsourced work: {slot}"
        assert batchqueue.machine(slot) in pool.group("batch_workers"), slot


def test_the_overview_does_all_five_with_one_result(runs: Runs) -> None:
    done = runs("zmumu-overview")
    assert list(done.counts) == ["notebook", "HTCondor's bindings", "htmap", "Dask", "Spark"]
    assert all(counts == runs("zmumu").counts for counts in done.counts.values())
    assert done.printed.count("| yes |") == 5, done.printed


def test_nothing_is_left_in_the_home_folder(pool: Minipool, runs: Runs) -> None:
    for name in ("zmumu", *WAYS, "zmumu-overview"):
        runs(name)
    left = pool.run("hub", "ls -d zmumu-example .htmap/maps/* .htmap/tags/* 2>/dev/null", user="alice").stdout
    assert left == "", left


def test_no_job_and_no_process_is_left_a_minute_after_the_notebook(
    pool: Minipool, alice: HubUser, runs: Runs
) -> None:
    """One notebook ends properly, and then its kernel is gone in the middle of another."""
    runs("zmumu-dask")
    alice.running("regular")
    with kernel(alice) as cells:
        for way in (
            "from dask_jobqueue import HTCondorCluster; cluster = HTCondorCluster(); cluster.scale(2)",
            "from dask.distributed import Client; Client(cluster).wait_for_workers(2, timeout=200)",
            "from afhub_outsource import spark; session = spark(workers=1)",
        ):
            cells.run(way, CELL_S)
        assert len(batchqueue.jobs(pool, "alice")) >= 3
        alice.stop()
    batchqueue.wait_until_empty(pool, "alice", 60)
