"""However a notebook has to leave, its server is asked to first, and has the vacate time to save what is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hubclient import HubUser

from minipool import Minipool, wait_for

STARTD = "$(head -n 1 /var/log/condor/.notebook_startd_address)"
#: SIGTERM among the signals that wait for a process.
ASKED = 1 << 14

# Prints when the process was asked to leave, and when it was gone, in seconds since 1970.
OBSERVER = """
asked() {{ [ $(( 0x$(awk '/^ShdPnd/ {{ print $2 }}' /proc/{pid}/status 2>/dev/null || echo 0) & {asked} )) -ne 0 ]; }}
for try in $(seq 600); do asked && break; [ -d /proc/{pid} ] || break; sleep 0.1; done
asked && date +%s.%N || echo never
for try in $(seq 900); do [ -d /proc/{pid} ] || break; sleep 0.1; done
[ -d /proc/{pid} ] && echo still-there || date +%s.%N
"""


def stopped_by_owner(pool: Minipool, alice: HubUser) -> None:
    answer = alice.api("DELETE", "/users/alice/server")
    assert answer.status_code in (202, 204), answer.text


def held(pool: Minipool, alice: HubUser) -> None:
    pool.check("hub", f"condor_hold {alice.job()['Id']}")


def removed(pool: Minipool, alice: HubUser) -> None:
    pool.check("hub", f"condor_rm {alice.job()['Id']}")


def past_its_memory(pool: Minipool, alice: HubUser) -> None:
    pool.check("hub", f"condor_qedit -forward {alice.job()['Id']} AfhubMemoryLimitMb 10")


def out_of_time(pool: Minipool, alice: HubUser) -> None:
    job = alice.job()["Id"]
    began = int(pool.check("hub", f"condor_q {job} -af ShadowBday"))
    now = int(pool.check("hub", "date +%s"))
    pool.check("hub", f"condor_qedit -forward {job} AllowedJobDuration {now - began + 2}")


def drained_at_once(pool: Minipool, alice: HubUser) -> None:
    pool.check(alice.worker(), f"condor_drain -quick -reason 'a test' {STARTD}")


@pytest.fixture
def workers_take_notebooks_afterwards(pool: Minipool) -> Iterator[None]:
    """What a test did to a notebook startd is undone."""
    yield
    for host in pool.group("workers"):
        pool.run(host, f"condor_drain -cancel {STARTD}")
    expected = sum(
        row.get("slots_per_host", 0) * len(pool.group("workers"))
        for row in pool.classes
        if row["run_on"] == "workers"
    )

    def back() -> bool:
        slots = [ad for ad in pool.slots() if ad.get("AfhubClasses") == "regular"]
        return len(slots) == expected and not any(ad.get("Draining") for ad in slots)

    wait_for("all slots of the workers are back", back, 90, every_s=2)


@pytest.mark.parametrize(
    "way", [stopped_by_owner, held, removed, past_its_memory, out_of_time, drained_at_once]
)
def test_a_server_that_needs_it_has_the_vacate_time(
    pool: Minipool,
    alices_notebook: HubUser,
    workers_take_notebooks_afterwards: None,
    way: Callable[[Minipool, HubUser], None],
) -> None:
    alice = alices_notebook
    vacate_s = int(pool.check("hub", f"condor_q {alice.job()['Id']} -af JobMaxVacateTime"))
    worker = alice.worker()
    server = int(alice.execute("import os; print(os.getppid())"))
    # It hears what it is told, but can do nothing about it: as one that takes all the time it gets.
    pool.check(worker, f"kill -STOP {server}")
    with ThreadPoolExecutor(1) as thread:
        observer = OBSERVER.format(pid=server, asked=ASKED)
        observed = thread.submit(pool.check, worker, observer, timeout_s=160)
        way(pool, alice)
        seen = observed.result().split()
    assert seen[0] != "never", "it was killed, or not told, without being asked to leave"
    assert seen[1] != "still-there", f"it was not killed {vacate_s} s after it was asked to leave"
    took_s = float(seen[1]) - float(seen[0])
    alice.wait_until_gone(timeout_s=60)
    wait_for("its job has left the queue", lambda: not alice.job(), 60)
    assert vacate_s - 3 < took_s < vacate_s + 15, f"it had {took_s:.1f} s"
