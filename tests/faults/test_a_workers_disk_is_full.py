"""No space where notebooks have their scratch folders: a running notebook lives, a start says why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from breakage import mounted_over
from hubclient import HubUser

from minipool import Minipool, stays, wait_for

# Neither a byte nor a file more goes onto it.
FILL = (
    # Files first, so that meanwhile no daemon can make one that is gone again in a moment.
    "cd {} && mkdir full && touch full/bytes; "
    "n=0; while touch full/$n 2>/dev/null; do n=$((n + 1)); done; "
    "head -c 64M /dev/zero 2>/dev/null > full/bytes; "
    "df --output=avail,iavail . | tail -n 1"
)


@contextmanager
def small_disk(pool: Minipool, hosts: list[str]) -> Iterator[str]:
    """Workers whose execute folder is a disk of 16 MB; gives the folder."""
    folder = pool.check(hosts[0], "condor_config_val NB.EXECUTE").strip()
    rights = pool.check(hosts[0], f"stat -c uid=%u,gid=%g,mode=%a {folder}").strip()
    with mounted_over(pool, hosts, folder, f"size=16m,nr_inodes=300,{rights}"):
        yield folder


def fill(pool: Minipool, host: str, folder: str) -> None:
    left = pool.check(host, FILL.format(folder)).split()
    assert left == ["0", "0"], f"{left} kB and files are left on {host}"


def told_of_the_disk(user: HubUser) -> str:
    """What the user reads of it: the startd knows and takes nothing, or a worker tried and could not."""
    outcome = user.outcome()
    try:
        text = outcome.text if outcome else " ".join(user.progress())
    except AssertionError:
        # The start was given up between the two questions: the page says so the next time.
        return ""
    return text if "disk" in text else ""


def test_a_start_says_that_the_disk_is_full(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    workers = pool.group("workers")
    with small_disk(pool, workers) as folder:
        for worker in workers:
            fill(pool, worker, folder)
        alice.ask({"notebook_class": "regular"})
        told = wait_for("the reason is told", lambda: told_of_the_disk(alice), 90)
        assert "disk" in told
        alice.stop()
        wait_for("the job left the queue", lambda: not alice.job())
    alice.start({"notebook_class": "regular"})
    alice.compute()


def test_a_running_notebook_outlives_it(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    with small_disk(pool, pool.group("workers")) as folder:
        alice.start({"notebook_class": "regular"})
        job, worker = alice.job(), alice.worker()
        kernel = alice.notebook("POST", "api/kernels").json()["id"]
        fill(pool, worker, folder)
        stays("the notebook answers", lambda: alice.notebook("GET", "api/status").status_code == 200, 20)
        assert alice.server()["ready"] and alice.job() == job
        pool.check(worker, f"rm -r {folder}/full")
        assert alice.notebook("GET", f"api/kernels/{kernel}").status_code == 200
        alice.compute()
        alice.stop()
