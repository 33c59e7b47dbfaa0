"""All measurements in one run on the mini-pool of $INSTANCE: python -m benchmarks --out FOLDER.

Ends with 3 where the run broke off: what was measured until then is written all the same, and what is missing is named.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chromium import chromium
from hubclient import HubUser
from playwright.sync_api import Browser

from benchmarks import (
    attempts,
    burst,
    click_to_lab,
    figures,
    machine,
    queue_cost,
    report,
    server_start,
    stack,
    steps,
    stock_hub,
)
from benchmarks.attempts import Failed
from benchmarks.click_to_lab import ByHand, Click, OverHub, Variant
from benchmarks.figures import BUSY, OURS, STOCK, STOCK_SETTINGS, Sizes, TakenBurst
from benchmarks.queue_cost import Cost, StockCost
from benchmarks.report import Figure, Series
from benchmarks.server_start import PROGRAMS, Starts
from benchmarks.steps import Step
from minipool import ROOT, Minipool

FIGURES = ("clicks", "starts", "burst", "queue")
#: Where the traceback and all samples of a run that broke off are.
FAULTS = ROOT / "test-results/bench-fault.log"
#: The order of the figures in the results, whatever is measured first.
ORDER = ("click_to_lab", "click_to_lab_busy", "server_start", "burst", "queue_cost")
USER = "alice"
OTHER = "bob"
HUB_PARTS = {
    "hub": "afhub-hub.service",
    "schedd and shadows": "condor.service",
    "proxy": "afhub-proxy.service",
    "TLS front": "nginx.service",
}


Keep = Callable[[], None]


@dataclass
class Taken:
    """All samples of a run. Measurements add to it start by start, so that it is there whatever ends them."""

    clicks: dict[str, list[Click | Failed]] = field(default_factory=dict)
    starts: dict[str, Starts] = field(default_factory=lambda: {name: Starts() for name in PROGRAMS})
    bursts: list[TakenBurst | Failed] = field(default_factory=list)
    queues: dict[int, Cost | Failed] = field(default_factory=dict)
    questions: dict[int, StockCost | Failed] = field(default_factory=dict)

    def of(self, name: str) -> list[Click | Failed]:
        """The clicks of a variant."""
        return self.clicks.setdefault(name, [])


class Run:
    """One run: the pool, its users and agents, and what it has taken."""

    def __init__(self, pool: Minipool, sizes: Sizes, stack_of: ExitStack, *, with_stock: bool) -> None:
        self.pool, self.sizes, self.taken = pool, sizes, Taken()
        self.begun = time.monotonic()
        self.workers = pool.group("workers")
        for host in {*self.workers, "hub"}:
            stack.copy_scripts(pool, host)
        self.agents = {
            host: stack_of.enter_context(stack.WorkerAgent(pool, host, USER)) for host in self.workers
        }
        self.users = [HubUser(pool, USER), HubUser(pool, OTHER)]
        for user in self.users:
            user.login()
            if not user.token:
                raise RuntimeError(f"{user.name} cannot log in")
            user.stop_all()
        self.stock_pool = stack_of.enter_context(stock_hub.entered(pool)) if with_stock else None
        self.worker = click_to_lab.warm_up(pool, self.users[0], self.agents)

    def say(self, text: str) -> None:
        """A line for those who wait, with the time."""
        sys.stdout.write(f"{time.monotonic() - self.begun:6.0f} s  {text}\n")
        sys.stdout.flush()

    # -- click to usable Lab ------------------------------------------------------------------------------------------

    def clicks(self, keep: Keep) -> None:
        """All variants, idle and busy by turns."""
        log = stack.UnitLog(self.pool, "hub", "afhub-hub")

        def block_ends() -> None:
            lines = log.lines()
            for name in (OURS, OURS + BUSY):
                click_to_lab.add_hub_marks(self.taken.of(name), lines)
            keep()

        with chromium() as browser:
            ours = OverHub(
                OURS, self.users[0], self.agents, f"{self.pool.url}/hub/spawn", "#spawn_form [type=submit]"
            )
            ours.log_in(browser)
            hand = ByHand(USER, self.agents, self.worker)
            other = self._stock_variant(browser, STOCK)
            for block in range(1, self.sizes.blocks + 1):
                self.say(f"Clicks, idle batch pool, block {block} of {self.sizes.blocks}")
                self._block(browser, (ours, hand), other, "")
                block_ends()
                self.say(f"Clicks, busy batch pool, block {block} of {self.sizes.blocks}")
                with stack.busy_batch_pool(self.pool, USER, self.sizes.idle_jobs) as seen:
                    self.say(seen)
                    self._block(browser, (ours,), other, BUSY)
                block_ends()

    def _stock_variant(self, browser: Browser, name: str) -> OverHub | None:
        if self.stock_pool is None:
            return None
        user = HubUser(self.stock_pool, USER)
        user.login()
        user.stop_all()
        # Without a form, the link on the home page starts the server.
        variant = OverHub(
            name, user, self.agents, f"{self.stock_pool.url}/hub/home", "#start",
            to_schedd=stock_hub.TO_SCHEDD, history=stock_hub.HISTORY,
        )  # fmt: skip
        variant.log_in(browser)
        return variant

    def _block(
        self, browser: Browser, variants: Sequence[Variant], other: Variant | None, state: str
    ) -> None:
        """So many rounds, the first of them with the stock hub as well."""
        with_stock = min(self.sizes.stock, self.sizes.rounds) if other is not None else 0
        for some, rounds in (
            ((*variants, *([other] if other else [])), with_stock),
            (variants, self.sizes.rounds - with_stock),
        ):
            self._in_turn(browser, some, rounds, state)

    def _in_turn(self, browser: Browser, variants: Sequence[Variant], rounds: int, state: str) -> None:
        into = [(variant, self.taken.of(variant.name + state)) for variant in variants]
        known = {variant.name: len(attempts.failures(outcomes)) for variant, outcomes in into}
        try:
            click_to_lab.in_turn(browser, self.pool, USER, into, rounds)
        finally:
            for variant, outcomes in into:
                for failed in attempts.failures(outcomes)[known[variant.name] :]:
                    self.say(f"{variant.name}{state} {failed.what}: {failed.reason}")

    def stock_settings(self, keep: Keep) -> None:
        """Both states on HTCondor's own settings. The last of all: nothing else is measured with what it leaves."""
        self.say("Clicks, stock HTCondor settings: setting them")
        try:
            stock_hub.deploy(self.pool, "stock")
            with chromium() as browser:
                other = self._stock_variant(browser, STOCK_SETTINGS)
                if other is None:
                    return
                self.say("Clicks, stock HTCondor settings")
                self._in_turn(browser, (other,), self.sizes.stock_settings, "")
                keep()
                with stack.busy_batch_pool(self.pool, USER, self.sizes.idle_jobs) as seen:
                    self.say(seen)
                    self._in_turn(browser, (other,), self.sizes.stock_settings, BUSY)
        finally:
            stock_hub.tune_again(self.pool)

    # -- the others ---------------------------------------------------------------------------------------------------

    def starts(self, _: Keep) -> None:
        """Both programs by hand."""
        self.say("Starts by hand")
        server_start.measure(self.agents[self.worker], self.sizes.starts, self.taken.starts)

    def _spent(self) -> dict[str, float]:
        """CPU seconds so far of this machine and of what a start needs."""
        hub = stack.cpu(self.pool, "hub", *HUB_PARTS.values())
        spent = {"the whole machine": machine.busy_s()}
        spent["workers: startds, starters, servers"] = sum(
            stack.cpu(self.pool, host, "condor.service")["condor.service"] for host in self.workers
        )
        return spent | {name: hub[unit] for name, unit in HUB_PARTS.items()}

    def bursts(self, keep: Keep) -> None:
        """All clicks at once, some times."""

        def one() -> TakenBurst:
            found, before, after = burst.measure(self.users, self.sizes.clicks, self._spent)
            return found, {part: after[part] - before[part] for part in before}

        for number in range(self.sizes.bursts):
            self.say(f"Burst {number + 1} of {self.sizes.bursts}")
            burst.empty(self.pool)
            self.taken.bursts.append(
                attempts.attempt(
                    one,
                    stop=lambda: burst.stop_all(self.users),
                    reset=lambda: burst.reset(self.pool, self.users),
                )
            )
            keep()

    def queue(self, keep: Keep) -> None:
        """Queues of ours, then of the stock schedd."""
        self.say(f"Queues of {', '.join(map(str, self.sizes.queues))} notebooks")
        sizes, seconds = self.sizes.queues, self.sizes.window_s
        queue_cost.ours(self.pool, sizes, seconds, (USER, OTHER), self.taken.queues, keep)
        if self.stock_pool is not None:
            self.say("Questions to the stock schedd")
            queue_cost.stock(
                self.pool, USER, sizes, self.sizes.polls, min(20, seconds), self.taken.questions, keep
            )


