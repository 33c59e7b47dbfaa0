"""Click to usable Lab in Chromium: over the hub, by hand on the same worker, and over another hub beside it."""

from __future__ import annotations

import itertools
import math
import shlex
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import playwright.sync_api
import requests
from hubclient import HubUser
from playwright.sync_api import Browser, BrowserContext, Page

from benchmarks import attempts, machine, report
from benchmarks.attempts import DidNotStartError, Failed
from benchmarks.stack import LogLine, WorkerAgent, first_line
from minipool import Minipool, wait_for

PATIENCE_S = 120
#: A hub that waits for a server which is gone gives up after its start_timeout, which is 300 s in a stock hub.
LETS_GO_S = 360
#: How often a log-in is tried: Chromium breaks off what it loads when a network of this machine comes or goes.
LOG_INS = 3

#: Lab is usable when its launcher shows a card for a kernel (for which /api/kernelspecs must have been answered), the
#: file browser has listed its folder, and nothing covers the window any more. The same words for every variant.
USABLE = """() => {
    const seen = (selector) => [...document.querySelectorAll(selector)].some((e) => e.offsetParent !== null);
    const specs = performance.getEntriesByType('resource')
        .some((entry) => /\\/api\\/kernelspecs/.test(entry.name) && entry.responseEnd > 0);
    const usable = specs && seen('.jp-LauncherCard[data-category="Notebook"]') && seen('.jp-DirListing-content')
        && !document.getElementById('jupyterlab-splash');
    if (!usable) { return null; }
    const origin = performance.timeOrigin;
    const [navigation] = performance.getEntriesByType('navigation');
    return {
        usable: (origin + performance.now()) / 1000,
        left: origin / 1000,
        answered: (origin + navigation.responseStart) / 1000,
        clicked: Number(sessionStorage.getItem('afhub-bench-clicked') ?? NaN) / 1000,
    };
}"""
#: Notes the moment of the click where the page that Lab is on can read it: both have one origin.
NOTE_CLICK = """() => document.addEventListener(
    'click', () => sessionStorage.setItem('afhub-bench-clicked', String(Date.now())), {capture: true})"""

#: What the hub writes into its log on the way, as regular expressions.
HUB_MARKS = {
    "job submitted": r"Submitted job",
    "port reported": r"listens on port",
    "hub says ready": r"took [\d.]+ seconds to start",
}


@dataclass
class Click:
    """One start. `marks` are moments in seconds since 1970; quiet: nothing else kept the machine busy before."""

    marks: dict[str, float]
    worker: str = ""
    quiet: bool = True

    @property
    def seconds(self) -> float:
        """From the click, or the command, to a usable Lab."""
        return self.marks["usable"] - self.marks["begun"]


class Variant(Protocol):
    """A way to a Lab."""

    name: str

    def start(self, context: BrowserContext) -> Click:
        """One start in a browser that nobody has used."""

    def stop(self) -> None:
        """Ends what `start` started, and waits until it is gone."""

    def reset(self) -> None:
        """Clears away whatever a start may have left, also where `stop` cannot."""

    def look(self) -> str:
        """What is known of a start that failed, in a few words."""


def _usable(page: Page) -> dict[str, float]:
    try:
        handle = page.wait_for_function(USABLE, timeout=PATIENCE_S * 1000, polling="raf")
    except playwright.sync_api.TimeoutError as error:
        raise DidNotStartError(f"no usable Lab within {PATIENCE_S} s") from error
    return dict(handle.json_value())


