"""The figures of results.md, made from what was measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks import click_to_lab, report
from benchmarks.attempts import Failed, failures, samples
from benchmarks.burst import Burst
from benchmarks.click_to_lab import Click
from benchmarks.queue_cost import STOCK_POLL_INTERVAL_S, STOCK_WAIT_INTERVAL_S, Cost, StockCost
from benchmarks.report import Figure, Series, Target, number
from benchmarks.server_start import Starts

OURS = "over the hub"
BY_HAND = "the same server, by hand on the same worker"
STOCK = "stock batchspawner, tuned pool"
STOCK_SETTINGS = "stock batchspawner, stock HTCondor settings"
BUSY = ", batch pool busy"
#: What the figures of clicks cannot do without: where nothing of it was measured, they say so.
ALWAYS = (OURS, BY_HAND, OURS + BUSY)


@dataclass(frozen=True)
class Sizes:
    """How many samples a run takes, and how many its figures need at least."""

    rounds: int
    blocks: int
    stock: int
    stock_settings: int
    starts: int
    bursts: int
    clicks: int
    idle_jobs: int
    queues: tuple[int, ...]
    window_s: float
    polls: int


FULL = Sizes(rounds=10, blocks=2, stock=5, stock_settings=5, starts=20, bursts=3, clicks=20, idle_jobs=5000,
             queues=(10, 100, 1000), window_s=60, polls=100)  # fmt: skip
QUICK = Sizes(rounds=2, blocks=1, stock=1, stock_settings=1, starts=2, bursts=1, clicks=4, idle_jobs=50,
              queues=(4, 12), window_s=10, polls=5)  # fmt: skip


def _parts(
    title: str, columns: Mapping[str, Sequence[Click | Failed]]
) -> tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A table of where the time goes: medians from mark to mark, a column for each variant."""
    taken = {name: samples(outcomes) for name, outcomes in columns.items()}
    splits = {name: dict(click_to_lab.split(clicks)) for name, clicks in taken.items() if clicks}
    marks = list(dict.fromkeys(mark for parts in splits.values() for mark in parts))
    rows = tuple(
        (f"until: {mark}", *(number(parts[mark], "s") if mark in parts else "–" for parts in splits.values()))
        for mark in marks
    )
    return title, ("median of", *splits), rows


def click_figures(
    clicks: Mapping[str, Sequence[Click | Failed]], sizes: Sizes, *, whole: bool = True
) -> tuple[Figure, Figure]:
    """Click to usable Lab with an idle and with a busy batch pool; not `whole`: of what there is so far."""
    least = {OURS: sizes.rounds * sizes.blocks, BY_HAND: sizes.rounds * sizes.blocks,
             STOCK: sizes.stock * sizes.blocks, STOCK_SETTINGS: sizes.stock_settings}  # fmt: skip

    def one(name: str) -> Series:
        return click_to_lab.series(name, clicks.get(name, ()), least[name.removesuffix(BUSY)], whole=whole)

    def some(*names: str) -> tuple[Series, ...]:
        return tuple(one(name) for name in names if name in clicks or name in ALWAYS)

    every = [click for outcomes in clicks.values() for click in samples(outcomes)]
    loud = sum(not click.quiet for click in every)
    notes = (
        (f"{loud} of {len(every)} starts began while something else kept the machine busy.",) if loud else ()
    )
    idle = some(OURS, BY_HAND, STOCK, STOCK_SETTINGS)
    first = Figure(
        "click_to_lab",
        "Click to usable Lab",
        "From the click on Start to a Lab with its launcher, kernels and file browser, in Chromium with an empty "
        "cache. By hand: from the command on the worker, in the same browser.",
        idle,
        (
            Target.of("p50, over by hand", idle[0], idle[1], 0.5, 1.15),
            Target.of("p95, over by hand", idle[0], idle[1], 0.95, 1.4),
        ),
        (
            _parts(
                "Where the time goes",
                {name: clicks[name] for name in (OURS, BY_HAND, STOCK, STOCK_SETTINGS) if name in clicks},
            ),
        ),
        notes,
    )
    busy = some(OURS + BUSY, STOCK + BUSY, STOCK_SETTINGS + BUSY)
    # Both are ours: a start that failed on the idle pool would make the busy one look good.
    ours_failed = len(busy[0].failed) + len(idle[0].failed)
    second = Figure(
        "click_to_lab_busy",
        "Click to usable Lab, all batch slots busy and a long batch queue",
        f"As above while every batch slot runs a sleep and {sizes.idle_jobs} more jobs wait in the batch pool; blocks "
        "of both states take turns.",
        (busy[0], idle[0], *busy[1:]),
        tuple(
            replace(Target.of(what, busy[0], idle[0], share, 1.10), failed=ours_failed)
            for what, share in (("p50, over the idle pool", 0.5), ("p95, over the idle pool", 0.95))
        ),
        (
            _parts(
                "Where the time goes",
                {"busy": clicks.get(OURS + BUSY, ()), "idle": clicks.get(OURS, ())},
            ),
        ),
    )
    return first, second


