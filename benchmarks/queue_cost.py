"""What a queue of notebooks costs hub and schedd, and what the questions of stock batchspawner would cost."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shlex
import string
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests
from batchspawner import CondorSpawner

from benchmarks import attempts, stack, stock_hub
from benchmarks.attempts import NOT_MEASURED, DidNotStartError, Failed
from minipool import Minipool, wait_for

CLASS = "narrow"
HUB = "afhub-hub.service"
SCHEDD = "condor_schedd"
STOCK_SCHEDD = "condor_schedd:STOCK"
CONF = "/etc/afhub/hub/conf.d/bench.py"
DATABASE = "/var/lib/afhub/hub/jupyterhub.sqlite"
FIRST_UID = 30000
#: How often JupyterHub asks each spawner for the state of a server that runs, unless told otherwise, in seconds.
STOCK_POLL_INTERVAL_S = 30.0
#: How often stock batchspawner asks while a server waits or starts, in seconds.
STOCK_WAIT_INTERVAL_S = float(CondorSpawner.startup_poll_interval.default_value)
READING_S = 10
#: How often a start is asked for that the hub is too busy to answer.
TRIES = 5

#: A program may start notebooks of all users, all at once, and they may wait.
HUB_CONF = """\
c = get_config()
c.JupyterHub.services.append({"name": "bench", "api_token": "$token"})
c.JupyterHub.load_roles.append(
    {"name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers", "list:users"]}
)
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.tornado_settings.update({"slow_spawn_timeout": 0})
c.NotebookSpawner.start_timeout = 7200
"""
#: A job that waits for ever in the stock schedd.
STOCK_JOB = """
executable = /bin/sleep
arguments = 86400
transfer_executable = false
request_memory = 16
+AfhubClass = "nobody-has-it"
"""


@dataclass(frozen=True)
class Cost:
    """CPU seconds in each reading of a window, scaled to a minute; whole: those of the whole window."""

    readings: tuple[float, ...]
    hub: float
    schedd: float

    @property
    def whole(self) -> float:
        return self.hub + self.schedd


@dataclass(frozen=True)
class StockCost:
    """polls: how many were measured; tools_s and schedd_s: CPU seconds of one, of sudo and condor_q and of the schedd;
    wall_s: how long one took; background: CPU seconds a minute of a schedd that nobody asks."""

    polls: int
    tools_s: float
    schedd_s: float
    wall_s: float
    background: float

    def per_minute(self, notebooks: int, every_s: float = STOCK_POLL_INTERVAL_S) -> float:
        """CPU seconds a minute for so many notebooks, each asked for every so many seconds."""
        return self.background + notebooks * 60 / every_s * (self.tools_s + self.schedd_s)

    def wall_per_minute(self, notebooks: int) -> float:
        """Seconds a minute that the polls would take one after another."""
        return notebooks * 60 / STOCK_POLL_INTERVAL_S * self.wall_s


def _put(pool: Minipool, path: str, text: str, owner: str, mode: str) -> None:
    where = shlex.quote(path)
    subprocess.run(
        [*stack.ssh(pool, "hub"),
         f"sudo install -D -o root -g {owner} -m {mode} /dev/null {where} && sudo tee {where} >/dev/null"],
        input=text, text=True, check=True, timeout=60,
    )  # fmt: skip


def _restart(pool: Minipool) -> None:
    pool.check("hub", f"systemctl restart {HUB}")
    wait_for("the hub answers", lambda: _answers(pool), timeout_s=90)


def _answers(pool: Minipool) -> bool:
    try:
        return requests.get(f"{pool.url}/hub/health", verify=str(pool.ca_file), timeout=10).status_code == 200
    except requests.RequestException:
        return False


def make_accounts(pool: Minipool, count: int) -> list[str]:
    """Accounts on the hub's host alone: their notebooks never run."""
    names = [f"nb{number:04}" for number in range(count)]
    there = set(pool.check("hub", "getent passwd | cut -d: -f1").split())
    lines = [
        f"{name}:{secrets.token_hex(8)}:{FIRST_UID + number}:{FIRST_UID + number}::/var/tmp:/bin/sh\n"
        for number, name in enumerate(names)
        if name not in there
    ]
    if lines:
        subprocess.run(
            [*stack.ssh(pool, "hub"), "sudo newusers"],
            input="".join(lines),
            text=True,
            check=True,
            timeout=300,
        )
    return names