def steps_of(run: Run, only: Sequence[str]) -> list[Step]:
    """The measurements in their order. Figures are made whole of what a step that is done has left."""
    taken, sizes = run.taken, run.sizes
    done: set[str] = set()

    def step(name: str, take: Callable[[Keep], None], figures_of: Callable[[bool], Sequence[Figure]]) -> Step:
        def measured(keep: Keep) -> None:
            take(keep)
            done.add(name)

        return Step(name, measured, lambda: figures_of(name in done))

    def clicks(whole: bool) -> Sequence[Figure]:
        return figures.click_figures(taken.clicks, sizes, whole=whole)

    def starts(whole: bool) -> Sequence[Figure]:
        # A burst needs them too, and is no reason to show them.
        return (figures.start_figure(taken.starts, sizes, whole=whole),) if "starts" in only else ()

    def bursts(whole: bool) -> Sequence[Figure]:
        cpu = Series.of("CPU time of a start", taken.starts["afhub-notebook"].cpu_s, whole=whole)
        return (figures.burst_figure(taken.bursts, cpu, sizes, whole=whole),)

    def queue(whole: bool) -> Sequence[Figure]:
        return (figures.queue_figure(taken.queues, taken.questions, sizes, whole=whole),)

    all_steps = [
        ("starts", step("starts by hand", run.starts, starts), "starts" in only or "burst" in only),
        ("clicks", step("clicks", run.clicks, clicks), "clicks" in only),
        ("burst", step("bursts", run.bursts, bursts), "burst" in only),
        ("queue", step("queues", run.queue, queue), "queue" in only),
    ]
    if run.stock_pool is not None:
        last = step("clicks with stock HTCondor settings", run.stock_settings, clicks)
        all_steps.append(("clicks", last, "clicks" in only))
    return [one for _, one, wanted in all_steps if wanted]


