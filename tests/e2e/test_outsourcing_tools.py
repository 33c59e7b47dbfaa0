"""Each way out of a notebook works from a kernel, with no argument and nothing set up, on batch slots, as the user.

Each sums the squares of 0 to 99 in the batch pool, and tells which hosts and slots worked.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from batchqueue import IDLE, RUNNING, assert_batch_slots, clear, jobs, no_jobs
from hubclient import HubUser

from minipool import Minipool, wait_for

SERVER = "outsourcing"
EXPECTED = sum(number * number for number in range(100))
DASK = """
from dask_jobqueue import HTCondorCluster
from distributed import Client
cluster = HTCondorCluster()
cluster.scale(jobs=2)
client = Client(cluster)
client.wait_for_workers(2, timeout=220)
def where():
    import os
    return os.environ.get("_CONDOR_SLOT", "")
total = sum(client.gather(client.map(lambda number: number * number, range(100))))
import json
print(json.dumps({"total": total, "slots": sorted(client.run(where).values()), "address": cluster.scheduler_address,
                  "page": cluster.dashboard_link}))
"""
HTMAP = """
import htmap, json, os
def squares(first):
    import os
    return sum(number * number for number in range(first, first + 50)), os.environ.get("_CONDOR_SLOT", "")
work = htmap.map(squares, [0, 50], tag="squares")
parts = [work.get(component, timeout=120) for component in range(2)]
print(json.dumps({"total": sum(total for total, _ in parts), "slots": [slot for _, slot in parts]}))
work.remove()
"""
SPARK = """
import afhub_outsource, json
spark = afhub_outsource.spark(workers=2)
def part(numbers):
    import os
    yield sum(number * number for number in numbers), os.environ.get("_CONDOR_SLOT", "")
parts = spark.sparkContext.parallelize(range(100), 4).mapPartitions(part).collect()
frame = spark.range(100).selectExpr("sum(id * id)").collect()[0][0]
print(json.dumps({"total": sum(total for total, _ in parts), "frame": frame, "slots": sorted({s for _, s in parts}),
                  "page": spark.web_page, "master": spark.sparkContext.master}))
"""
BINDINGS = """
import htcondor2, json, os, time
folder = os.path.expanduser("~/outsourced")
os.makedirs(folder, exist_ok=True)
with open(folder + "/part.py", "w") as file:
    file.write("import os, sys\\nn = int(sys.argv[1])\\n"
               "print(sum(i * i for i in range(n, n + 50)), os.environ['_CONDOR_SLOT'])\\n")
job = htcondor2.Submit({"executable": "/usr/bin/python3", "transfer_executable": "false", "initialdir": folder,
    "arguments": folder + "/part.py $(first)", "output": "$(first).out", "log": "log", "request_memory": "64"})
place = htcondor2.Collector().locate(htcondor2.DaemonType.Schedd, htcondor2.param["SCHEDD_HOST"])
schedd = htcondor2.Schedd(place)
done = schedd.submit(job, itemdata=iter([{"first": "0"}, {"first": "50"}]))
deadline = time.time() + 120
while schedd.query(constraint=f"ClusterId == {done.cluster()}", projection=["JobStatus"]) and time.time() < deadline:
    time.sleep(0.5)
parts = [open(f"{folder}/{first}.out").read().split() for first in (0, 50)]
print(json.dumps({"total": sum(int(total) for total, _ in parts), "slots": [slot for _, slot in parts]}))
"""
STEAL_SPARK = """
from pyspark.sql import SparkSession
builder = SparkSession.builder.master({url!r}).config("spark.authenticate", "true").config("spark.ui.enabled", "false")
try:
    session = builder.config("spark.authenticate.secret", "a guess").getOrCreate()
    print("OPEN", session.sparkContext.parallelize([1]).count())
except Exception as error:
    print("refused", type(error).__name__)
"""
STEAL_DASK = """
from distributed import Client
from distributed.security import Security
from afhub_outsource.dask import make_security
for target, security in [
    ({tls!r}, make_security()), ({tls!r}, Security.temporary()), ({plain!r}, None),
]:
    try:
        client = Client(target, security=security, timeout=8)
        print("OPEN", client.run_on_scheduler(lambda: 1))
    except Exception as error:
        print("refused", type(error).__name__)
"""


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(pool: Minipool) -> Iterator[None]:
    """Neither before nor after these tests is anything in the batch pool."""
    clear(pool)
    yield
    clear(pool)


@dataclass(frozen=True)
class Work:
    """Work that a kernel of a notebook of alice's has done, and whose workers are still there."""

    way: str
    printed: str
    said: dict[str, Any]
    workers: list[dict[str, Any]]


@pytest.fixture(scope="module", params=["dask", "spark"])
def work(request: pytest.FixtureRequest, pool: Minipool, alice: HubUser) -> Iterator[Work]:
    """One run for all tests that look at it. The notebook is her named server SERVER."""
    way = request.param
    alice.running("regular", SERVER)
    printed = alice.execute({"dask": DASK, "spark": SPARK}[way], "analysis", 240, SERVER, keep=True)
    yield Work(way, printed, json.loads(printed.splitlines()[-1]), jobs(pool, "alice"))
    alice.stop(SERVER)
    clear(pool)


def right(printed: str) -> None:
    """The result is right, and comes from slots of the batch pool."""
    said = json.loads(printed.splitlines()[-1])
    assert said["total"] == EXPECTED, printed
    # Slots of the batch pool are slot1_<n>; a worker's notebook slots are static: slot1, slot2.
    assert said["slots"] and all(slot.startswith("slot1_") for slot in said["slots"]), printed


