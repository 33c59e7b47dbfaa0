"""Does each fault for real to stock batchspawner on a running mini-pool, and writes down what was seen.

Results go to faults.json beside this file; the table in docs/stock-batchspawner.md is rendered from it. The sentences
are made from what this run measured. JupyterHub keeps the options of a server for its next start: faults that post
options use a named server, which is forgotten afterwards.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import requests
import stockpaths
from breakage import cut_off, frozen, mounted_over, no_matches, power_off
from faultlab import SILENT, TOKEN, Lab, Sight
from stockclient import StockUser, stock_hub

from minipool import Minipool, wait_for

RESULTS = stockpaths.HERE / "faults.json"
TABLE = stockpaths.ROOT / "docs/stock-batchspawner.md"
EXECUTE = "/var/lib/condor/afhub-execute"


INTRODUCTION = """\
# What stock batchspawner does in each fault

Recorded on a mini-pool with `benchmarks/stock/record_faults.py`, which does each fault for real to JupyterHub with
the unchanged `CondorSpawner`, on the notebook slots that this repository deploys, with their settings for quick
starts. How that hub is set up: [benchmarks/stock](../benchmarks/stock/README.md). Sentences and numbers are written
by the script from what it saw. “Hub” is the hub's own model of the server, “user's URL” the status of
`/user/<name>/api/status` through the proxy, “queue” what `condor_q` on the stock schedd lists, “servers that run” the
processes on the workers, “shadow 2” that the schedd has started a shadow for the job twice.
"""


@dataclass(frozen=True)
class Row:
    """One row of the table. at: when it was recorded, ISO 8601 in UTC."""

    situation: str
    seen: str
    evidence: list[str]
    at: str


def options(**values: str) -> dict[str, Any]:
    """What a user posts to start a server; the first two lines are those without which no slot takes the job."""
    lines = ['+AfhubHub = "hub.af.test"', f'+AfhubClass = "{values.pop("notebook_class", "regular")}"']
    return {"options": "\n".join([*lines, values.pop("lines", "")]), **values}


def reason(pages: tuple[str, ...], *words: str) -> str:
    """Whether the user's pages hold one of the words with which the reason could be given."""
    found = [word for word in words if any(word.lower() in page.lower() for page in pages)]
    looked = ", ".join(f"“{word}”" for word in words)
    if not found:
        return f"The user's pages do not say why (none of {looked})."
    return f"The user's pages hold {', '.join(f'“{word}”' for word in found)}."


def gone(sight: Sight) -> bool:
    """Whether the hub has no server any more."""
    return sight.hub == "no server"


def user_pages(lab: Lab, user: StockUser, name: str = "") -> tuple[str, str]:
    """The page at the address of the notebook and the hub's own page, as the user gets them."""
    path = f"{user.name}/{name}" if name else user.name
    return lab.page(user, f"/user/{path}/lab"), lab.page(user, "/hub/home", 60)


def respawn(lab: Lab) -> str:
    """What is in the queue and on the workers after the user has started a server again."""
    again = lab.alice.start(None, "", 120)
    sight = lab.look(lab.alice)
    lab.note(
        f"t+{lab.seconds()} s: started again ({'ready' if again.ready else again.failed or again.status}): {sight}"
    )
    return f"After a new start the queue holds {len(sight.jobs)}: {', '.join(sight.jobs)}."


# -- the job ends, or never runs --


def held_while_running(lab: Lab) -> str:
    """An admin, or a policy of the pool, holds a job."""
    job = lab.start(lab.alice)
    lab.begin()
    lab.tool(f"condor_hold -reason 'Draining the storage' {job}")
    sight = lab.watch(lab.alice, 90, gone)
    pages = user_pages(lab, lab.alice)
    lab.log("stopped|exit|Removing", 2)
    found = f"After {lab.seconds()} s: {sight}. {reason(pages, 'held', 'Draining the storage')}"
    return f"{found} {respawn(lab)}"


