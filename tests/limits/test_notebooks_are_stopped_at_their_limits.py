"""A notebook that passes a limit of its class is stopped soon, and told why; below the limit it is left alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from hubclient import HubUser

from minipool import Minipool, wait_for

#: Soft limit of one notebook, so that no test need fill the machine: above its slot's memory, far below its class's.
LOWERED_MB = 2000
#: So soon after it passed the limit a notebook has to be stopped.
STOPPED_WITHIN_S = 20

# Fills memory with pages that are really there, and keeps them until the notebook ends or a file appears.
FILL = """
import os, time
pages = bytearray({megabytes} * 1024 * 1024)
pages[::4096] = b"x" * len(pages[::4096])
while not os.path.exists({enough!r}):
    time.sleep(0.5)
"""


def used_mb(pool: Minipool, host: str, user: str) -> int:
    """Memory of all processes of a user on a host, as the kernel counts it."""
    sizes = pool.run(host, f"ps -u {user} -o rss=").stdout.split()
    return sum(int(size) for size in sizes) // 1024


@contextmanager
def filling(user: HubUser, until_mb: int) -> Iterator[None]:
    """A kernel that fills memory until the user's processes have about so much of it."""
    worker = user.worker()
    enough = f"/home/{user.name}/.enough"
    user.pool.check(worker, f"rm -f {enough}")
    # The kernel itself is not there yet.
    missing = until_mb - used_mb(user.pool, worker, user.name) - 60
    code = FILL.format(megabytes=missing, enough=enough)
    thread = ThreadPoolExecutor(1)
    cell = thread.submit(user.execute, code, timeout_s=300)
    try:
        yield
    finally:
        user.pool.check(worker, f"touch {enough}")
        wait_for("the cell ended, or its notebook did", cell.done, 60)
        user.pool.check(worker, f"rm -f {enough}")
        thread.shutdown()


def shadow_log(pool: Minipool, job: str) -> str:
    """What the schedd's end of this job noted down."""
    return pool.run("hub", f"grep -F '({job})' $(condor_config_val SHADOW_LOG)").stdout


def known_mb(pool: Minipool, job: str) -> int:
    """Memory of a job as HTCondor last wrote it into its event log."""
    cluster, proc = (int(part) for part in job.split("."))
    events = pool.run(
        "hub", f"grep -A 4 -F '006 ({cluster:03}.{proc:03}.' $(condor_config_val EVENT_LOG)"
    ).stdout
    return max((int(found) for found in re.findall(r"(\d+)  ?-  ?MemoryUsage", events)), default=0)


def test_a_notebook_past_its_memory_limit_is_stopped_and_told_why(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    job, worker = alice.job(), alice.worker()
    classes = sorted(pool.classes, key=lambda row: row["memory_limit_mb"])
    own = next(row for row in classes if row["name"] == job["AfhubClass"])
    bigger = next(row for row in classes if row["memory_limit_mb"] > own["memory_limit_mb"])
    assert own["slot_memory_mb"] < LOWERED_MB < own["memory_limit_mb"]
    pool.check("hub", f"condor_qedit -forward {job['Id']} AfhubMemoryLimitMb {LOWERED_MB}")
    with filling(alice, LOWERED_MB + 250):
        wait_for(
            "the notebook passes its limit",
            lambda: used_mb(pool, worker, "alice") > LOWERED_MB,
            30,
            every_s=0.2,
        )
        passed = time.monotonic()
        wait_for(
            "its processes are gone",
            lambda: used_mb(pool, worker, "alice") < LOWERED_MB / 2,
            STOPPED_WITHIN_S,
        )
        took_s = time.monotonic() - passed
    assert took_s <= STOPPED_WITHIN_S
    log = shadow_log(pool, job["Id"])
    assert re.search(r"code \d+,7001\)", log), log[-2000:]
    alice.wait_until_gone(timeout_s=45)
    outcome = alice.wait_for_outcome("memory", job=job)
    assert re.search(r"\b2(\.\d+)? GB|\b2\d{3} MB", outcome.text), outcome.text
    assert any(bigger["name"] in link for link in outcome.links), outcome
    assert bigger["title"] in outcome.text
    wait_for("its job has left the queue", lambda: not alice.job())


def test_a_notebook_between_its_slots_memory_and_its_limit_runs_on(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    job, worker = alice.job(), alice.worker()
    slot_mb = next(row for row in pool.classes if row["name"] == job["AfhubClass"])["slot_memory_mb"]
    with filling(alice, slot_mb + 250), alice.knocking(every_s=1) as answers:
        wait_for("it passes its slot's memory", lambda: used_mb(pool, worker, "alice") > slot_mb, 30)
        wait_for("HTCondor knows", lambda: known_mb(pool, job["Id"]) > slot_mb, 30)
        before = answers.total()
        wait_for("30 s pass", lambda: answers.total() >= before + 30, 120)
        assert used_mb(pool, worker, "alice") > slot_mb
    assert set(answers) == {200}, answers
    assert alice.job()["Id"] == job["Id"] and alice.job()["JobStatus"] == 2
    assert alice.outcome() is None


def test_a_notebook_whose_time_is_over_is_stopped_and_told_so(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alice = alices_notebook
    job = alice.job()
    began = int(pool.check("hub", f"condor_q {job['Id']} -af ShadowBday"))
    now = int(pool.check("hub", "date +%s"))
    pool.check("hub", f"condor_qedit -forward {job['Id']} AllowedJobDuration {now - began + 4}")
    alice.wait_until_gone(timeout_s=4 + 45)
    log = shadow_log(pool, job["Id"])
    assert re.search(r"code 46,\d+\)", log), log[-2000:]
    alice.wait_for_outcome("runtime", job=job)
    wait_for("its job has left the queue", lambda: not alice.job())