@pytest.mark.parametrize(("way", "code"), [("bindings", BINDINGS), ("htmap", HTMAP)])
def test_jobs_give_the_right_result_and_are_gone(
    pool: Minipool, alices_notebook: HubUser, way: str, code: str
) -> None:
    right(alices_notebook.execute(code, kernel="analysis", timeout_s=240))
    no_jobs(pool, "alice")


def test_it_gives_the_right_result_from_batch_slots(work: Work) -> None:
    right(work.printed)


def test_workers_are_jobs_of_the_user_in_batch_slots(work: Work) -> None:
    assert len(work.workers) == 2 and {ad["AfhubWorker"] for ad in work.workers} == {work.way}, work.workers
    assert_batch_slots(work.workers)


def test_its_web_page_is_at_the_users_own_address_and_nobody_elses(
    pool: Minipool, work: Work, alice: HubUser, bob: HubUser
) -> None:
    page = work.said["page"]
    assert page.startswith(f"/user/alice/{SERVER}/proxy/"), page
    path = page.removeprefix("/user/alice/")
    shown = alice.notebook("GET", path)
    assert shown.status_code == 200 and work.way in shown.text.lower(), shown.text[:500]
    assert bob.notebook("GET", path, user="alice").status_code in (403, 404)
    port, _, rest = page.partition("/proxy/")[2].partition("/")
    read = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).status)"
    tried = pool.run(
        alice.worker(SERVER), f"python3 -c {shlex.quote(read)} http://127.0.0.1:{port}/{rest}", user="bob"
    )
    assert "200" not in tried.stdout, tried.output


def test_no_key_is_in_a_job_ad_or_on_a_command_line(pool: Minipool, work: Work) -> None:
    secrets = (
        "grep -rhoE '^[A-Za-z0-9+/=]{40,}$|secret [0-9a-f]{64}|secretKey .+' .local/state/afhub/outsourcing/"
    )
    found = {line.split()[-1] for line in pool.check("hub", secrets, user="alice").splitlines()}
    assert found, work
    ads = pool.check("batch", "condor_q -all -l", user="bob")
    lines = "".join(pool.check(host, "ps -eo args", user="bob") for host in pool.group("batch_workers"))
    assert not [secret for secret in found if secret in ads or secret in lines]
    for host in pool.group("batch_workers"):
        assert pool.run(host, "cat ~alice/.local/state/afhub/outsourcing/*/*", user="bob").returncode != 0


def test_a_stolen_address_opens_nothing(work: Work, bobs_notebook: HubUser) -> None:
    if work.way == "spark":
        steal = STEAL_SPARK.format(url=work.said["master"])
        expected = 1
    else:
        assert work.said["address"].startswith("tls://")
        steal = STEAL_DASK.format(tls=work.said["address"], plain=work.said["address"].replace("tls", "tcp"))
        expected = 3
    tried = bobs_notebook.execute(steal, "analysis", 120)
    assert "OPEN" not in tried and tried.count("refused") == expected, tried


def test_workers_leave_with_the_notebook(pool: Minipool, work: Work, alice: HubUser) -> None:
    assert jobs(pool, "alice"), work
    alice.stop(SERVER)
    no_jobs(pool, "alice", 60)


def test_workers_that_run_and_that_wait_leave_also_when_the_notebook_is_killed(
    pool: Minipool, alice: HubUser
) -> None:
    # The signal reaches all her notebooks on that worker.
    alice.stop()
    alice.running("regular", SERVER)
    alice.execute(DASK.replace("scale(jobs=2)", "scale(jobs=12)"), "analysis", 240, SERVER, keep=True)
    states = {ad["JobStatus"] for ad in jobs(pool, "alice")}
    assert states == {IDLE, RUNNING}, states
    pool.check(alice.worker(SERVER), "pkill -KILL -u alice -x afhub-notebook")
    no_jobs(pool, "alice", 60)
    alice.wait_until_gone(SERVER)


def test_jobs_of_another_notebook_of_hers_stay(pool: Minipool, alices_notebook: HubUser) -> None:
    alices_notebook.running("regular", SERVER)
    sleep = "import subprocess\nsubprocess.run(['condor_submit', '-'], text=True, check=True, "
    sleep += "input='executable=/bin/sleep\\narguments=600\\ntransfer_executable=false\\nrequest_memory=32\\nqueue\\n')"
    alices_notebook.execute(sleep)
    alices_notebook.execute(sleep, server=SERVER)
    alices_notebook.stop(SERVER)
    wait_for("the other notebook's job is gone", lambda: len(jobs(pool, "alice")) == 1, 60)
    assert [ad["AfhubServer"] for ad in jobs(pool, "alice")] == [""]


def test_a_port_of_another_user_is_not_shown(
    pool: Minipool, alices_notebook: HubUser, bobs_notebook: HubUser
) -> None:
    """Her browser would send bob's process the cookies with which her notebook is opened."""
    assert bobs_notebook.server()
    worker = alices_notebook.worker()
    serve = "import http.server; s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler); "
    serve += "print(s.server_port, flush=True); s.serve_forever()"
    pool.check(
        worker, f"cd /tmp; nohup python3 -c {shlex.quote(serve)} > /tmp/bobs-port 2>/dev/null &", user="bob"
    )
    port = wait_for("bob's page listens", lambda: pool.run(worker, "cat /tmp/bobs-port").stdout.strip())
    try:
        answer = alices_notebook.notebook("GET", f"proxy/{port}/")
        assert answer.status_code == 403, answer.text
    finally:
        pool.run(worker, "pkill -u bob -f http.server; rm /tmp/bobs-port")
