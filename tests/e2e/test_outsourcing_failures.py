"""Work that cannot get done: the cell says so within a bounded time, with the reason, and nothing is left of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import batchqueue
import pytest
from batchqueue import RUNNING
from breakage import daemon_off, mounted_over
from hubclient import HubUser
from kernels import CellError, Kernel, kernel

from minipool import Minipool, wait_for

PATIENCE_S = 25
"""Instead of the site's minutes: how long work waits that nobody takes."""
BOUND_S = 480
"""All four ways at once share the cores of one machine."""

PREPARE = "import json, os, pathlib, time"
IMPATIENT = f"""
facts = json.loads(pathlib.Path(os.environ["OUTSOURCE_FACTS"]).read_text())
file = pathlib.Path.home() / ".afhub-tests-facts.json"
file.write_text(json.dumps({{**facts, "start_timeout_s": {PATIENCE_S}}}))
os.environ["OUTSOURCE_FACTS"] = str(file)
os.environ["DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT"] = "{PATIENCE_S}s"
"""

# htmap's jobs send back what they have where they are stopped. Before they come to the function there is nothing yet,
# and that becomes the reason of a hold in the place of what the admin said.
NAP = """
def nap(seconds):
    import pathlib, time, uuid
    (pathlib.Path.home() / f".afhub-tests-began-{uuid.uuid4()}").touch()
    time.sleep(seconds)
"""
FAT = """
def fat(_):
    import time
    block = bytearray(5 * 256 * 1024**2)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(400)
"""


@dataclass(frozen=True)
class Way:
    """The cells of one way: until workers are asked for, the work, work that takes too much memory, and tidying up."""

    start: str
    work: str
    fat: str
    tidy: str = "pass"


JOB = """
import htcondor2
from afhub_outsource import wait
def jobs(*arguments):
    return htcondor2.Schedd().submit(htcondor2.Submit({
        "executable": "/usr/bin/env", "transfer_executable": "false", "arguments": " ".join(arguments),
        "request_cpus": "1", "request_memory": "128MB", "request_disk": "20MB",
    }), count=1)
"""

WAYS = {
    "bindings": Way(
        start=JOB,
        work="wait(jobs('sleep', '600'))",
        fat="""
file = pathlib.Path.home() / ".afhub-tests-fat.py"
file.write_text("import time; block = b'x' * 600_000_000; time.sleep(400)")
wait(jobs("python3", str(file)))
""",
        tidy="pathlib.Path.home().joinpath('.afhub-tests-fat.py').unlink(missing_ok=True)",
    ),
    "htmap": Way(
        start="import htmap; spectra = None",
        work=NAP + "spectra = htmap.map(nap, [600, 600]); spectra.wait()",
        fat=FAT + "options = htmap.MapOptions(request_memory='256MB')\n"
        "spectra = htmap.map(fat, [1, 2], map_options=options); list(spectra)",
        tidy="spectra and spectra.remove()",
    ),
    "dask": Way(
        start="from dask.distributed import Client; from dask_jobqueue import HTCondorCluster\n"
        "cluster = HTCondorCluster(); cluster.scale(2); client = Client(cluster)",
        work="client.gather(client.map(time.sleep, [600, 600], pure=False))",
        fat=FAT + "client.gather(client.map(fat, [1, 2], pure=False))",
        tidy="client.close(); cluster.close()",
    ),
    "spark": Way(
        start="from afhub_outsource import spark; session = spark(workers=2)",
        work="session.sparkContext.parallelize([600, 600], 2).map(time.sleep).collect()",
        fat=FAT + "session.sparkContext.parallelize([1, 2], 2).map(fat).collect()",
        tidy="session.stop()",
    ),
}


@dataclass
class Cells:
    """Four kernels, one for each way, all at the same time."""

    kernels: dict[str, Kernel]
    threads: ThreadPoolExecutor

    def run(self, code: Callable[[Way], str]) -> None:
        """The same step of all ways; all of them have to get it done."""
        for future in self.begin(code).values():
            future.result()

    def begin(self, code: Callable[[Way], str]) -> dict[str, Future[str]]:
        return {
            name: self.threads.submit(self.kernels[name].run, code(way), BOUND_S)
            for name, way in WAYS.items()
            if name in self.kernels
        }

    def failed(self, begun: dict[str, Future[str]]) -> dict[str, CellError]:
        """The errors with which the cells end, for each way; it is an error when one does not fail."""
        errors = {}
        for name, future in begun.items():
            try:
                printed = future.result()
            except CellError as error:
                errors[name] = error
            else:
                raise AssertionError(
                    f"the work of {name} got done, and should not have; it printed {printed!r}"
                )
        return errors


@contextmanager
def four_kernels(user: HubUser) -> Iterator[Cells]:
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(len(WAYS)))
        kernels = {name: stack.enter_context(kernel(user)) for name in WAYS}
        cells = Cells(kernels, threads)
        cells.run(lambda _: PREPARE)
        yield cells


@pytest.fixture
def cells(pool: Minipool, alices_notebook: HubUser) -> Iterator[Cells]:
    """Kernels of alice's notebook. After the test nothing of her work is left."""
    with four_kernels(alices_notebook) as cells:
        yield cells
    try:
        wait_for(
            "nothing is left in the batch queue", lambda: not batchqueue.jobs(pool, "alice"), 180, every_s=1
        )
    finally:
        batchqueue.remove_all(pool, "alice")
        pool.run("hub", "rm -f .afhub-tests-*", user="alice")