def held_at_submit(lab: Lab) -> str:
    """The job enters the queue on hold."""
    lab.begin()
    start = lab.alice.start(options(lines="hold = true"), "options")
    took = lab.seconds()
    lab.note(
        f"t+{took} s: POST answers {start.status}; progress: {[event.get('message') for event in start.events]}"
    )
    sight = lab.look(lab.alice, "options")
    lab.note(f"t+{lab.seconds()} s: {sight}")
    pages = user_pages(lab, lab.alice, "options")
    spawn = lab.page(lab.alice, "/hub/spawn/alice/options")
    why = reason((*pages, spawn), "held", "hold")
    lab.log("Error|rror:", 2)
    again = lab.look(lab.alice, "options")
    lab.note(f"t+{lab.seconds()} s: {again}")
    found = f"The start fails after {took} s ({start.status} {start.failed!r}); then {sight}."
    return f"{found} After another try in the browser: {', '.join(again.jobs)}. {why}"


def never_matches(lab: Lab) -> str:
    """The job asks for more memory than any slot has."""
    lab.begin()
    start = lab.alice.start(options(memory="999999"), "options", 400)
    took = lab.seconds()
    messages = sorted({str(event.get("message")) for event in start.events})
    lab.note(f"t+{took} s: POST answers {start.status}; messages of the progress bar: {messages}")
    sight = lab.look(lab.alice, "options")
    lab.note(f"t+{lab.seconds()} s: {sight}")
    pages = user_pages(lab, lab.alice, "options")
    lab.log("failed to start|Timeout|timed out", 2)
    why = reason(pages, "memory", "999999", "no slot")
    return f"The user waits {took} s, then {start.status} {start.failed!r}; then {sight}. {why}"


def notebook_process_killed(lab: Lab) -> str:
    """The kernel, or somebody, kills the server."""
    job = lab.start(lab.alice)
    host = lab.host_of(job)
    lab.begin()
    lab.pool.inside(host, "pkill -KILL -u alice -f '[j]upyterhub-singleuser'")
    sight = lab.watch(lab.alice, 90, gone)
    pages = user_pages(lab, lab.alice)
    return f"Noticed after {lab.seconds()} s: {sight}. {reason(pages, 'killed', 'signal', 'exit')}"


def evicted_and_requeued(lab: Lab) -> str:
    """The worker gives the job back; it starts again elsewhere."""
    job = lab.start(lab.alice)
    lab.begin()
    lab.tool(f"condor_vacate_job -fast {job}")
    sight = lab.watch(lab.alice, 120)
    pages = user_pages(lab, lab.alice)
    lab.note(f"servers that run: {lab.servers()}")
    running = lab.servers()
    journal = f"journalctl -u stock-hub --no-pager -o cat | grep -o 'Notebook server job {job} started at .*'"
    lab.note(f"hub's log of the start: {lab.pool.inside('hub', journal).splitlines()[-1]}")
    for host in {place.rpartition(" ")[2] for place in lab.processes()}:
        ports = lab.pool.inside(
            host, "ss -Hltne | grep uid:$(id -u alice) | awk '{print $4}' || true"
        ).split()
        lab.note(f"alice's listening ports on {host}: {', '.join(ports)}")
    why = reason(pages, "evicted", "queue")
    return f"{lab.seconds()} s after the eviction: {sight}; servers that run: {running}. {why}"


# -- hub, schedd, manager, proxy --


def schedd_down(lab: Lab) -> str:
    """The schedd is switched off for two minutes."""
    lab.start(lab.alice)
    lab.begin()
    lab.pool.check("hub", "condor_off -fast -daemon schedd_stock")
    try:
        down = lab.watch(lab.alice, 115)
        running = lab.servers()
        lab.note(f"servers that run: {running}")
    finally:
        lab.pool.check("hub", "condor_on -daemon schedd_stock")
        lab.note(f"t+{lab.seconds()} s: the schedd is on again")
    sight = lab.watch(lab.alice, 75)
    pages = user_pages(lab, lab.alice)
    lab.log("Removing|stopped|unexpected|poll", 2)
    found = f"Two minutes without the schedd: {down}; servers that run: {running}. A minute after it is back: {sight}; "
    found += f"servers that run: {lab.servers()}. {reason(pages, 'schedd', 'queue', 'not reachable')}"
    return f"{found} {respawn(lab)}"