@dataclass
class Starter:
    """Starts notebooks of the class of two slots for any user, with the token of the service bench."""

    pool: Minipool
    token: str

    def _call(self, method: str, path: str, body: object) -> requests.Response:
        return requests.request(
            method, f"{self.pool.url}/hub/api{path}", json=body, headers={"Authorization": f"token {self.token}"},
            verify=str(self.pool.ca_file), timeout=120,
        )  # fmt: skip

    def add_users(self, names: Sequence[str]) -> None:
        """Makes the hub know the accounts."""
        for begin in range(0, len(names), 100):
            answer = self._call("POST", "/users", {"usernames": names[begin : begin + 100]})
            if answer.status_code not in (201, 409):
                raise DidNotStartError(f"users cannot be added: {answer.status_code} {answer.text}")

    def start(self, name: str) -> None:
        """Asks for a notebook and does not wait for it; asks again while the hub is too busy to answer."""
        path = f"/users/{name}/server"
        answer = self._call("POST", path, {"notebook_class": CLASS})
        tries = 1
        while answer.status_code == 503 and tries < TRIES:
            time.sleep(tries)
            tries += 1
            answer = self._call("POST", path, {"notebook_class": CLASS})
        # After a 503 the first request may have been heard all the same.
        if answer.status_code not in (201, 202) and not (tries > 1 and answer.status_code == 400):
            raise DidNotStartError(f"the start for {name}: {answer.status_code} {answer.text[:300]}")


@contextlib.contextmanager
def open_hub(pool: Minipool) -> Iterator[Starter]:
    """The hub with the service that starts notebooks; afterwards its database and its queue are what they were."""
    token = secrets.token_hex(16)
    kept = f"{DATABASE}.bench"
    pool.check("hub", f"systemctl stop {HUB} && cp -p {DATABASE} {kept}")
    try:
        _put(pool, CONF, string.Template(HUB_CONF).substitute(token=token), "afhub", "0640")
        _restart(pool)
        yield Starter(pool, token)
    finally:
        pool.check(
            "hub", f"systemctl stop {HUB}; rm -f {CONF}; condor_rm -all; mv {kept} {DATABASE}", timeout_s=300
        )
        wait_for(
            "the queue of notebooks is empty", lambda: not pool.queue("ClusterId"), timeout_s=180, every_s=2
        )
        _restart(pool)


def read(pool: Minipool, *parts: str) -> Mapping[str, float]:
    """CPU seconds so far, and when."""
    return stack.cpu(pool, "hub", *parts)


def _rate(before: Mapping[str, float], after: Mapping[str, float], part: str) -> float:
    """CPU seconds a minute between two readings."""
    return (after[part] - before[part]) / (after["at"] - before["at"]) * 60


def settle(pool: Minipool, *parts: str, patience_s: float = 90) -> None:
    """Waits until a reading is not much below the one before it."""
    deadline = time.monotonic() + patience_s
    rates: list[float] = []
    before = read(pool, *parts)
    while time.monotonic() < deadline:
        time.sleep(READING_S / 2)
        after = read(pool, *parts)
        rates.append(sum(_rate(before, after, part) for part in parts))
        before = after
        if len(rates) > 2 and rates[-1] >= 0.8 * max(rates[-3:]):
            return


def window(pool: Minipool, seconds: float) -> Cost:
    """What hub and schedd use over so many seconds."""
    readings = [read(pool, HUB, SCHEDD)]
    while readings[-1]["at"] - readings[0]["at"] < seconds:
        time.sleep(min(READING_S, seconds))
        readings.append(read(pool, HUB, SCHEDD))
    first, last = readings[0], readings[-1]
    return Cost(
        tuple(
            _rate(before, after, HUB) + _rate(before, after, SCHEDD)
            for before, after in itertools.pairwise(readings)
        ),
        _rate(first, last, HUB),
        _rate(first, last, SCHEDD),
    )


def fill(starter: Starter, names: Sequence[str], threads: int = 8) -> None:
    """Asks for one notebook for each name, and waits until all are in the queue."""
    pool = starter.pool
    there = len(pool.queue("ClusterId"))
    starter.add_users(names)
    with ThreadPoolExecutor(threads) as together:
        list(together.map(starter.start, names))
    wait_for(
        f"{there + len(names)} notebooks are in the queue",
        lambda: len(pool.queue("ClusterId")) >= there + len(names),
        timeout_s=600,
        every_s=2,
    )


