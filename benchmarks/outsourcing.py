"""Work that leaves a notebook: python -m benchmarks.outsourcing --out FOLDER, on the mini-pool of $INSTANCE."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import batchqueue
from hubclient import HubUser
from kernels import kernel

from benchmarks import attempts, machine, report, steps
from benchmarks.attempts import Failed
from benchmarks.report import Figure, Series, number
from benchmarks.steps import Step
from minipool import ROOT, Minipool, wait_for

#: Where the traceback and all samples of a run that broke off are.
FAULTS = ROOT / "test-results/bench-fault.log"
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
Outcomes = Mapping[str, Sequence[Sample | Failed]]


@dataclass
class Taken:
    """What was taken so far, one by one."""

    starts: dict[str, list[Sample | Failed]] = field(default_factory=lambda: {what: [] for what in STARTS})
    tasks: dict[str, list[Sample | Failed]] = field(default_factory=lambda: {way: [] for way in WAYS})


def task_figure(taken: Outcomes, sizes: Sizes, *, whole: bool = True) -> Figure:
    """Wall time of all tasks by the number of them."""
    series = tuple(
        Series.of(
            NAMES[way],
            (one if isinstance(one, Failed) else 1000 * one["last"] / sizes.tasks for one in outcomes),
            unit="ms",
            at_least=sizes.runs,
            whole=whole,
        )
        for way, outcomes in taken.items()
    )
    running = []
    for way, outcomes in taken.items():
        after = [one["last"] - one.get("ready", 0.0) for one in attempts.samples(outcomes)]
        spread = [1000 * seconds / sizes.tasks for seconds in after]
        found = number(report.quantile(spread, 0.5), "ms") if spread else report.NOTHING
        running.append((NAMES[way], found))
    return Figure(
        "tasks",
        f"{sizes.tasks} tasks of 10 ms",
        f"From the call to the last of {sizes.tasks} results, divided by their number. Nothing runs before: workers "
        "of Dask and Spark are started within this time.",
        series,
        tables=(("Without the time until the first worker is there", ("", "median"), tuple(running)),),
    )


def seconds(taken: Outcomes, moment: str, at_least: int, *, whole: bool = True) -> tuple[Series, ...]:
    """One series for each way: when, after the call, that moment came."""
    return tuple(
        Series.of(
            NAMES[what],
            (one if isinstance(one, Failed) else one[moment] for one in outcomes),
            at_least=at_least,
            whole=whole,
        )
        for what, outcomes in taken.items()
    )


def first_figure(taken: Outcomes, sizes: Sizes, *, whole: bool = True) -> Figure:
    """Time to the first result."""
    return Figure(
        "first",
        "The first result",
        "From the call to the first result, in the same runs. Spark hands out results all together: its first is a "
        "job of one task.",
        seconds(taken, "first", sizes.runs, whole=whole),
    )


def start_figure(taken: Outcomes, sizes: Sizes, *, whole: bool = True) -> Figure:
    """Four workers beside four jobs."""
    rows = tuple(
        (
            NAMES[what],
            ", ".join(
                report.NOTHING if isinstance(one, Failed) else number(one["first"], "s") for one in outcomes
            ),
        )
        for what, outcomes in taken.items()
    )
    return Figure(
        "workers",
        "Four workers on an idle pool",
        "From the call until four workers are connected; for the plain jobs, until the last of four has started. "
        "The pool's slots are unclaimed before each.",
        seconds(taken, "last", sizes.starts, whole=whole),
        tables=(("The first of the four", ("", "all samples"), rows),),
    )


def figures_of(taken: Taken, sizes: Sizes, done: set[str]) -> tuple[Figure, ...]:
    """All figures; whole are those of the steps that are done."""
    return (
        start_figure(taken.starts, sizes, whole="starts" in done),
        task_figure(taken.tasks, sizes, whole="tasks" in done),
        first_figure(taken.tasks, sizes, whole="tasks" in done),
    )


def idle(pool: Minipool) -> None:
    """Waits until nobody's job is in the batch queue and no slot is claimed."""
    wait_for("nothing is left in the batch queue", lambda: not batchqueue.jobs(pool, USER), 120, every_s=1)
    dynamic = 'condor_status -constraint \'SlotType == "Dynamic" || State == "Claimed"\' -af Name'
    wait_for("the batch pool is idle", lambda: not pool.check("batch", dynamic).strip(), 180, every_s=1)
    machine.becomes_quiet()


def sample(pool: Minipool, user: HubUser, what: str, *arguments: int) -> Sample | Failed:
    """One measurement, in a kernel of its own. Where it fails, nothing of it is left in the queue or on the workers."""
    idle(pool)

    def measured() -> Sample:
        with kernel(user) as cells:
            cells.run(CODE.read_text(encoding="utf-8"))
            call = ", ".join(map(repr, (what, *arguments)))
            printed = cells.run(f"measure({call})", timeout_s=1200)
            found: Any = json.loads(printed.strip().splitlines()[-1])
        return {name: float(value) for name, value in found["seconds"].items()}

    def reset() -> None:
        batchqueue.remove_all(pool, USER)
        # A notebook that was lost is started again; what one that runs holds back ends with its kernels.
        user.running("regular")

    return attempts.attempt(measured, stop=lambda: None, reset=reset, what="did not come to an end")