def hub_killed_before_the_job_starts(lab: Lab) -> str:
    """The negotiator stands still, so that the job is idle when the hub dies."""
    lab.begin()
    with no_matches(lab.pool):
        click = click_and_wait(lab, "idle")
        lab.kill_hub()
        lab.note(f"t+{lab.seconds()} s: {lab.look(lab.alice)}")
    lab.note(f"t+{lab.seconds()} s: slots are given out again")
    sight = lab.watch(lab.alice, 75)
    click.join()
    pages = user_pages(lab, lab.alice)
    why = reason(pages, "restarted", "lost")
    found = f"A minute after the job could start: {sight}; servers that run: {lab.servers()}. {why}"
    return f"{found} {respawn(lab)}"


def hub_killed_while_the_job_starts(lab: Lab) -> str:
    """The hub dies as soon as the job runs, before it has reported its port."""
    lab.begin()
    click = click_and_wait(lab, "running")
    lab.kill_hub()
    sight = lab.watch(lab.alice, 75)
    click.join()
    user_pages(lab, lab.alice)
    lines = lab.pool.run("hub", "tail -n 1 .jupyterhub.condor.err", user="alice").stdout
    lab.note(f"last line of the job's log: {lines[:230]}")
    return f"A minute later: {sight}; servers that run: {lab.servers()}. {respawn(lab)}"


def hub_killed_while_the_job_runs(lab: Lab) -> str:
    """The hub dies while the server is in use."""
    lab.start(lab.alice)
    lab.begin()
    lab.kill_hub()
    sight = lab.watch(lab.alice, 60)
    return f"A minute later: {sight}; servers that run: {lab.servers()}."


def click_and_wait(lab: Lab, state: str) -> threading.Thread:
    """Alice clicks, in the background, and her job reaches a state."""

    def click() -> None:
        try:
            lab.note(f"the POST of the start answers {lab.alice.click().status}")
        except requests.RequestException as error:
            lab.note(f"the POST of the start ends with {type(error).__name__}")

    thread = threading.Thread(target=click)
    thread.start()

    def reached() -> str:
        return next((job for job in lab.look(lab.alice).jobs if f" {state}" in job), "")

    lab.note(f"t+{lab.seconds()} s: {wait_for(f'a job is {state}', reached, 60, 0.05)}")
    return thread


def manager_frozen(lab: Lab) -> str:
    """Collector and negotiator stand still for a minute."""
    lab.start(lab.alice)
    lab.begin()
    with frozen(lab.pool, "nbcm", "condor_collector", "condor_negotiator"):
        lab.note(f"bob's POST answers {lab.bob.click().status}")
        hers = lab.watch(lab.alice, 60)
        his = lab.look(lab.bob)
        lab.note(f"t+{lab.seconds()} s: bob: {his}")
        page = lab.page(lab.bob, "/hub/spawn-pending/bob")
    lab.note(f"t+{lab.seconds()} s: the manager goes on")
    why = reason((page,), "manager", "collector", "negotiator")
    thawed = lab.seconds()
    after = lab.watch(lab.bob, 300, lambda sight: not sight.hub.startswith("pending"))
    lab.log("stopped, with|failed to start|Removing user", 3)
    blocked = "grep -iE 'timed out|timeout|took .* seconds|failed' /var/log/condor/StockScheddLog | tail -n 2"
    for line in lab.pool.inside("hub", blocked).splitlines():
        lab.note(f"schedd's log: {line[:200]}")
    took = lab.seconds() - thawed
    return (
        f"The running server while the manager is frozen: {hers}. A new start: {his}. {why} "
        f"{took} s after it goes on: {after}."
    )


def manager_killed(lab: Lab) -> str:
    """Collector and negotiator die, and their master starts them again."""
    lab.start(lab.alice)
    lab.begin()
    lab.pool.inside("nbcm", "pkill -KILL -x condor_negotiato; pkill -KILL -x condor_collecto")
    lab.note(f"bob's POST answers {lab.bob.click().status}")
    his = lab.watch(lab.bob, 300, lambda sight: not sight.hub.startswith("pending"))
    took = lab.seconds()
    hers = lab.look(lab.alice)
    lab.note(f"t+{lab.seconds()} s: alice: {hers}")
    return f"The running server: {hers}. A new start ends after {took} s: {his}."


