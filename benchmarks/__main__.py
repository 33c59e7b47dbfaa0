"""All measurements in one run on the mini-pool of $INSTANCE: python -m benchmarks --out FOLDER."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from chromium import chromium
from hubclient import HubUser
from playwright.sync_api import Browser

from benchmarks import (
    burst,
    click_to_lab,
    figures,
    machine,
    queue_cost,
    report,
    server_start,
    stack,
    stock_hub,
)
from benchmarks.click_to_lab import ByHand, Click, OverHub, Variant
from benchmarks.figures import BUSY, OURS, STOCK, STOCK_SETTINGS, Sizes
from minipool import Minipool

FIGURES = ("clicks", "starts", "burst", "queue")
USER = "alice"
OTHER = "bob"
HUB_PARTS = {
    "hub": "afhub-hub.service",
    "schedd and shadows": "condor.service",
    "proxy": "afhub-proxy.service",
    "TLS front": "nginx.service",
}


class Run:
    """One run: the pool, its users and agents."""

    def __init__(self, pool: Minipool, sizes: Sizes, stack_of: ExitStack, *, with_stock: bool) -> None:
        self.pool, self.sizes = pool, sizes
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

    def clicks(self) -> dict[str, list[Click]]:
        """All variants, idle and busy by turns."""
        taken: dict[str, list[Click]] = {}
        log = stack.UnitLog(self.pool, "hub", "afhub-hub")
        with chromium() as browser:
            ours = OverHub(
                OURS, self.users[0], self.agents, f"{self.pool.url}/hub/spawn", "#spawn_form [type=submit]"
            )
            ours.log_in(browser)
            hand = ByHand(USER, self.agents, self.worker)
            other = self._stock_variant(browser, STOCK)
            for block in range(1, self.sizes.blocks + 1):
                self.say(f"Clicks, idle batch pool, block {block} of {self.sizes.blocks}")
                self._block(taken, browser, (ours, hand), other, "")
                self.say(f"Clicks, busy batch pool, block {block} of {self.sizes.blocks}")
                with stack.busy_batch_pool(self.pool, USER, self.sizes.idle_jobs) as seen:
                    self.say(seen)
                    self._block(taken, browser, (ours,), other, BUSY)
        lines = log.lines()
        for name in (OURS, OURS + BUSY):
            click_to_lab.add_hub_marks(taken[name], lines)
        return taken

    def _stock_variant(self, browser: Browser, name: str) -> OverHub | None:
        if self.stock_pool is None:
            return None
        user = HubUser(self.stock_pool, USER)
        user.login()
        user.stop_all()
        # Without a form, the link on the home page starts the server.
        variant = OverHub(name, user, self.agents, f"{self.stock_pool.url}/hub/home", "#start")
        variant.log_in(browser)
        return variant

    def _block(
        self,
        taken: dict[str, list[Click]],
        browser: Browser,
        variants: Sequence[Variant],
        other: Variant | None,
        state: str,
    ) -> None:
        """So many rounds, the first of them with the stock hub as well."""
        with_stock = min(self.sizes.stock, self.sizes.rounds) if other is not None else 0
        for some, rounds in (
            ((*variants, *([other] if other else [])), with_stock),
            (variants, self.sizes.rounds - with_stock),
        ):
            for name, clicks in click_to_lab.in_turn(browser, self.pool, USER, some, rounds).items():
                taken.setdefault(name + state, []).extend(clicks)

    def stock_settings(self) -> dict[str, list[Click]]:
        """Both states on HTCondor's own settings. The last of all: nothing else is measured with what it leaves."""
        taken: dict[str, list[Click]] = {}
        self.say("Clicks, stock HTCondor settings: setting them")
        try:
            stock_hub.deploy(self.pool, "stock")
            with chromium() as browser:
                other = self._stock_variant(browser, STOCK_SETTINGS)
                if other is None:
                    return taken
                self.say("Clicks, stock HTCondor settings")
                found = click_to_lab.in_turn(browser, self.pool, USER, (other,), self.sizes.stock_settings)
                taken[STOCK_SETTINGS] = found[STOCK_SETTINGS]
                with stack.busy_batch_pool(self.pool, USER, self.sizes.idle_jobs) as seen:
                    self.say(seen)
                    found = click_to_lab.in_turn(
                        browser, self.pool, USER, (other,), self.sizes.stock_settings
                    )
                    taken[STOCK_SETTINGS + BUSY] = found[STOCK_SETTINGS]
        finally:
            stock_hub.tune_again(self.pool)
        return taken

    # -- the others ---------------------------------------------------------------------------------------------------

    def starts(self) -> dict[str, server_start.Starts]:
        """Both programs by hand."""
        self.say("Starts by hand")
        return server_start.measure(self.agents[self.worker], self.sizes.starts)

    def _spent(self) -> dict[str, float]:
        """CPU seconds so far of this machine and of what a start needs."""
        hub = stack.cpu(self.pool, "hub", *HUB_PARTS.values())
        spent = {"the whole machine": machine.busy_s()}
        spent["workers: startds, starters, servers"] = sum(
            stack.cpu(self.pool, host, "condor.service")["condor.service"] for host in self.workers
        )
        return spent | {name: hub[unit] for name, unit in HUB_PARTS.items()}

    def bursts(self) -> list[tuple[burst.Burst, Mapping[str, float]]]:
        """All clicks at once, some times."""
        found: list[tuple[burst.Burst, Mapping[str, float]]] = []
        for number in range(self.sizes.bursts):
            self.say(f"Burst {number + 1} of {self.sizes.bursts}")
            burst.empty(self.pool)
            one, before, after = burst.measure(self.users, self.sizes.clicks, self._spent)
            found.append((one, {part: after[part] - before[part] for part in before}))
        return found

    def queue(self) -> tuple[dict[int, queue_cost.Cost], dict[int, queue_cost.StockCost]]:
        """Queues of ours, then of the stock schedd."""
        self.say(f"Queues of {', '.join(map(str, self.sizes.queues))} notebooks")
        ours = queue_cost.ours(self.pool, self.sizes.queues, self.sizes.window_s, (USER, OTHER))
        stock = {}
        if self.stock_pool is not None:
            self.say("Questions to the stock schedd")
            stock = queue_cost.stock(
                self.pool, USER, self.sizes.queues, self.sizes.polls, min(20, self.sizes.window_s)
            )
        return ours, stock


