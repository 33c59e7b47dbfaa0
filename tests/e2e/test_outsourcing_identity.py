"""A notebook submits to the batch pool as its owner and as nobody else, from any host, with nothing to set up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from batchqueue import HELD, SUBMIT, assert_batch_slots, clear, jobs, submitted
from hubclient import HubUser

from minipool import Minipool, wait_for

BINDINGS = """
import {module} as htcondor
job = {{"executable": "/bin/sleep", "arguments": "600", "transfer_executable": "false",
       "request_memory": "32", "request_cpus": "1"}}
if "{module}" == "htcondor2":
    place = htcondor.Collector().locate(htcondor.DaemonType.Schedd, htcondor.param["SCHEDD_HOST"])
else:
    place = htcondor.Collector().locate(htcondor.DaemonTypes.Schedd, htcondor.param["SCHEDD_HOST"])
print(htcondor.Schedd(place).submit(htcondor.Submit(job)).cluster())
"""


@pytest.fixture(autouse=True)
def nothing_is_left(pool: Minipool) -> Iterator[None]:
    yield
    clear(pool)


@pytest.mark.parametrize("kernel", ["python3", "analysis"])
@pytest.mark.parametrize("way", ["tools", "htcondor2", "htcondor"])
def test_a_notebooks_job_is_its_owners(
    pool: Minipool, alices_notebook: HubUser, kernel: str, way: str
) -> None:
    code = SUBMIT if way == "tools" else BINDINGS.format(module=way)
    printed = alices_notebook.execute(code, kernel=kernel)
    (job,) = jobs(pool, "alice")
    assert submitted(printed) == job["ClusterId"]
    assert job["User"] == "alice@af.test"
    assert (job["AfhubHub"], job["AfhubServer"]) == ("hub.af.test", "")


def test_a_big_servers_notebook_submits_just_as_well(pool: Minipool, alice: HubUser) -> None:
    alice.running("large", "big")
    assert alice.worker("big") in pool.group("big_servers")
    printed = alice.execute(SUBMIT, server="big")
    (job,) = jobs(pool, "alice")
    assert submitted(printed) == job["ClusterId"]
    assert job["AfhubServer"] == "big"
    alice.stop("big")


def test_jobs_are_accounted_to_the_users_group_and_run_in_batch_slots(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    alices_notebook.execute(SUBMIT)
    (job,) = wait_for("alice's job runs", lambda: [ad for ad in jobs(pool, "alice") if "RemoteHost" in ad])
    assert job["AccountingGroup"] == "higgs.alice"
    assert_batch_slots([job])


def test_a_user_does_not_choose_another_group(pool: Minipool, alices_notebook: HubUser) -> None:
    code = SUBMIT.replace("queue\n", '+AccountingGroup = "top.bob"\\n+AcctGroup = "top"\\nqueue\n')
    alices_notebook.execute(code)
    (job,) = jobs(pool, "alice")
    assert job["AccountingGroup"] == "higgs.alice"


BOB = {
    "condor_submit for her": SUBMIT.replace("queue\n", '+Owner = "alice"\\nqueue\n'),
    "as if he were her": "import os\nos.environ['USER'] = os.environ['LOGNAME'] = 'alice'\n" + SUBMIT,
    "a claim without a proof": (
        "import os\nos.environ['_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS'] = 'CLAIMTOBE,ANONYMOUS'\n"
        + SUBMIT
    ),
    "the bindings": BINDINGS.format(module="htcondor2").replace(
        'job = {"', 'job = {"My.Owner": \'"alice"\', "'
    ),
}


@pytest.mark.parametrize("way", sorted(BOB))
def test_bob_submits_nothing_as_alice(pool: Minipool, bobs_notebook: HubUser, way: str) -> None:
    code = f"try:\n    exec({BOB[way]!r})\nexcept Exception as error:\n    print(type(error).__name__)"
    printed = bobs_notebook.execute(code)
    assert printed.strip()
    assert not jobs(pool, "alice"), printed


def test_bob_neither_removes_nor_holds_nor_edits_alices_jobs(
    pool: Minipool, alices_notebook: HubUser, bobs_notebook: HubUser
) -> None:
    alices_notebook.execute(SUBMIT)
    (job,) = jobs(pool, "alice")
    number = job["ClusterId"]
    commands = [
        f"condor_rm {number}", f"condor_hold {number}", f"condor_qedit {number} Cmd '\"/bin/false\"'",
        f"condor_rm -forcex {number}", "condor_rm alice", f"condor_ssh_to_job {number} true",
        f"condor_transfer_data {number}", f"condor_vacate_job {number}",
    ]  # fmt: skip
    code = (
        "import subprocess\n"
        f"for command in {commands!r}:\n"
        "    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)\n"
        "    print(command, done.returncode, done.stdout, done.stderr)\n"
    )
    printed = bobs_notebook.execute(code)
    (after,) = jobs(pool, "alice")
    assert (after["ClusterId"], after["Cmd"]) == (number, job["Cmd"]), printed
    assert after["JobStatus"] != HELD, printed


def test_the_key_that_all_hosts_share_is_roots_and_munges_alone(pool: Minipool) -> None:
    keys = set()
    for host in pool.group("workers") + pool.group("big_servers") + pool.group("batch_schedd"):
        assert pool.check(host, "stat -c '%a %U' /etc/munge/munge.key").strip() == "400 munge"
        assert pool.run(host, "cat /etc/munge/munge.key", user="bob").returncode != 0
        keys.add(pool.check(host, "sha256sum < /etc/munge/munge.key"))
    assert len(keys) == 1