def proxy_killed(lab: Lab) -> str:
    """The route table dies, and systemd starts it again."""
    lab.start(lab.alice)
    lab.begin()
    lab.pool.inside("hub", "systemctl kill --signal=KILL stock-proxy")
    lost = lab.watch(lab.alice, 30, lambda sight: sight.url not in ("200", SILENT))
    pages = user_pages(lab, lab.alice)
    sight = lab.watch(lab.alice, 400, lambda sight: sight.url == "200")
    lab.log("proxy|route", 2)
    return (
        f"The proxy is back at once and knows no route: {lost}; the user's page: {pages[0]}. "
        f"After {lab.seconds()} s: {sight}."
    )


# -- workers --


def worker_killed(lab: Lab) -> str:
    """The worker loses its power."""
    job = lab.start(lab.alice)
    host = lab.host_of(job)
    lab.begin()
    with power_off(lab.pool, host):
        lab.note(f"t+0 s: {host} is off")
        early = lab.watch(lab.alice, 60)
        pages = user_pages(lab, lab.alice)
        moved = lab.watch(
            lab.alice,
            330,
            lambda sight: any("running" in job and f"on {host}" not in job for job in sight.jobs),
        )
        took = lab.seconds()
        late = lab.watch(lab.alice, 60)
        running = lab.servers()
    lab.note(f"servers that run: {running}")
    return (
        f"A minute after {host} died: {early}; the user's page: {pages[0]}. After {took} s: {moved}; a minute "
        f"later: {late}; servers that run: {running}. {reason(pages, host, 'worker', 'node')}"
    )


def worker_cut_off_for_a_while(lab: Lab) -> str:
    """The worker has no network for a minute."""
    job = lab.start(lab.alice)
    host = lab.host_of(job)
    lab.begin()
    with cut_off(lab.pool, host):
        lab.note(f"t+{lab.seconds()} s: {host} is cut off")
        away = lab.watch(lab.alice, 60)
        pages = user_pages(lab, lab.alice)
    lab.note(f"t+{lab.seconds()} s: {host} is back")
    sight = lab.watch(lab.alice, 60)
    return (
        f"Cut off for a minute: {away}; the user's page: {pages[0]}. A minute after it is back: {sight}; "
        f"servers that run: {lab.servers()}."
    )


def worker_cut_off_for_good(lab: Lab) -> str:
    """The worker has no network until long after the job's lease."""
    job = lab.start(lab.alice)
    host = lab.host_of(job)
    lab.begin()
    with cut_off(lab.pool, host):
        lab.note(f"t+{lab.seconds()} s: {host} is cut off")
        moved = lab.watch(
            lab.alice,
            420,
            lambda sight: any("running" in job and f"on {host}" not in job for job in sight.jobs),
        )
        took = lab.seconds()
        lab.note(f"t+{took} s: servers that run: {lab.servers()}")
        late = lab.watch(lab.alice, 60)
        pages = user_pages(lab, lab.alice)
        running = lab.servers()
        lab.note(f"t+{lab.seconds()} s: servers that run: {running}")
    return (
        f"After {took} s: {moved}; a minute later: {late}; servers that run, on both sides of the cut: {running}. "
        f"{reason(pages, host, 'worker', 'node')}"
    )


def disk_full(lab: Lab) -> str:
    """There is no room left where jobs get their scratch folders."""
    workers = lab.pool.group("workers")
    with mounted_over(lab.pool, workers, EXECUTE, "size=64k,mode=0755"):
        for host in workers:
            lab.pool.run(host, f"dd if=/dev/zero of={EXECUTE}/full bs=4k count=64")
        lab.begin()
        click = lab.alice.click()
        lab.note(f"t+{lab.seconds()} s: POST answers {click.status}")
        early = lab.watch(lab.alice, 60, gone)
        late = lab.watch(lab.alice, 330, lambda sight: not sight.hub.startswith("pending"))
        took = lab.seconds()
        pages = user_pages(lab, lab.alice)
        lab.log("rror:|failed to start|timed out", 2)
    pattern = "'Reconnect FAILED|Failed to kill starter|no space|disk full'"
    log = lab.pool.check("hub", f"grep -hiE {pattern} /var/log/condor/ShadowLog || true")
    for line in log.splitlines()[-2:]:
        lab.note(f"shadow's log: {line[:200]}")
    return f"After a minute: {early}; after {took} s: {late}. {reason(pages, 'disk', 'space')}"


# -- doors --