def main() -> None:
    """Measures, then writes results.md and results.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for results.md and results.json")
    parser.add_argument(
        "--quick", action="store_true", help="few samples: to see that it works, not how fast it is"
    )
    parser.add_argument("--only", choices=FIGURES, nargs="+", default=FIGURES, help="some of the figures")
    parser.add_argument("--without-stock", action="store_true", help="the stock hub is not deployed")
    chosen = parser.parse_args()
    sizes = figures.QUICK if chosen.quick else figures.FULL
    pool = Minipool.from_environment()
    found: dict[str, report.Figure] = {}

    remarks = () if not chosen.quick else ("**A quick run: far too few samples for a figure.**",)
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    versions = machine.versions(pool)

    def add(*some: report.Figure) -> None:
        # Shown and written at once: a later measurement that fails must not take these along.
        for figure in map(figures.with_notes, some):
            found[figure.key] = figure
            sys.stdout.write(f"\n{report.figure_text(figure)}\n\n")
        results = report.Results(day, machine.machine(), versions, tuple(found.values()), remarks)
        report.write(results, chosen.out)

    with ExitStack() as stack_of:
        run = Run(pool, sizes, stack_of, with_stock=not chosen.without_stock)
        if "starts" in chosen.only or "burst" in chosen.only:
            starts = run.starts()
            started = figures.start_figure(starts, sizes)
        if "clicks" in chosen.only:
            clicks = run.clicks()
            add(*figures.click_figures(clicks, sizes))
        if "starts" in chosen.only:
            add(started)
        if "burst" in chosen.only:
            cpu = report.Series.of("CPU time of a start", starts["afhub-notebook"].cpu_s)
            add(figures.burst_figure(run.bursts(), cpu, sizes))
        if "queue" in chosen.only:
            add(figures.queue_figure(*run.queue(), sizes))
        if "clicks" in chosen.only and run.stock_pool is not None:
            clicks |= run.stock_settings()
            # In the place of those without it.
            add(*figures.click_figures(clicks, sizes))
        run.say(f"Written: {chosen.out}/results.md and results.json")
    sys.stdout.write("\n" + report.summary(found.values()) + "\n")


if __name__ == "__main__":
    main()
