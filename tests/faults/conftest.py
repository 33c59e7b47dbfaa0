"""What holds after each fault: notebooks that could live, live; hub, database, queue and workers agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from breakage import Lost
from hubclient import HubUser

from minipool import Minipool, wait_for

# A reconciler that looks every minute has then looked.
PATIENCE_S = 90

SERVERS = (
    "SELECT users.name, spawners.name, json_extract(spawners.state, '$.job_id') "
    "FROM spawners JOIN users ON users.id = spawners.user_id WHERE spawners.server_id IS NOT NULL"
)


def expected_slots(pool: Minipool) -> set[str]:
    """The names of the slots that a whole pool has; those that a big server cuts off its one slot are not counted."""
    names = set()
    for row in pool.classes:
        for host in pool.group(row["run_on"]):
            machine = f"{host}.{pool.host_vars(host)['notebook_domain']}"
            names |= {
                f"slot{number}@notebooks@{machine}" for number in range(1, row.get("slots_per_host", 1) + 1)
            }
    return names


def processes(
    pool: Minipool, users: list[str], cut_off: set[str]
) -> tuple[Counter[tuple[str, str]], dict[tuple[str, str], list[str]]]:
    """How many notebook servers run, by host and user; and all processes of each user on each host that has any."""
    servers: Counter[tuple[str, str]] = Counter()
    anything: dict[tuple[str, str], list[str]] = {}
    look = f"ps -u {','.join(users)} -o user=,comm=,pid=,ppid=,etimes=,args= --width 200 || true"
    for host in {*pool.group("workers"), *pool.group("big_servers")} - cut_off:
        for line in pool.inside(host, look).splitlines():
            user, command, rest = line.split(maxsplit=2)
            servers[host, user] += command == "afhub-notebook"
            anything.setdefault((host, user), []).append(rest)
    return +servers, anything


def disagreement(pool: Minipool, users: list[HubUser], lost: Lost) -> str:
    """What is not as it should be after a fault, in words; empty where all is well.

    What is lost need not answer, but hub and queue agree on it as well, until they notice.
    """
    hub = {(user.name, server): model for user in users for server, model in user.active().items()}
    for (name, server), model in hub.items():
        if not model["ready"]:
            return f"{name}'s server {server!r} is neither up nor gone: {model}"
    ads = pool.queue("ClusterId,ProcId,JobStatus,Owner,AfhubServer,RemoteHost,HoldReason")
    jobs = {f"{ad['ClusterId']}.{ad['ProcId']}": ad for ad in ads}
    queue = sorted((ad["Owner"], ad.get("AfhubServer", ""), job) for job, ad in jobs.items())
    database = sorted((row[0], row[1], row[2]) for row in pool.database(SERVERS))
    if queue != database:
        return f"the queue holds {ads}, the database says {database}"
    if sorted(hub) != [(name, server) for name, server, _ in database]:
        return f"the hub lists {sorted(hub)}, its database {database}"
    jobs = {job: ad for job, ad in jobs.items() if (ad["Owner"], ad["AfhubServer"]) not in lost.notebooks}
    if still := [job for job, ad in jobs.items() if ad["JobStatus"] != 2 or "RemoteHost" not in ad]:
        return f"the hub calls the notebooks of {still} ready, and they do not run: {jobs}"
    running = Counter(
        (ad["RemoteHost"].rpartition("@")[2].partition(".")[0], ad["Owner"]) for ad in jobs.values()
    )
    servers, anything = processes(pool, [user.name for user in users], lost.hosts)
    if servers != running:
        return f"servers by host and user are {dict(servers)}, jobs {dict(running)}"
    stray = {where: found for where, found in anything.items() if where not in running}
    if stray:
        return f"processes (pid, parent, age in s, command) of users who have no job there: {stray}"
    slots = {slot["Name"] for slot in pool.slots()}
    missing = {
        slot for slot in expected_slots(pool) - slots if slot.split("@")[-1].split(".")[0] not in lost.hosts
    }
    if missing:
        return f"the pool lacks the slots {sorted(missing)}"
    for user in users:
        for server in (ad["AfhubServer"] for ad in jobs.values() if ad["Owner"] == user.name):
            status = user.notebook("GET", f"{server}/api/status".lstrip("/")).status_code
            if status != 200:
                return f"{user.name}'s notebook {server!r} answers {status}"
    return ""


@pytest.fixture(scope="session")
def lost() -> Lost:
    """What is broken for longer than one test."""
    return Lost()


@pytest.fixture(scope="session")
def all_is_well(pool: Minipool, alice: HubUser, bob: HubUser, lost: Lost) -> Callable[[], None]:
    """Waits until every notebook has one job, one process and one entry in the database, and answers."""

    def wait() -> None:
        last = "nothing"

        def agreed() -> bool:
            nonlocal last
            last = disagreement(pool, [alice, bob], lost)
            return not last

        try:
            wait_for("hub, database, queue and workers agree", agreed, PATIENCE_S, every_s=1)
        except AssertionError as error:
            log = pool.check(
                "hub", "journalctl -u afhub-hub -n 300 --no-pager -o cat | grep -v ' 200 GET ' | tail -n 20"
            )
            raise AssertionError(f"{error}: {last}\n{log}") from None

    return wait


@pytest.fixture(autouse=True)
def all_is_well_afterwards(all_is_well: Callable[[], None]) -> Iterator[None]:
    """After each test: no notebook is lost, and nothing is left without one."""
    yield
    all_is_well()