def option_injection(lab: Lab) -> str:
    """A user posts what no form offers."""
    lab.begin()
    posted = options(
        notebook_class="large",
        memory="100000",
        nprocs="6",
        lines='+Injected = "yes"\njob_lease_duration = 86400',
    )
    lab.note(f"posted to /hub/api/users/alice/servers/options: {json.dumps(posted)}")
    job = lab.start(lab.alice, posted, "options")
    wanted = ["RequestMemory", "RequestCpus", "Injected", "JobLeaseDuration", "RemoteHost"]
    values = lab.tool(f"condor_q {job} -af:l {' '.join(wanted)}").split()
    facts = " ".join(values)
    lab.note(f"condor_q {job}: {facts}")
    status = lab.url_says(lab.alice, "options")
    return f"Taken as posted: {facts}; the user's URL answers {status}."


def token_through_condor_q(lab: Lab) -> str:
    """Bob looks at alice's job."""
    job = lab.start(lab.alice)
    lab.pool.check("hub", "umask 077; echo 'for nobody else' > private-of-alice.txt", user="alice")
    lab.begin()
    try:
        ad = lab.pool.check("hub", f"stock-condor condor_q {job} -af Environment", user="bob")
        match = TOKEN.search(ad)
        if not match:
            return "The ad that bob reads with condor_q holds no token."
        lab.note(
            f"bob$ condor_q {job} -af Environment: … JUPYTERHUB_API_TOKEN=({len(match[1])} hexadecimal digits) …"
        )
        answer = requests.get(
            f"{lab.url}/user/alice/api/contents/private-of-alice.txt", timeout=30,
            headers={"Authorization": f"token {match[1]}"},
        )  # fmt: skip
        content = answer.json().get("content") if answer.ok else answer.text[:80]
        lab.note(
            f"GET /user/alice/api/contents/private-of-alice.txt with it: {answer.status_code} {content!r}"
        )
        plain = lab.pool.run("hub", "cat /home/alice/private-of-alice.txt", user="bob")
        lab.note(f"bob$ cat /home/alice/private-of-alice.txt: {plain.output}")
        return (
            f"Another user of the pool reads the notebook's token from the job's ad; with it, alice's file that only "
            f"she may read: {answer.status_code} {content!r}."
        )
    finally:
        lab.pool.check("hub", "rm -f private-of-alice.txt", user="alice")


def two_named_servers(lab: Lab) -> str:
    """Alice starts two servers."""
    lab.pool.run("hub", "rm -f .jupyterhub.condor.*", user="alice")
    lab.begin()
    first = lab.start(lab.alice, name="first")
    before = lab.pool.check("hub", "cat .jupyterhub.condor.err", user="alice")
    second = lab.start(lab.alice, name="second")
    files = lab.tool(f"condor_q {first} {second} -af ClusterId Err").splitlines()
    for line in files:
        lab.note(f"condor_q -af ClusterId Err: {line}")
    listing = lab.pool.check("hub", "ls -1 .jupyterhub.condor.*", user="alice").split()
    lab.note(f"in the home folder: {listing}")
    after = lab.pool.check("hub", "cat .jupyterhub.condor.err", user="alice")
    kept = [line for line in before.splitlines() if line in after.splitlines()]
    lab.note(
        f"lines of the first server's log: {len(before.splitlines())}; still there with the second: {len(kept)}"
    )
    places = {line.split(maxsplit=1)[1] for line in files}
    return (
        f"Two servers, {len(places)} log file for errors ({', '.join(sorted(places))}); of the first one's "
        f"{len(before.splitlines())} lines {len(kept)} are left when the second runs."
    )