def start_figure(starts: Mapping[str, Starts], sizes: Sizes, *, whole: bool = True) -> Figure:
    """A server's start by hand against plain Lab."""
    ours, plain = starts["afhub-notebook"], starts["jupyter-lab"]
    wall = [
        Series.of(f"{name}, until the first answer", one.seconds, at_least=sizes.starts, whole=whole)
        for name, one in (("afhub-notebook", ours), ("jupyter-lab", plain))
    ]
    cpu = [
        Series.of(f"{name}, CPU time of that", one.cpu_s, unit="CPU s", at_least=sizes.starts, whole=whole)
        for name, one in (("afhub-notebook", ours), ("jupyter-lab", plain))
    ]
    return Figure(
        "server_start",
        "Start of the server by hand",
        "From exec to the first request that is answered with 200, on a worker, both programs from the same "
        "environment in turn.",
        (*wall, *cpu),
        (Target.of("p50, over plain jupyter-lab", wall[0], wall[1], 0.5, 0.7),),
    )


#: One burst, with the CPU seconds of each part meanwhile.
TakenBurst = tuple[Burst, Mapping[str, float]]


def burst_figure(
    bursts: Sequence[TakenBurst | Failed], cpu_of_start: Series, sizes: Sizes, *, whole: bool = True
) -> Figure:
    """Twenty servers at once against the CPU time that twenty starts need."""
    cores = os.cpu_count() or 1
    outcomes = [one if isinstance(one, Failed) else one[0].whole() for one in bursts]
    good = samples(outcomes)
    failed = failures(outcomes)
    all_ready = Series.of(
        f"until all {sizes.clicks} are ready",
        [*(one.seconds for one in good), *failed],
        at_least=sizes.bursts,
        whole=whole,
    )
    # Where one server of a burst fails, the others start on a machine with less to do: no sample of anything.
    first = Series.of("until the first is ready", [*(min(one.ready_s) for one in good), *failed], at_least=0)
    asked = Series.of("until the last click", [*(one.asked_s for one in good), *failed], at_least=0)
    floor = sizes.clicks * cpu_of_start.median / cores if cpu_of_start.values else None
    spent = [one[1] for one in bursts if not isinstance(one, Failed) and not one[0].failed]
    rows = tuple(
        (part, number(report.quantile([parts[part] for parts in spent], 0.5), "s"))
        for part in (spent[0] if spent else ())
    )
    needs = (
        f"The CPU time of one start by hand is {number(cpu_of_start.median, 's')}; {sizes.clicks} of them need "
        f"{number(floor, 's')} on {cores} cores."
        if floor is not None
        else "How much CPU time a start by hand takes was not measured."
    )
    return Figure(
        "burst",
        f"{sizes.clicks} clicks within a second",
        f"{sizes.clicks} servers asked for at once over the REST API. {needs}",
        (all_ready, first, asked),
        (
            Target(
                f"p50, over {sizes.clicks} × the CPU time of a start ÷ cores",
                all_ready.median / floor if floor and all_ready.values else None,
                1.25,
                len(failed),
                all_ready.complete,
            ),
        ),
        (("CPU time until all are ready, median", ("", "CPU"), rows),),
    )