@dataclass
class OverHub:
    """A logged-in user of a hub who clicks what starts a server.

    page: address of the page it is on; start_by: a selector for it; to_schedd: in front of a tool of HTCondor on the
    hub's host, where it is not our schedd that the hub speaks to, and history: what its condor_history needs; cookies:
    of the log-in.
    """

    name: str
    user: HubUser
    agents: Mapping[str, WorkerAgent]
    page: str
    start_by: str
    to_schedd: str = ""
    history: str = ""
    cookies: Any = None

    def log_in(self, browser: Browser) -> None:
        """Once for all starts: the cookies are kept. Nothing of it is measured: what gets in its way is tried again."""
        for tries_left in reversed(range(LOG_INS)):
            context = browser.new_context(ignore_https_errors=True)
            try:
                self._log_in(context.new_page())
                self.cookies = context.storage_state()
            except playwright.sync_api.Error:
                if not tries_left:
                    raise
            else:
                return
            finally:
                context.close()

    def _log_in(self, page: Page) -> None:
        # Without this, a hub without a form would start a server now.
        page.goto(f"{self.user.pool.url}/hub/login?next=%2Fhub%2Fhome")
        page.get_by_label("Username").fill(self.user.name)
        page.get_by_label("Password").fill(self.user.name)
        page.keyboard.press("Enter")
        page.wait_for_url("**/hub/home")

    def start(self, context: BrowserContext) -> Click:
        page = context.new_page()
        page.goto(self.page, wait_until="load")
        page.evaluate(NOTE_CLICK)
        page.locator(self.start_by).click(no_wait_after=True)
        seen = _usable(page)
        if not math.isfinite(seen["clicked"]):
            raise DidNotStartError("the page with Lab does not know when the click was")
        began = {host: agent.do("see", "seen").get("at") for host, agent in self.agents.items()}
        running = {host: at for host, at in began.items() if at is not None and at > seen["clicked"] - 1}
        worker = max(running, key=lambda host: running[host]) if running else ""
        marks = {"begun": seen["clicked"]}
        if worker:
            marks["process started"] = running[worker]
        marks |= {"browser sent to Lab": seen["left"], "Lab's page answered": seen["answered"]}
        return Click({**marks, "usable": seen["usable"]}, worker)

    def stop(self) -> None:
        self.user.stop()
        wait_for("the workers have no notebook", self._nothing_runs, timeout_s=PATIENCE_S, every_s=0.2)

    def reset(self) -> None:
        # The hub may have forgotten a job that still waits for its slot, or wait itself for one that is gone.
        self._condor(f"condor_rm {shlex.quote(self.user.name)}; true")
        wait_for("the hub lets go of the notebook", self._let_go, timeout_s=LETS_GO_S, every_s=1)
        wait_for("the notebook's job is gone", lambda: not self._jobs(), timeout_s=PATIENCE_S, every_s=1)
        wait_for("the workers have no notebook", self._nothing_runs, timeout_s=PATIENCE_S, every_s=0.2)

    def look(self) -> str:
        """How the last job ended that the schedd had for this user, or the state of the one that it has."""
        jobs = self._jobs()
        if jobs:
            return f"its job: {jobs}"
        ended = self._condor(
            f"condor_history {self.history} {shlex.quote(self.user.name)} -limit 1 "
            "-af ClusterId JobStatus LastRemoteHost RemoveReason"
        )
        return f"its job: none; the last that ended: {ended}" if ended else "its job: none"

    def _jobs(self) -> str:
        return self._condor(
            f"condor_q {shlex.quote(self.user.name)} -af ClusterId JobStatus RemoteHost HoldReason"
        )

    def _condor(self, command: str) -> str:
        return self.user.pool.check("hub", f"{self.to_schedd} {command}".strip()).strip()

    def _let_go(self) -> bool:
        """Asks the hub to stop the server, which it refuses while the start goes on, until it has none."""
        try:
            if not self.user.server():
                return True
            self.user.api("DELETE", f"/users/{self.user.name}/server")
        except requests.RequestException:
            # A hub that has just lost a server may say 500 once.
            pass
        return False

    def _nothing_runs(self) -> bool:
        return all(agent.do("see", "seen").get("at") is None for agent in self.agents.values())


@dataclass
class ByHand:
    """The same user with a shell on the worker: starts the same server there and opens it when it has its port."""

    user: str
    agents: Mapping[str, WorkerAgent]
    worker: str
    name: str = "the same server, by hand on the same worker"

    def start(self, context: BrowserContext) -> Click:
        page = context.new_page()
        agent = self.agents[self.worker]
        begun = time.time()
        agent.ask("start", program="afhub-notebook")
        port = agent.answer("port")
        where = f"http://{agent.address}:{port['port']}/user/{self.user}/lab"
        page.goto(f"{where}?token={agent.token}", wait_until="commit")
        seen = _usable(page)
        answers = agent.answer("answers")
        marks = {
            "begun": begun,
            "process started": answers["began"],
            "port reported": port["at"],
            "browser sent to Lab": seen["left"],
            "Lab's page answered": seen["answered"],
            "usable": seen["usable"],
        }
        return Click(marks, self.worker)

    def stop(self) -> None:
        self.agents[self.worker].stop()

    def reset(self) -> None:
        self.agents[self.worker].stop()

    def look(self) -> str:
        return f"on {self.worker}"


