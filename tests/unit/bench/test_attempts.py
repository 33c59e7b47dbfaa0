"""A start that fails is counted, what it left is cleared away, and the next one begins as if it had not been."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, cast

import pytest
from hubclient import HubUser
from playwright.sync_api import Browser
from playwright.sync_api import Error as BrowserError

from benchmarks import (
    attempts,
    burst,
    click_to_lab,
    machine,
    queue_cost,
    server_start,
    stack,
)
from benchmarks.attempts import NOT_TRIED, DidNotStartError, Failed, StateLostError
from benchmarks.click_to_lab import Click, OverHub
from benchmarks.queue_cost import Cost, StockCost
from benchmarks.server_start import PROGRAMS, Starts
from minipool import Minipool

FAILURE = DidNotStartError("no usable Lab within 120 s")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "becomes_quiet", lambda: True)


class Pool:
    """A pool that does whatever it is told, and remembers it."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.jobs: list[dict[str, Any]] = []

    def check(self, host: str, command: str, **_: Any) -> str:
        self.commands.append(f"{host}: {command}")
        return ""

    def queue(self, *_: str) -> list[dict[str, Any]]:
        return self.jobs


class Page:
    url = "http://hub/hub/spawn-pending/alice"

    def locator(self, _: str) -> Page:
        return self

    def inner_text(self, **_: Any) -> str:
        return "Spawn failed:\nthe job has disappeared"


class Context:
    def __init__(self) -> None:
        self.pages = [Page()]
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeBrowser:
    def __init__(self) -> None:
        self.contexts: list[Context] = []

    def new_context(self, **_: Any) -> Context:
        assert all(context.closed for context in self.contexts), "an earlier browser goes on asking the hub"
        self.contexts.append(Context())
        return self.contexts[-1]


class Variant:
    """Fails where the list has an exception. `left`: what it has started and nobody has ended."""

    def __init__(self, name: str, *outcomes: float | Exception, stop_fails: bool = False) -> None:
        self.name, self.outcomes, self.stop_fails = name, list(outcomes), stop_fails
        self.left = self.resets = 0

    def start(self, _: Any) -> Click:
        assert not self.left, "the next start begins beside what the last one left"
        self.left = 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return Click({"begun": 0, "usable": outcome}, "worker1")

    def stop(self) -> None:
        if self.stop_fails:
            raise AssertionError("the hub does not stop it")
        self.left = 0

    def reset(self) -> None:
        self.left, self.resets = 0, self.resets + 1

    def look(self) -> str:
        return "its job: 7 removed"


def clicked(*variants: Variant, rounds: int) -> list[list[Click | Failed]]:
    taken: list[list[Click | Failed]] = [[] for _ in variants]
    browser = cast("Browser", FakeBrowser())
    pool = cast("Minipool", Pool())
    click_to_lab.in_turn(browser, pool, "alice", zip(variants, taken, strict=True), rounds)
    assert all(context.closed for context in cast("FakeBrowser", browser).contexts)
    return taken


def test_a_click_that_fails_is_counted_and_the_run_goes_on_from_a_clean_state() -> None:
    stock, ours = Variant("stock", 1, FAILURE, 3), Variant("ours", 4, 5, 6)
    taken, others = clicked(stock, ours, rounds=3)
    assert [click.seconds for click in attempts.samples(taken)] == [1, 3]
    assert [click.seconds for click in attempts.samples(others)] == [4, 5, 6]
    assert isinstance(taken[1], Failed)
    assert taken[1].reason == (
        "no usable Lab within 120 s (http://hub/hub/spawn-pending/alice shows: Spawn failed: the job has disappeared; "
        "its job: 7 removed)"
    )
    assert (stock.resets, ours.resets) == (1, 0)