def ours(
    pool: Minipool,
    sizes: Sequence[int],
    seconds: float,
    running: Sequence[str],
    costs: dict[int, Cost | Failed],
    keep: Callable[[], None],
) -> None:
    """CPU at each length of the queue; the notebooks of the users in `running` take the slots of the class.

    Puts what came of each length into `costs`, and says so with `keep`.
    """

    def answers() -> None:
        wait_for("the hub answers", lambda: _answers(pool), timeout_s=90)

    names = make_accounts(pool, max(sizes))
    with open_hub(pool) as starter:
        fill(starter, running)
        wait_for(
            "the slots of the class are taken",
            lambda: sum(job["JobStatus"] == 2 for job in pool.queue()) == len(running),
            timeout_s=120,
        )
        for size in sizes:
            costs[size] = attempts.attempt(
                lambda size=size: _with_queue(starter, names, size, seconds),  # type: ignore[misc]
                stop=_nothing,
                # The next length asks for all that are not there: what is missing now is asked for again.
                reset=answers,
                what=NOT_MEASURED,
            )
            keep()


def _nothing() -> None:
    """A longer queue begins with the shorter one."""


def _with_queue(starter: Starter, names: Sequence[str], size: int, seconds: float) -> Cost:
    there = {str(job["Owner"]) for job in starter.pool.queue("ClusterId,Owner")}
    wanted = [name for name in names if name not in there]
    fill(starter, wanted[: max(0, size - len(there))])
    settle(starter.pool, HUB, SCHEDD)
    cost = window(starter.pool, seconds)
    left = len(starter.pool.queue("ClusterId"))
    if left != size:
        raise DidNotStartError(f"{left} notebooks are in the queue after the window, not {size}")
    return cost


def _poll(user: str, job: str) -> list[str]:
    """What stock batchspawner runs for one question, word by word."""
    command = f"{CondorSpawner.exec_prefix.default_value} {CondorSpawner.batch_query_cmd.default_value}"
    filled = command.format(username=user, job_id=job)
    return shlex.split(filled)


def stock(
    pool: Minipool,
    user: str,
    sizes: Sequence[int],
    polls: int,
    seconds: float,
    costs: dict[int, StockCost | Failed],
    keep: Callable[[], None],
) -> None:
    """The price of one question of stock batchspawner to a schedd with so many jobs, from a sample of questions.

    Puts what came of each number of jobs into `costs`, and says so with `keep`.
    """
    shown = pool.check("hub", f"{stock_hub.TO_SCHEDD} env")
    variables = dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("_CONDOR_SCHEDD"))
    try:
        for size in sizes:
            costs[size] = attempts.attempt(
                lambda size=size: _asked(pool, user, size, polls, seconds, variables),  # type: ignore[misc]
                stop=_nothing,
                reset=lambda: _empty_stock(pool),
                what=NOT_MEASURED,
            )
            keep()
    finally:
        pool.check("hub", f"{stock_hub.TO_SCHEDD} condor_rm -constraint true; true", timeout_s=120)


def _stock_jobs(pool: Minipool) -> list[str]:
    shown = pool.check("hub", f"{stock_hub.TO_SCHEDD} condor_q -all -af ClusterId ProcId")
    return [".".join(line.split()) for line in shown.splitlines()]


def _empty_stock(pool: Minipool) -> None:
    pool.check("hub", f"{stock_hub.TO_SCHEDD} condor_rm -constraint true; true", timeout_s=120)
    wait_for("the stock schedd is empty", lambda: not _stock_jobs(pool), timeout_s=180, every_s=2)


def _asked(
    pool: Minipool, user: str, size: int, polls: int, seconds: float, variables: Mapping[str, str]
) -> StockCost:
    text = f"{STOCK_JOB}queue {size - len(_stock_jobs(pool))}\n"
    pool.check(
        "hub",
        f"printf %s {shlex.quote(text)} | {stock_hub.TO_SCHEDD} condor_submit -terse -",
        user=user,
        timeout_s=120,
    )
    jobs = _stock_jobs(pool)
    if len(jobs) != size:
        raise DidNotStartError(f"{len(jobs)} jobs are in the stock schedd, not {size}")
    settle(pool, STOCK_SCHEDD)
    unasked = read(pool, STOCK_SCHEDD)
    time.sleep(seconds)
    before = read(pool, STOCK_SCHEDD)
    background = _rate(unasked, before, STOCK_SCHEDD)
    commands = [_poll(user, jobs[number % size]) for number in range(polls)]
    asked = stack.script(
        pool, "hub", "polls.py", given={"commands": commands, "variables": variables, "seconds": 60}
    )
    after = read(pool, STOCK_SCHEDD)
    spent = after[STOCK_SCHEDD] - before[STOCK_SCHEDD] - background / 60 * (after["at"] - before["at"])
    count = asked["polls"]
    return StockCost(
        count, asked["cpu_s"] / count, max(0.0, spent) / count, asked["wall_s"] / count, background
    )