def forget_layout(pool: Minipool, user: str) -> None:
    """Lab opens its launcher where no earlier layout is kept."""
    pool.check("worker1", "rm -rf ~/.jupyter/lab/workspaces", user=user)


def shown(context: BrowserContext) -> str:
    """What a browser shows: the address and the text of its last page."""
    if not context.pages:
        return "no page"
    page = context.pages[-1]
    # A page that does not answer shall not be waited for as long as a start.
    text = page.locator("body").inner_text(timeout=5000)
    return f"{page.url} shows: {attempts.shortened(text, 200)}"


def one(browser: Browser, variant: Variant) -> Click | Failed:
    """One start from an empty browser cache to a stopped server, or to one that has failed and left nothing."""
    context = browser.new_context(
        ignore_https_errors=True,
        viewport={"width": 1280, "height": 900},
        storage_state=getattr(variant, "cookies", None),
    )
    quiet = machine.becomes_quiet()

    def ends(end: Callable[[], None]) -> Callable[[], None]:
        def both() -> None:
            # First: a browser that goes on would ask the hub again and again.
            context.close()
            end()

        return both

    def look() -> str:
        return "; ".join(_seen(lambda: shown(context)) + _seen(variant.look))

    outcome = attempts.attempt(
        lambda: variant.start(context), stop=ends(variant.stop), reset=ends(variant.reset), look=look
    )
    if isinstance(outcome, Click):
        outcome.quiet = quiet
    return outcome


def _seen(look: Callable[[], str]) -> list[str]:
    try:
        return [look()]
    except attempts.FAILURES:
        return []


def in_turn(
    browser: Browser,
    pool: Minipool,
    user: str,
    variants: Iterable[tuple[Variant, list[Click | Failed]]],
    rounds: int,
) -> None:
    """Every variant once, and again, so that all of them see the machine in the same states.

    Adds to each variant's own list, start by start: what was taken is there whatever ends this. What is started by hand
    is started on the worker where the hub's last notebook ran.
    """
    variants = list(variants)
    for _ in range(rounds):
        worker = ""
        for variant, taken in variants:
            not_tried = attempts.given_up(taken)
            if not_tried:
                taken.append(not_tried)
                continue
            if isinstance(variant, ByHand) and worker:
                variant.worker = worker
            forget_layout(pool, user)
            outcome = one(browser, variant)
            worker = outcome.worker if isinstance(outcome, Click) and outcome.worker else worker
            taken.append(outcome)


def add_hub_marks(clicks: Iterable[Click | Failed], lines: list[LogLine]) -> None:
    """Adds what the hub's log says of each start, and puts all marks in the order of time."""
    for click in attempts.samples(clicks):
        begun, ended = click.marks["begun"], click.marks["usable"]
        for mark, pattern in HUB_MARKS.items():
            at = first_line(lines, pattern, begun, ended)
            if at is not None:
                click.marks[mark] = at


def split(clicks: list[Click]) -> list[tuple[str, float]]:
    """From mark to mark: what comes next, and the median of how long it takes.

    The order is that of the marks' medians; a mark that is not in every start is left out.
    """
    names = [name for name in clicks[0].marks if all(name in click.marks for click in clicks)]
    after = {
        name: statistics.median(click.marks[name] - click.marks["begun"] for click in clicks)
        for name in names
    }
    names.sort(key=lambda name: (name == "usable", after[name]))
    return [
        (later, statistics.median(click.marks[later] - click.marks[earlier] for click in clicks))
        for earlier, later in itertools.pairwise(names)
    ]


def series(
    name: str, clicks: Sequence[Click | Failed], at_least: int, *, whole: bool = True
) -> report.Series:
    """The seconds of all starts."""
    return report.Series.of(
        name,
        (click if isinstance(click, Failed) else click.seconds for click in clicks),
        at_least=at_least,
        whole=whole,
    )


def warm_up(pool: Minipool, user: HubUser, agents: Mapping[str, WorkerAgent]) -> str:
    """One notebook over the hub, whose variables the agents take over; returns the worker it ran on."""
    user.start({"notebook_class": "regular"}, timeout_s=PATIENCE_S)
    seen = {host: agent.do("see", "seen").get("at") for host, agent in agents.items()}
    user.stop()
    wait_for("the worker has no notebook", lambda: not pool.queue(), timeout_s=60)
    found = [host for host, at in seen.items() if at is not None]
    if not found:
        raise RuntimeError(f"the notebook is on none of {', '.join(agents)}")
    return found[0]