@pytest.mark.parametrize(
    "error", [BrowserError("Timeout 30000ms exceeded.\nCall log: …"), AssertionError("not ready")]
)
def test_what_browser_and_waits_raise_is_a_failed_start_told_in_one_line(error: Exception) -> None:
    ((one,),) = clicked(Variant("stock", error), rounds=1)
    assert isinstance(one, Failed)
    assert one.reason.startswith(str(error).splitlines()[0]) and "Call log" not in one.reason


def test_a_server_that_does_not_stop_is_cleared_away_and_its_start_counts() -> None:
    variant = Variant("stock", 1, 2, stop_fails=True)
    ((one, two),) = clicked(variant, rounds=2)
    assert isinstance(one, Click) and isinstance(two, Click) and variant.resets == 2


def test_a_state_that_does_not_come_back_ends_the_measurement_and_what_was_taken_stays() -> None:
    variant = Variant("stock", 1, FAILURE, 3)
    variant.reset = lambda: (_ for _ in ()).throw(AssertionError("a process is left"))  # type: ignore[method-assign]
    taken: list[Click | Failed] = []
    with pytest.raises(StateLostError, match=r"a process is left; before that: no usable Lab"):
        click_to_lab.in_turn(
            cast("Browser", FakeBrowser()), cast("Minipool", Pool()), "alice", [(variant, taken)], 3
        )
    assert [isinstance(one, Click) for one in taken] == [True]


def test_a_bug_is_no_failed_start() -> None:
    with pytest.raises(ZeroDivisionError):
        clicked(Variant("stock", ZeroDivisionError()), rounds=1)


def test_three_in_a_row_are_enough_and_the_others_go_on() -> None:
    (taken, others) = clicked(
        Variant("stock", 1, FAILURE, FAILURE, FAILURE), Variant("ours", 1, 2, 3, 4, 5, 6), rounds=6
    )
    assert len(attempts.samples(others)) == 6
    assert attempts.counted(attempts.failures(taken), len(taken)) == [
        "3 of 6 did not start: " + cast("Failed", taken[1]).reason,
        "2 of 6 not tried: 3 in a row had failed",
    ]
    assert cast("Failed", taken[5]).what == NOT_TRIED


class User:
    """A user of a hub that refuses to stop a server while it starts, and forgets it when its job is gone."""

    name = "alice"

    def __init__(self, jobs: list[str]) -> None:
        self.jobs = jobs
        self.pool = self
        self.asked: list[str] = []

    def check(self, host: str, command: str, **_: Any) -> str:
        self.asked.append(f"{host}: {command}")
        if "condor_rm" in command:
            self.jobs.clear()
        if "condor_history" in command:
            return "7 3 undefined via condor_rm (by user alice)"
        return "\n".join(self.jobs)

    def server(self) -> dict[str, Any]:
        return {"pending": "spawn"} if self.jobs else {}

    def api(self, *_: Any) -> None:
        return None


class Idle:
    """An agent on a worker that has no notebook."""

    def do(self, *_: str) -> dict[str, Any]:
        return {"at": None}


def test_the_job_of_a_failed_start_is_removed_from_the_schedd_of_its_own_hub() -> None:
    user = User(["7 1 undefined undefined"])
    variant = OverHub(
        "stock", cast("HubUser", user), {"worker1": cast("stack.WorkerAgent", Idle())}, "", "",
        to_schedd="stock-condor", history="-file /spool/history",
    )  # fmt: skip
    assert variant.look() == "its job: 7 1 undefined undefined"
    variant.reset()
    assert user.asked[1] == "hub: stock-condor condor_rm alice; true"
    assert variant.look() == "its job: none; the last that ended: 7 3 undefined via condor_rm (by user alice)"
    assert "hub: stock-condor condor_history -file /spool/history alice -limit 1" in user.asked[-1]