def main() -> int:
    """Measures, and writes results.md and results.json as it goes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for results.md and results.json")
    parser.add_argument(
        "--quick", action="store_true", help="few samples: to see that it works, not how fast it is"
    )
    parser.add_argument("--only", choices=FIGURES, nargs="+", default=FIGURES, help="some of the figures")
    parser.add_argument("--without-stock", action="store_true", help="the stock hub is not deployed")
    parser.add_argument(
        "--before", type=Path, metavar="FILE",
        help="a results.json to show beside the new results; otherwise the last ones of another commit in --out",
    )  # fmt: skip
    chosen = parser.parse_args()
    sizes = figures.QUICK if chosen.quick else figures.FULL

    with steps.plainly(FAULTS), ExitStack() as stack_of:
        # First of all: a file that cannot be read is told before half an hour of work.
        former = (
            report.Before.of(report.read(chosen.before))
            if chosen.before
            else report.before(chosen.out / "results.json", machine.commit())
        )
        pool = Minipool.from_environment()
        remarks = () if not chosen.quick else ("**A quick run: far too few samples for a figure.**",)
        day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        versions = machine.versions(pool)

        def shaped(some: Sequence[Figure]) -> tuple[Figure, ...]:
            return tuple(sorted(map(figures.with_notes, some), key=lambda figure: ORDER.index(figure.key)))

        shown: dict[str, Figure] = {}

        def write(state: steps.State) -> None:
            shown.update({figure.key: figure for figure in state.figures})
            results = report.Results(
                day, machine.machine(), versions, shaped(state.figures), remarks, former, state.missing,
                state.fault,
            )  # fmt: skip
            report.write(results, chosen.out)

        def done(figure: Figure) -> None:
            sys.stdout.write(f"\n{report.figure_text(figures.with_notes(figure), former)}\n\n")
            sys.stdout.flush()

        run = Run(pool, sizes, stack_of, with_stock=not chosen.without_stock)
        code = steps.run(
            steps_of(run, chosen.only),
            write,
            raw=lambda: run.taken,
            log=FAULTS,
            done=done,
            left_out=[
                *(name for name in FIGURES if name not in chosen.only),
                *(["stock batchspawner"] if chosen.without_stock else []),
            ],
        )
        if not shown:
            run.say("Nothing was measured, and nothing is written.")
            return code
        run.say(f"Written: {chosen.out}/results.md and results.json")
        sys.stdout.write("\n" + report.summary(shaped(tuple(shown.values())), former) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