@pytest.fixture
def impatient(cells: Cells) -> Cells:
    """Kernels that wait for seconds, not minutes."""
    cells.run(lambda _: IMPATIENT)
    return cells


def says(errors: dict[str, CellError], *words: str) -> None:
    """The reason is in the error itself, or was printed below the cell before."""
    for name, error in errors.items():
        told = f"{error.text}\n{error.printed}"
        assert any(word in told for word in words), f"{name} does not say why: {error}"


def running(pool: Minipool, count: int, begun: dict[str, Future[str]]) -> None:
    """Waits until so many jobs of alice run in the batch pool, none of the cells being done before."""

    def enough() -> bool:
        for name, future in begun.items():
            assert not future.done(), (
                f"{name} did not wait for its work: {future.exception() or future.result()}"
            )
        return len([job for job in batchqueue.jobs(pool, "alice") if job["JobStatus"] == RUNNING]) >= count

    wait_for(f"{count} jobs of alice run", enough, BOUND_S, every_s=1)


def tidy(pool: Minipool, cells: Cells) -> None:
    """What is left of work that found no slot leaves on its owner's word; Spark's session never came to be."""
    cells.kernels.pop("spark")
    cells.run(lambda way: way.tidy)
    wait_for("alice's jobs are gone", lambda: not batchqueue.jobs(pool, "alice"), 180, every_s=1)


def test_a_pool_without_room_is_told_of(pool: Minipool, impatient: Cells) -> None:
    cells = impatient
    with batchqueue.every_core_taken(pool):
        begun = time.monotonic()
        errors = cells.failed(cells.begin(lambda way: f"{way.start}\n{way.work}"))
        assert time.monotonic() - begun < PATIENCE_S + 180
        for name in ("bindings", "htmap"):
            assert f"within {PATIENCE_S} s" in errors[name].text, errors[name]
        says(
            errors, "the batch pool is full", "The batch pool is full", "has none free", "waiting for a slot"
        )
        tidy(pool, cells)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("condor_hold -reason 'for the test of the disk'", ("for the test of the disk",)),
        (
            "condor_rm -reason 'for the test of the disk'",
            ("were removed", "no longer in the queue", "are gone", "without any running workers"),
        ),
    ],
    ids=["held", "removed"],
)
def test_workers_that_an_admin_takes_away_are_told_of(
    pool: Minipool, cells: Cells, command: str, words: tuple[str, ...]
) -> None:
    cells.run(lambda way: way.start)
    begun = cells.begin(lambda way: way.work)
    running(pool, 7, begun)
    wait_for(
        "both of htmap's jobs have come to the function",
        lambda: len(pool.run("hub", "ls -d .afhub-tests-began-*", user="alice").stdout.split()) == 2,
    )
    pool.check("batch", f"{command} -constraint 'Owner == \"alice\"'")
    says(cells.failed(begun), *words)
    cells.run(lambda way: way.tidy)


def test_work_that_takes_too_much_memory_fails(pool: Minipool, cells: Cells) -> None:
    cells.run(lambda way: way.start)
    errors = cells.failed(cells.begin(lambda way: way.fat))
    says(errors, "memory", "KilledWorker", "died")
    cells.run(lambda way: way.tidy)


def test_a_schedd_that_is_down_is_told_of(pool: Minipool, impatient: Cells) -> None:
    with daemon_off(pool, "batch", "schedd"):
        errors = impatient.failed(impatient.begin(lambda way: f"{way.start}\n{way.work}"))
        # The first is HTCondor's own word for it.
        says(errors, "Unable to locate", "schedd", "Schedd", "SCHEDD", "batch pool")


def test_a_schedd_that_goes_away_meanwhile_is_told_of(pool: Minipool, cells: Cells) -> None:
    """Workers of Dask and Spark that are connected go on without it; jobs are asked for in vain."""
    for name in ("dask", "spark"):
        cells.kernels.pop(name)
    cells.run(lambda way: way.start)
    begun = cells.begin(lambda way: way.work)
    running(pool, 3, begun)
    with daemon_off(pool, "batch", "schedd"):
        says(cells.failed(begun), "does not answer for 60 s")
    wait_for(
        "the collector knows the schedd again",
        lambda: pool.run("batch", "condor_status -schedd -af Name").stdout.strip(),
        60,
    )
    cells.run(lambda way: way.tidy)
    batchqueue.remove_all(pool, "alice")


def test_full_scratch_disks_of_all_workers_are_told_of(pool: Minipool, impatient: Cells) -> None:
    workers = pool.group("batch_workers")
    folder = pool.check(workers[0], "condor_config_val EXECUTE").strip()
    rights = pool.check(workers[0], f"stat -c uid=%u,gid=%g,mode=%a {folder}").strip()
    with mounted_over(pool, workers, folder, f"size=4m,nr_inodes=100,{rights}"):
        for worker in workers:
            # Neither room for bytes nor for one more file or folder.
            pool.run(
                worker,
                f"cd {folder}; head -c 8M /dev/zero > full; for i in $(seq 200); do : > full$i || break; done",
            )
        errors = impatient.failed(impatient.begin(lambda way: f"{way.start}\n{way.work}"))
        # Spark is the last to ask: its jobs may find every core taken by what the others have tried again and again.
        says({"spark": errors.pop("spark")}, "scratch disk", "held", "waiting for a slot")
        says(errors, "scratch disk", "held")
    tidy(pool, impatient)


def test_nothing_of_all_this_is_left_a_minute_after_the_notebook(pool: Minipool, alice: HubUser) -> None:
    alice.stop()
    batchqueue.wait_until_empty(pool, "alice", 60)