class LoginPage:
    """The page of a log-in; the network changes so many times while it loads."""

    def __init__(self, disturbed: int) -> None:
        self.disturbed, self.opened, self.closed = disturbed, 0, 0
        self.keyboard = self

    def new_context(self, **_: Any) -> LoginPage:
        self.opened += 1
        return self

    def new_page(self) -> LoginPage:
        return self

    def close(self) -> None:
        self.closed += 1

    def goto(self, _: str) -> None:
        if self.opened <= self.disturbed:
            raise BrowserError("net::ERR_NETWORK_CHANGED")

    def get_by_label(self, _: str) -> LoginPage:
        return self

    def fill(self, _: str) -> None:
        return None

    def press(self, _: str) -> None:
        return None

    def wait_for_url(self, _: str) -> None:
        return None

    def storage_state(self) -> str:
        return "cookies"


def test_a_log_in_that_is_disturbed_is_tried_again_and_not_for_ever() -> None:
    pool = type("Here", (), {"url": "https://hub"})
    user = cast("HubUser", type("Known", (), {"name": "alice", "pool": pool}))
    variant = OverHub("ours", user, {}, "", "")
    page = LoginPage(disturbed=2)
    variant.log_in(cast("Browser", page))
    assert variant.cookies == "cookies" and (page.opened, page.closed) == (3, 3)
    with pytest.raises(BrowserError, match="NETWORK_CHANGED"):
        variant.log_in(cast("Browser", LoginPage(disturbed=3)))


class Agent:
    """On a worker; the start of a number in `failing` fails."""

    def __init__(self, *failing: int) -> None:
        self.failing, self.started, self.runs = failing, 0, False

    def do(self, *_: str, program: str) -> dict[str, Any]:
        assert program in PROGRAMS and not self.runs, "a server runs already"
        self.started, self.runs = self.started + 1, True
        if self.started in self.failing:
            raise DidNotStartError("the server ended with 1")
        return {"began": 0.0, "at": 1.0, "cpu_s": 0.5}

    def stop(self) -> None:
        self.runs = False


def test_a_start_by_hand_that_fails_is_counted_in_seconds_and_cpu_time() -> None:
    starts = {program: Starts() for program in PROGRAMS}
    # The first two are not counted: 4 is the first counted one of jupyter-lab.
    server_start.measure(cast("stack.WorkerAgent", Agent(4)), 3, starts)
    ours, plain = (starts[program] for program in PROGRAMS)
    assert ours.seconds == [1.0] * 3 and ours.cpu_s == [0.5] * 3
    assert isinstance(plain.seconds[0], Failed) and plain.cpu_s[0] == plain.seconds[0]
    assert plain.seconds[1:] == [1.0, 1.0]


AGENT = """
import json, sys
say = lambda **what: print(json.dumps(what), flush=True)
say(event="here", token="t")
for line in sys.stdin:
    do = json.loads(line)["do"]
    if do == "start":
        say(event="port", port=1)
    if do == "stop":
        say(event="failed", do="start", why="no answer within 60 s")
        say(event="stopped")
    if do == "see":
        say(event="failed", do="see", why="no such file")
"""


def test_a_start_by_hand_that_fails_late_does_not_spoil_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stack, "ssh", lambda *_: [sys.executable, "-c", AGENT])
    monkeypatch.setattr(stack, "address", lambda *_: "10.0.0.1")
    with stack.WorkerAgent(cast("Minipool", Pool()), "worker1", "alice") as agent:
        agent.do("start", "port")
        agent.stop()
        with pytest.raises(DidNotStartError, match="on worker1: no such file"):
            agent.do("see", "seen")


class Session:
    """Connections of a burst; the hub says of the server bench1 that its start failed."""

    def close(self) -> None:
        return None

    def post(self, url: str, **_: Any) -> Session:
        self.status_code = 202 if url.endswith("bench1") else 201
        return self

    def get(self, *_: str, **__: Any) -> Session:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def iter_lines(self, **_: Any) -> list[bytes]:
        return [
            b'data: {"message": "Submitting"}',
            b'data: {"failed": true, "message": "Spawn failed: no slot"}',
        ]