def queue_figure(
    ours: Mapping[int, Cost | Failed],
    stock: Mapping[int, StockCost | Failed],
    sizes: Sizes,
    *,
    whole: bool = True,
) -> Figure:
    """The cost of a queue against that of stock batchspawner's questions."""
    low, high = min(sizes.queues), max(sizes.queues)
    series = [
        Series.of(
            f"{size} notebooks, hub + schedd",
            _readings(ours.get(size)),
            unit="CPU s/min",
            whole=whole,
        )
        for size in sorted(sizes.queues)
    ]
    asked = {size: one for size, one in sorted(stock.items()) if not isinstance(one, Failed)}
    costs = {size: one for size, one in sorted(ours.items()) if not isinstance(one, Failed)}

    def row(size: int, cost: Cost) -> tuple[str, ...]:
        questions = ("–", "–", "–")
        if size in asked:
            theirs = asked[size].per_minute(size)
            questions = (
                number(theirs),
                report.ratio(cost.whole / theirs),
                number(asked[size].per_minute(size, STOCK_WAIT_INTERVAL_S)),
            )
        return str(size), number(cost.hub), number(cost.schedd), number(cost.whole), *questions

    polls = tuple(
        (
            str(size),
            str(one.polls),
            number(1000 * one.tools_s, "ms"),
            number(1000 * one.schedd_s, "ms"),
            number(1000 * one.wall_s, "ms"),
            number(one.background, "s/min"),
            number(one.wall_per_minute(size), "s/min"),
        )
        for size, one in asked.items()
    )
    here = costs.get(high)
    # A queue of ours that could not be made or kept is no cheap one.
    targets = [
        Target(
            f"{high} notebooks, over {low}",
            here.whole / costs[low].whole if here and low in costs else None,
            2.0,
            sum(isinstance(ours.get(size), Failed) for size in (low, high)),
        )
    ]
    if stock:
        targets.append(
            Target(
                f"{high} notebooks, over stock",
                here.whole / asked[high].per_minute(high) if here and high in asked else None,
                1 / 50,
                int(isinstance(ours.get(high), Failed)),
            )
        )
    notes = [
        f"Stock: the measured price of one question, times one in {STOCK_POLL_INTERVAL_S:.0f} s for each notebook "
        "(JupyterHub's interval for servers that run), and the schedd's own work. Left out, in favour of stock: the "
        f"work of the hub that forks, and that it asks every {STOCK_WAIT_INTERVAL_S:g} s for notebooks that wait, as "
        "those here do; what that would come to is in the last column."
    ]
    if high in asked and asked[high].wall_per_minute(high) > 60:
        notes.append(
            f"At {high} notebooks the questions of a minute take {number(asked[high].wall_per_minute(high), 's')} one "
            "after another, which is more than a minute: this is a sample times their number, not a hub that keeps up."
        )
    notes += [
        f"{size} jobs in the stock schedd: {one.what}: {one.reason}"
        for size, one in sorted(stock.items())
        if isinstance(one, Failed)
    ]
    return Figure(
        "queue_cost",
        "CPU of hub and schedd with a queue of notebooks",
        f"Notebooks of as many users; two run, the others wait for a slot. Each row: {number(sizes.window_s, 's')} "
        "after the queue has settled, in readings of 10 s. The targets are made of the whole windows.",
        tuple(series),
        tuple(targets),
        (
            (
                "CPU seconds a minute",
                ("notebooks", "hub", "schedd", "both", "stock", "both, over stock", "stock, as they wait"),
                tuple(row(size, cost) for size, cost in costs.items()),
            ),
            (
                "One question of stock batchspawner (sudo and condor_q)",
                (
                    "jobs in the schedd",
                    "n",
                    "sudo + condor_q, CPU",
                    "schedd, CPU",
                    "takes",
                    "schedd unasked",
                    "all of a minute take",
                ),
                polls,
            ),
        ),
        tuple(notes),
    )


def _readings(cost: Cost | Failed | None) -> Sequence[float | Failed]:
    if cost is None:
        return ()
    return (cost,) if isinstance(cost, Failed) else cost.readings


def _missed(figure: Figure, target: Target) -> str:
    if target.failed:
        others = (
            "no other was measured"
            if target.ratio is None
            else f"of the others it is {report.ratio(target.ratio)}"
        )
        return (
            f"Missed: {target.what}: {target.failed} of ours came to nothing, which no ratio makes good ({others}, "
            f"{report.ratio(target.at_most)} at most)."
        )
    where = (
        "Where the time goes is in the table above."
        if figure.tables
        else "The rows above show wall and CPU time."
    )
    found = 0.0 if target.ratio is None else target.ratio
    return f"Missed: {target.what} is {report.ratio(found)}, {report.ratio(target.at_most)} at most. {where}"


def with_notes(figure: Figure) -> Figure:
    """The figure with a line for each target that is missed, which says where to look."""
    missed = tuple(_missed(figure, target) for target in figure.missed)
    return replace(figure, notes=(*figure.notes, *missed))