def in_turn(
    ways: Sequence[str],
    rounds: int,
    taken: Mapping[str, list[Sample | Failed]],
    measure: Callable[[str], Sample | Failed],
    say: Callable[[str], None],
) -> None:
    """All ways, and again, so that all see the machine in the same state; adds to `taken` one by one."""
    for number_ in range(1, rounds + 1):
        for way in ways:
            outcome = attempts.given_up(taken[way]) or measure(way)
            taken[way].append(outcome)
            said = f"{outcome.what}: {outcome.reason}" if isinstance(outcome, Failed) else str(outcome)
            say(f"{way}, {number_} of {rounds}: {said}")


def versions(pool: Minipool, user: HubUser) -> dict[str, str]:
    """The tools in the kernel, and the pool's HTCondor."""
    with kernel(user) as cells:
        cells.run(CODE.read_text(encoding="utf-8"))
        found: Any = json.loads(cells.run("versions()"))
    condor = pool.check("batch", "condor_version").split()[1]
    tools = ", ".join(f"{name} {version}" for name, version in found.items())
    return {"HTCondor": condor, "In the kernel": tools, "Commit": machine.commit()}


def text(
    figures: Sequence[Figure],
    facts: Mapping[str, str],
    day: str,
    remarks: Sequence[str],
    former: report.Before | None = None,
) -> str:
    """The whole of outsourcing.md."""
    parts = [
        "# Work that leaves a notebook",
        f"Written by `python -m benchmarks.outsourcing` on {day}. All samples: [outsourcing.json](outsourcing.json). "
        "The notebook, the batch pool's manager and its workers share the cores of one machine, and the batch pool "
        "negotiates when somebody submits, but not within 5 s of its last round: a job waits for that, whoever "
        "submits it.",
        report.facts_table(facts, former),
        *report.beside(former),
        *remarks,
        *(report.figure_text(figure, former) for figure in figures),
    ]
    return "\n\n".join(parts) + "\n"


def before(path: Path, commit: str) -> tuple[report.Before | None, dict[str, Any]]:
    """The last results of another commit, and the content of the file that they are kept by; none, {}."""
    if not path.is_file():
        return None, {}
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if data["facts"]["Commit"].partition(",")[0] == commit.partition(",")[0] or data.get("missing"):
        data = data.get("before", {})
    if not data:
        return None, {}
    taken = Taken(*(_outcomes(data[name]) for name in ("starts", "tasks")))
    found = figures_of(taken, Sizes(**data["sizes"]), set())
    shown = report.results_json(report.Results(data["date"], {}, data["facts"], found))
    return report.Before.of(shown), {name: data[name] for name in data if name != "before"}


def _outcomes(data: Mapping[str, Any]) -> dict[str, list[Sample | Failed]]:
    return {
        name: [Failed(**one) if "reason" in one else one for one in outcomes]
        for name, outcomes in data.items()
    }


def main() -> int:
    """Measures, and writes outsourcing.md and outsourcing.json as it goes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outsourcing", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for outsourcing.md and outsourcing.json"
    )
    parser.add_argument("--quick", action="store_true", help="one sample of few tasks: to see that it works")
    chosen = parser.parse_args()
    sizes = QUICK if chosen.quick else FULL
    remarks = ("**A quick run: far too few samples for a figure.**",) if chosen.quick else ()
    with steps.plainly(FAULTS):
        former, kept = before(chosen.out / "outsourcing.json", machine.commit())
        pool = Minipool.from_environment()
        user = HubUser(pool, USER)
        user.login()
        user.running("regular")
        facts = {**machine.machine(), **versions(pool, user)}
        day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        begun = time.monotonic()
        taken, done = Taken(), set[str]()

        def say(words: str) -> None:
            sys.stdout.write(f"{time.monotonic() - begun:6.0f} s  {words}\n")
            sys.stdout.flush()

        def starts(_: Callable[[], None]) -> None:
            in_turn(STARTS, sizes.starts, taken.starts, lambda what: sample(pool, user, what), say)
            done.add("starts")

        def tasks(_: Callable[[], None]) -> None:
            in_turn(WAYS, sizes.runs, taken.tasks, lambda way: sample(pool, user, way, sizes.tasks), say)
            done.add("tasks")

        def write(state: steps.State) -> None:
            said = [*remarks, *report.unfinished(state.missing, state.fault)]
            data = {"date": day, "facts": facts, **asdict(taken), "sizes": asdict(sizes)}
            data |= {"missing": state.missing, "fault": state.fault} if state.missing else {}
            data |= {"before": kept} if kept else {}
            report.replace(
                {
                    chosen.out / "outsourcing.md": text(state.figures, facts, day, said, former),
                    chosen.out / "outsourcing.json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
                }
            )

        def made() -> tuple[Figure, ...]:
            return figures_of(taken, sizes, done)

        code = steps.run(
            [Step("four workers", starts, made), Step("tasks", tasks, made)],
            write,
            raw=lambda: taken,
            log=FAULTS,
        )
        if not code:
            sys.stdout.write((chosen.out / "outsourcing.md").read_text(encoding="utf-8"))
        user.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