def test_a_burst_whose_server_fails_is_no_sample_and_says_which_part_of_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Known:
        name = "alice"
        pool = type("Here", (), {"url": "https://hub"})

    monkeypatch.setattr(burst, "_connect", lambda _: Session())
    found, _, _ = burst.measure([cast("HubUser", Known())], 4, lambda: 0)
    assert len(found.ready_s) == 3 and len(found.failed) == 1
    whole = found.whole()
    assert isinstance(whole, Failed)
    assert attempts.counted([whole], 3) == [
        "1 of 3 did not get all servers ready: 1 of 4 did not start: Spawn failed: no slot"
    ]


def test_a_queue_that_cannot_be_filled_is_counted_and_the_longer_one_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool()
    pool.jobs = []

    @contextmanager
    def hub(_: Minipool) -> Iterator[Any]:
        yield type("Starter", (), {"pool": pool})

    def fill(_: Any, names: list[str]) -> None:
        asked.append(list(names))
        if len(asked) == 2:
            pool.jobs.append({"Owner": names[0], "JobStatus": 1})
            raise DidNotStartError("the start for nb0001: 500")
        pool.jobs += [{"Owner": name, "JobStatus": 2 if name in ("alice", "bob") else 1} for name in names]

    asked: list[list[str]] = []
    monkeypatch.setattr(queue_cost, "open_hub", hub)
    monkeypatch.setattr(queue_cost, "make_accounts", lambda *_: [f"nb{number}" for number in range(8)])
    monkeypatch.setattr(queue_cost, "fill", fill)
    monkeypatch.setattr(queue_cost, "settle", lambda *_: None)
    monkeypatch.setattr(queue_cost, "_answers", lambda _: True)
    monkeypatch.setattr(queue_cost, "window", lambda *_: Cost((1.0,), 0.5, 0.5))
    costs: dict[int, Cost | Failed] = {}
    kept: list[int] = []
    queue_cost.ours(
        cast("Minipool", pool), (4, 8), 1, ("alice", "bob"), costs, lambda: kept.append(len(costs))
    )
    assert isinstance(costs[4], Failed) and costs[4].reason == "the start for nb0001: 500"
    assert costs[8] == Cost((1.0,), 0.5, 0.5) and kept == [1, 2]
    # Only those that are not there are asked for.
    assert asked == [["alice", "bob"], ["nb0", "nb1"], ["nb1", "nb2", "nb3", "nb4", "nb5"]]


def test_a_queue_that_is_shorter_after_the_window_is_no_cheap_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool()
    pool.jobs = [{"Owner": "alice"}, {"Owner": "bob"}]
    monkeypatch.setattr(queue_cost, "fill", lambda *_: None)
    monkeypatch.setattr(queue_cost, "settle", lambda *_: None)
    monkeypatch.setattr(queue_cost, "window", lambda *_: Cost((1.0,), 0.5, 0.5))
    with pytest.raises(DidNotStartError, match="2 notebooks are in the queue after the window, not 4"):
        queue_cost._with_queue(cast("Any", type("Starter", (), {"pool": pool})), ["nb0", "nb1"], 4, 1)


def test_questions_that_fail_are_counted_and_the_next_length_begins_with_an_empty_schedd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool()
    good = StockCost(5, 0.03, 0.01, 0.1, 0)

    def asked(_: Any, __: str, size: int, *___: Any) -> StockCost:
        if size == 4:
            raise DidNotStartError("polls.py on hub: 1 condor_q: no such job")
        assert any("condor_rm" in command for command in pool.commands)
        return good

    monkeypatch.setattr(queue_cost, "_asked", asked)
    costs: dict[int, StockCost | Failed] = {}
    queue_cost.stock(cast("Minipool", pool), "alice", (4, 12), 5, 1, costs, lambda: None)
    assert isinstance(costs[4], Failed) and costs[12] == good
