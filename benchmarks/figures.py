"""The figures of results.md, made from what was measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import click_to_lab, report
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
    title: str, columns: Mapping[str, Sequence[Click]]
) -> tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A table of where the time goes: medians from mark to mark, a column for each variant."""
    splits = {name: dict(click_to_lab.split(list(clicks))) for name, clicks in columns.items() if clicks}
    marks = list(dict.fromkeys(mark for parts in splits.values() for mark in parts))
    rows = tuple(
        (f"until: {mark}", *(number(parts[mark], "s") if mark in parts else "–" for parts in splits.values()))
        for mark in marks
    )
    return title, ("median of", *splits), rows


def click_figures(clicks: Mapping[str, Sequence[Click]], sizes: Sizes) -> tuple[Figure, Figure]:
    """Click to usable Lab with an idle and with a busy batch pool."""
    least = {OURS: sizes.rounds * sizes.blocks, BY_HAND: sizes.rounds * sizes.blocks,
             STOCK: sizes.stock * sizes.blocks, STOCK_SETTINGS: sizes.stock_settings}  # fmt: skip

    def some(*names: str) -> tuple[Series, ...]:
        return tuple(
            click_to_lab.series(name, clicks[name], least[name.removesuffix(BUSY)])
            for name in names
            if name in clicks
        )

    every = [click for some_clicks in clicks.values() for click in some_clicks]
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
            Target("p50, over by hand", idle[0].over(idle[1], 0.5), 1.15),
            Target("p95, over by hand", idle[0].over(idle[1], 0.95), 1.4),
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
    second = Figure(
        "click_to_lab_busy",
        "Click to usable Lab, all batch slots busy and a long batch queue",
        f"As above while every batch slot runs a sleep and {sizes.idle_jobs} more jobs wait in the batch pool; blocks "
        "of both states take turns.",
        (busy[0], idle[0], *busy[1:]),
        (
            Target("p50, over the idle pool", busy[0].over(idle[0], 0.5), 1.10),
            Target("p95, over the idle pool", busy[0].over(idle[0], 0.95), 1.10),
        ),
        (_parts("Where the time goes", {"busy": clicks[OURS + BUSY], "idle": clicks[OURS]}),),
    )
    return first, second


def start_figure(starts: Mapping[str, Starts], sizes: Sizes) -> Figure:
    """A server's start by hand against plain Lab."""
    ours, plain = starts["afhub-notebook"], starts["jupyter-lab"]
    wall = [
        Series.of(f"{name}, until the first answer", one.seconds, at_least=sizes.starts)
        for name, one in (("afhub-notebook", ours), ("jupyter-lab", plain))
    ]
    cpu = [
        Series.of(f"{name}, CPU time of that", one.cpu_s, unit="CPU s", at_least=sizes.starts)
        for name, one in (("afhub-notebook", ours), ("jupyter-lab", plain))
    ]
    return Figure(
        "server_start",
        "Start of the server by hand",
        "From exec to the first request that is answered with 200, on a worker, both programs from the same "
        "environment in turn.",
        (*wall, *cpu),
        (Target("p50, over plain jupyter-lab", wall[0].over(wall[1], 0.5), 0.7),),
    )


def burst_figure(
    bursts: Sequence[tuple[Burst, Mapping[str, float]]], cpu_of_start: Series, sizes: Sizes
) -> Figure:
    """Twenty servers at once against the CPU time that twenty starts need."""
    cores = os.cpu_count() or 1
    all_ready = Series.of(
        f"until all {sizes.clicks} are ready", (one.seconds for one, _ in bursts), at_least=sizes.bursts
    )
    first = Series.of("until the first is ready", (min(one.ready_s) for one, _ in bursts))
    asked = Series.of("until the last click", (one.asked_s for one, _ in bursts))
    floor = sizes.clicks * cpu_of_start.median / cores
    spent = {part: [parts[part] for _, parts in bursts] for part in bursts[0][1]}
    rows = tuple((part, number(report.quantile(values, 0.5), "s")) for part, values in spent.items())
    return Figure(
        "burst",
        f"{sizes.clicks} clicks within a second",
        f"{sizes.clicks} servers asked for at once over the REST API. The CPU time of one start by hand is "
        f"{number(cpu_of_start.median, 's')}; {sizes.clicks} of them need {number(floor, 's')} on {cores} cores.",
        (all_ready, first, asked),
        (
            Target(
                f"p50, over {sizes.clicks} × the CPU time of a start ÷ cores", all_ready.median / floor, 1.25
            ),
        ),
        (("CPU time until all are ready, median", ("", "CPU"), rows),),
    )


def queue_figure(ours: Mapping[int, Cost], stock: Mapping[int, StockCost], sizes: Sizes) -> Figure:
    """The cost of a queue against that of stock batchspawner's questions."""
    low, high = min(ours), max(ours)
    series = [
        Series.of(f"{size} notebooks, hub + schedd", ours[size].readings, unit="CPU s/min")
        for size in sorted(ours)
    ]
    rows = tuple(
        (
            str(size),
            number(ours[size].hub),
            number(ours[size].schedd),
            number(ours[size].whole),
            number(stock[size].per_minute(size)) if size in stock else "–",
            report.ratio(ours[size].whole / stock[size].per_minute(size)) if size in stock else "–",
            number(stock[size].per_minute(size, STOCK_WAIT_INTERVAL_S)) if size in stock else "–",
        )
        for size in sorted(ours)
    )
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
        for size, one in sorted(stock.items())
    )
    targets = [Target(f"{high} notebooks, over {low}", ours[high].whole / ours[low].whole, 2.0)]
    if high in stock:
        targets.append(
            Target(f"{high} notebooks, over stock", ours[high].whole / stock[high].per_minute(high), 1 / 50)
        )
    notes = [
        f"Stock: the measured price of one question, times one in {STOCK_POLL_INTERVAL_S:.0f} s for each notebook "
        "(JupyterHub's interval for servers that run), and the schedd's own work. Left out, in favour of stock: the "
        f"work of the hub that forks, and that it asks every {STOCK_WAIT_INTERVAL_S:g} s for notebooks that wait, as "
        "those here do; what that would come to is in the last column."
    ]
    if high in stock and stock[high].wall_per_minute(high) > 60:
        notes.append(
            f"At {high} notebooks the questions of a minute take {number(stock[high].wall_per_minute(high), 's')} one "
            "after another, which is more than a minute: this is a sample times their number, not a hub that keeps up."
        )
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
                rows,
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


def with_notes(figure: Figure) -> Figure:
    """The figure with a line for each target that is missed, which says where to look."""
    missed = tuple(
        f"Missed: {target.what} is {report.ratio(target.ratio)}, {report.ratio(target.at_most)} at most. "
        + (
            "Where the time goes is in the table above."
            if figure.tables
            else "The rows above show wall and CPU time."
        )
        for target in figure.missed
    )
    return Figure(
        figure.key,
        figure.title,
        figure.about,
        figure.series,
        figure.targets,
        figure.tables,
        (*figure.notes, *missed),
    )