FAULTS: dict[str, tuple[str, Callable[[Lab], str]]] = {
    "two-named-servers": ("Two named servers of one user", two_named_servers),
    "token": ("Another user of the pool runs `condor_q`", token_through_condor_q),
    "option-injection": ("Memory, cores and lines of the submit file posted over the API", option_injection),
    "held-while-running": ("Job held while it runs", held_while_running),
    "held-at-submit": ("Job held at submit", held_at_submit),
    "process-killed": ("Notebook process killed (`kill -9`)", notebook_process_killed),
    "evicted": ("Job evicted and requeued", evicted_and_requeued),
    "schedd-down": ("Schedd down for 2 minutes", schedd_down),
    "hub-killed-before": ("Hub killed (`-9`) while the job is idle", hub_killed_before_the_job_starts),
    "hub-killed-starting": ("Hub killed (`-9`) while the job starts", hub_killed_while_the_job_starts),
    "hub-killed-running": ("Hub killed (`-9`) while the job runs", hub_killed_while_the_job_runs),
    "proxy-killed": ("Proxy killed (`-9`)", proxy_killed),
    "disk-full": ("Disk of the workers full at start", disk_full),
    "cut-off-a-while": ("Worker cut off from the network for a minute", worker_cut_off_for_a_while),
    "cut-off-for-good": ("Worker cut off for good", worker_cut_off_for_good),
    "worker-killed": ("Worker killed", worker_killed),
    "manager-frozen": ("Notebook manager frozen for a minute", manager_frozen),
    "manager-killed": (
        "Collector and negotiator killed (`-9`); their master starts them again",
        manager_killed,
    ),
    "never-matches": ("Job that no slot can ever meet", never_matches),
}


def versions(pool: Minipool) -> str:
    """What this was recorded with."""
    packages = pool.check(
        "hub", "/opt/afhub/hub/current/bin/pip list --format=freeze --disable-pip-version-check"
    )
    pins = dict(line.split("==") for line in packages.splitlines() if "==" in line)
    condor = pool.check("hub", "condor_version").split()[1]
    configuration = pool.check("hub", "cat /etc/stock-hub/jupyterhub_config.py")
    lease = re.findall(r"job_lease_duration = (\d+)", configuration)[0]
    timeout = re.findall(r"start_timeout = (\d+)", configuration)[0]
    return (
        f"JupyterHub {pins['jupyterhub']}, batchspawner {pins['batchspawner']}, HTCondor {condor}, Debian 13; "
        f"job lease {lease} s (HTCondor's default: 2400 s), start timeout {timeout} s (batchspawner's default: 300 s), "
        "poll interval 30 s (the default)"
    )


def shortened(evidence: list[str]) -> list[str]:
    """The evidence with the middle of a long row of looks left out; faults.json has all of it."""
    looks = [line for line in evidence if line.startswith("t+")]
    if len(looks) <= 8:
        return evidence
    left_out = looks[4:-4]
    short = [line for line in evidence if line not in left_out]
    short.insert(short.index(looks[3]) + 1, f"… {len(left_out)} more")
    return short


def cell(text: str) -> str:
    """Text that stays within a cell of the table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def render(results: dict[str, Any]) -> str:
    """The page with the table."""
    lines = [
        INTRODUCTION,
        f"{results['versions']}.",
        "",
        "| situation | what was seen | evidence |",
        "| --- | --- | --- |",
    ]
    for name, (situation, _) in FAULTS.items():
        row = results["rows"].get(name)
        if row is None:
            lines.append(f"| {situation} | not tried | |")
            continue
        evidence = "<br>".join(cell(line) for line in [*shortened(row["evidence"]), f"recorded {row['at']}"])
        lines.append(f"| {situation} | {cell(row['seen'])} | {evidence} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instance", default="stock", help="mini-pool with the stock hub on it")
    parser.add_argument(
        "--only", action="append", choices=list(FAULTS), help="this fault alone; may be given again"
    )
    parser.add_argument(
        "--render", action="store_true", help="render the table from the results that there are"
    )
    wanted = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}}
    if not wanted.render:
        pool = Minipool(wanted.instance, stockpaths.ROOT / ".minipool" / wanted.instance)
        with stock_hub(pool) as url:
            record(pool, url, wanted.only or list(FAULTS), results)
    TABLE.write_text(render(results))


def record(pool: Minipool, url: str, names: list[str], results: dict[str, Any]) -> None:
    """Does the faults one by one; each result is written down at once."""
    results["versions"] = versions(pool)
    lab = Lab(pool, url, StockUser(url, "alice"), StockUser(url, "bob"))
    for user in (lab.alice, lab.bob):
        user.login()
    lab.clean()
    for name in names:
        situation, fault = FAULTS[name]
        at = datetime.now(UTC).isoformat(timespec="seconds")
        seen = fault(lab)
        results["rows"][name] = asdict(Row(situation, seen, lab.evidence, at))
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        print(f"{name}: {seen}\n  " + "\n  ".join(lab.evidence), flush=True)
        lab.clean()


if __name__ == "__main__":
    main()
