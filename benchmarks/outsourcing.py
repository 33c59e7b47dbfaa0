"""Work that leaves a notebook: python -m benchmarks.outsourcing --out FOLDER, on the mini-pool of $INSTANCE."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import batchqueue
from hubclient import HubUser
from kernels import kernel

from benchmarks import machine, report
from benchmarks.report import Figure, Series, number
from minipool import Minipool, wait_for

USER = "alice"
CODE = Path(__file__).parent / "on_host" / "outsourcing.py"
BARE = "condor_submit"
WAYS = (BARE, "bindings", "htmap", "dask", "spark")
NAMES = {
    BARE: "bare condor_submit",
    "bindings": "HTCondor's bindings",
    "htmap": "htmap",
    "dask": "Dask, 4 workers",
    "spark": "Spark, 4 workers",
    "four_jobs": "4 plain jobs run",
    "four_dask_workers": "4 Dask workers are there",
    "four_spark_workers": "4 Spark workers are there",
}
STARTS = ("four_jobs", "four_dask_workers", "four_spark_workers")


@dataclass(frozen=True)
class Sizes:
    """tasks: of one run; runs, starts: how often."""

    tasks: int
    runs: int
    starts: int


FULL = Sizes(tasks=1000, runs=3, starts=5)
QUICK = Sizes(tasks=20, runs=1, starts=1)


Sample = Mapping[str, float]


def task_figure(taken: Mapping[str, Sequence[Sample]], sizes: Sizes) -> Figure:
    """Wall time of all tasks by the number of them."""
    series = tuple(
        Series.of(
            NAMES[way], (1000 * one["last"] / sizes.tasks for one in samples), unit="ms", at_least=sizes.runs
        )
        for way, samples in taken.items()
    )
    running = []
    for way, samples in taken.items():
        after = [one["last"] - one.get("ready", 0.0) for one in samples]
        spread = [1000 * seconds / sizes.tasks for seconds in after]
        running.append((NAMES[way], number(report.quantile(spread, 0.5), "ms")))
    return Figure(
        "tasks",
        f"{sizes.tasks} tasks of 10 ms",
        f"From the call to the last of {sizes.tasks} results, divided by their number. Nothing runs before: workers "
        "of Dask and Spark are started within this time.",
        series,
        tables=(("Without the time until the first worker is there", ("", "median"), tuple(running)),),
    )


def seconds(taken: Mapping[str, Sequence[Sample]], moment: str, at_least: int) -> tuple[Series, ...]:
    """One series for each way: when, after the call, that moment came."""
    return tuple(
        Series.of(NAMES[what], (one[moment] for one in samples), at_least=at_least)
        for what, samples in taken.items()
    )


def first_figure(taken: Mapping[str, Sequence[Sample]], sizes: Sizes) -> Figure:
    """Time to the first result."""
    return Figure(
        "first",
        "The first result",
        "From the call to the first result, in the same runs. Spark hands out results all together: its first is a "
        "job of one task.",
        seconds(taken, "first", sizes.runs),
    )


def start_figure(taken: Mapping[str, Sequence[Sample]], sizes: Sizes) -> Figure:
    """Four workers beside four jobs."""
    rows = tuple(
        (NAMES[what], ", ".join(number(one["first"], "s") for one in samples))
        for what, samples in taken.items()
    )
    return Figure(
        "workers",
        "Four workers on an idle pool",
        "From the call until four workers are connected; for the plain jobs, until the last of four has started. "
        "The pool's slots are unclaimed before each.",
        seconds(taken, "last", sizes.starts),
        tables=(("The first of the four", ("", "all samples"), rows),),
    )


def idle(pool: Minipool) -> None:
    """Waits until nobody's job is in the batch queue and no slot is claimed."""
    wait_for("nothing is left in the batch queue", lambda: not batchqueue.jobs(pool, USER), 120, every_s=1)
    dynamic = 'condor_status -constraint \'SlotType == "Dynamic" || State == "Claimed"\' -af Name'
    wait_for("the batch pool is idle", lambda: not pool.check("batch", dynamic).strip(), 180, every_s=1)
    machine.becomes_quiet()


def sample(pool: Minipool, user: HubUser, what: str, *arguments: int) -> Sample:
    """One measurement, in a kernel of its own."""
    idle(pool)
    with kernel(user) as cells:
        cells.run(CODE.read_text(encoding="utf-8"))
        call = ", ".join(map(repr, (what, *arguments)))
        printed = cells.run(f"measure({call})", timeout_s=1200)
        found: Any = json.loads(printed.strip().splitlines()[-1])
    return {name: float(value) for name, value in found["seconds"].items()}


def versions(pool: Minipool, user: HubUser) -> dict[str, str]:
    """The tools in the kernel, and the pool's HTCondor."""
    with kernel(user) as cells:
        cells.run(CODE.read_text(encoding="utf-8"))
        found: Any = json.loads(cells.run("versions()"))
    condor = pool.check("batch", "condor_version").split()[1]
    tools = ", ".join(f"{name} {version}" for name, version in found.items())
    return {"HTCondor": condor, "In the kernel": tools, "Commit": machine.commit()}


def text(figures: Sequence[Figure], facts: Mapping[str, str], day: str, remarks: Sequence[str]) -> str:
    """The whole of outsourcing.md."""
    parts = [
        "# Work that leaves a notebook",
        f"Written by `python -m benchmarks.outsourcing` on {day}. All samples: [outsourcing.json](outsourcing.json). "
        "The notebook, the batch pool's manager and its workers share the cores of one machine, and the batch pool "
        "negotiates when somebody submits, but not within 5 s of its last round: a job waits for that, whoever "
        "submits it.",
        report.table(("machine and versions", ""), facts.items()),
        *remarks,
        *(report.figure_text(figure) for figure in figures),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measures, then writes outsourcing.md and outsourcing.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outsourcing", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for outsourcing.md and outsourcing.json"
    )
    parser.add_argument("--quick", action="store_true", help="one sample of few tasks: to see that it works")
    chosen = parser.parse_args()
    sizes = QUICK if chosen.quick else FULL
    remarks = ("**A quick run: far too few samples for a figure.**",) if chosen.quick else ()
    pool = Minipool.from_environment()
    user = HubUser(pool, USER)
    user.login()
    user.running("regular")
    begun = time.monotonic()

    def say(words: str) -> None:
        sys.stdout.write(f"{time.monotonic() - begun:6.0f} s  {words}\n")
        sys.stdout.flush()

    starts: dict[str, list[Sample]] = {}
    tasks: dict[str, list[Sample]] = {}
    # By turns, so that all see the machine in the same state.
    for round_ in range(sizes.starts):
        for what in STARTS:
            starts.setdefault(what, []).append(sample(pool, user, what))
            say(f"{what}, {round_ + 1} of {sizes.starts}: {starts[what][-1]}")
    for round_ in range(sizes.runs):
        for way in WAYS:
            tasks.setdefault(way, []).append(sample(pool, user, way, sizes.tasks))
            say(f"{way}, {round_ + 1} of {sizes.runs}: {tasks[way][-1]}")
    figures = (start_figure(starts, sizes), task_figure(tasks, sizes), first_figure(tasks, sizes))
    facts = {**machine.machine(), **versions(pool, user)}
    user.stop()
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    page = text(figures, facts, day, remarks)
    data = {"date": day, "facts": facts, "starts": starts, "tasks": tasks, "sizes": vars(sizes)}
    (chosen.out / "outsourcing.md").write_text(page, encoding="utf-8")
    (chosen.out / "outsourcing.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
