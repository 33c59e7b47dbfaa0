"""The mini-pool's batch pool as its admin sees it: jobs that wait, run and ended, and what users left on workers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minipool import Minipool, wait_for

IDLE, RUNNING, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5
JOB = (
    "ClusterId,ProcId,JobStatus,Owner,User,AccountingGroup,Cmd,RemoteHost,LastRemoteHost,HoldReason,RemoveReason,"
    "AfhubHub,AfhubServer,AfhubWorker"
)
# For a kernel: submits a job with the command line tools, and prints its number, or what they said.
SUBMIT = """
import subprocess
text = '''executable = /bin/sleep
arguments = 600
transfer_executable = false
request_memory = 32
request_cpus = 1
queue
'''
done = subprocess.run(["condor_submit", "-terse", "-"], input=text, capture_output=True, text=True, timeout=60)
print(done.stdout.split()[0] if done.returncode == 0 else done.stderr)
"""


def jobs(pool: Minipool, user: str) -> list[dict[str, Any]]:
    """A user's jobs that are in the batch queue."""
    out = pool.check("batch", f"condor_q -all -json -attributes {JOB} -constraint 'Owner == \"{user}\"'")
    return list(json.loads(out or "[]"))


def submitted(printed: str) -> int:
    """The number of the job that the cell SUBMIT has made."""
    cluster = printed.strip().partition(".")[0]
    assert cluster.isdigit(), printed
    return int(cluster)


def ended(pool: Minipool, user: str, since: int) -> list[dict[str, Any]]:
    """A user's jobs that left the batch queue after a moment (seconds since 1970, of the batch host)."""
    constraint = f'Owner == "{user}" && EnteredCurrentStatus >= {since}'
    out = pool.check(
        "batch", f"condor_history -json -attributes {JOB} -constraint '{constraint}' -limit 3000"
    )
    return list(json.loads(out or "[]"))


def now(pool: Minipool) -> int:
    """The time of the batch host."""
    return int(pool.check("batch", "date +%s"))


def machine(slot: str) -> str:
    """The host of the inventory that a slot belongs to."""
    return slot.rpartition("@")[2].partition(".")[0]


def processes(pool: Minipool, user: str) -> list[str]:
    """What runs under a user's account on workers, one line each with the host."""
    found = []
    for host in pool.group("workers"):
        lines = pool.run(host, f"ps -u {user} -o pid=,args=").stdout.splitlines()
        found += [f"{host}: {line.strip()[:150]}" for line in lines]
    return found


def wait_until_empty(pool: Minipool, user: str, timeout_s: float = 60) -> None:
    """Waits until the user has neither a job in the batch queue nor a process on a worker."""
    begun = time.monotonic()
    wait_for(f"{user} has no job left in the batch queue", lambda: not jobs(pool, user), timeout_s, every_s=1)
    left_s = max(5.0, timeout_s - (time.monotonic() - begun))

    def quiet() -> bool:
        return not processes(pool, user)

    try:
        wait_for("nothing runs on the workers", quiet, left_s, every_s=1)
    except AssertionError as error:
        raise AssertionError(f"{error}: {processes(pool, user)}") from None


def remove_all(pool: Minipool, user: str) -> None:
    """Removes a user's jobs at once."""
    pool.run("batch", f"condor_rm -constraint 'Owner == \"{user}\"'")
    wait_for(f"{user}'s jobs are removed", lambda: not jobs(pool, user), 60, every_s=1)


def clear(pool: Minipool) -> None:
    """Removes what tests left in the batch pool."""
    for user in ("alice", "bob"):
        remove_all(pool, user)


def no_jobs(pool: Minipool, user: str, timeout_s: float = 60) -> None:
    """Waits until a user has no job in the batch queue any more."""
    wait_for(f"{user} has no batch job left", lambda: not jobs(pool, user), timeout_s)


def assert_batch_slots(ads: list[dict[str, Any]]) -> None:
    """Jobs run, in slots of the batch pool: never in those that are reserved for notebooks."""
    slots = {str(ad["RemoteHost"]) for ad in ads if "RemoteHost" in ad}
    assert slots, f"nothing runs: {ads}"
    assert not [slot for slot in slots if "notebooks@" in slot], slots


def submit(pool: Minipool, user: str, count: int, command: str, **more: str) -> None:
    """Submits plain jobs on the batch host itself."""
    lines = {
        "executable": "/bin/sh",
        "transfer_executable": "false",
        "arguments": f"\"-c '{command}'\"",
        "request_cpus": "1",
        "request_memory": "16MB",
        "request_disk": "1MB",
        **more,
    }
    text = "\n".join(f"{name} = {value}" for name, value in lines.items())
    pool.check("batch", f"condor_submit <<'END'\n{text}\nqueue {count}\nEND", user=user)


@contextmanager
def every_core_taken(pool: Minipool, user: str = "bob") -> Iterator[None]:
    """A batch pool in which every core runs a job of somebody else."""
    cores = sum(pool.host_vars(host)["batch_pool_cores"] for host in pool.group("batch_workers"))
    try:
        submit(pool, user, cores, "sleep 3600")
        wait_for(
            f"{cores} jobs run",
            lambda: pool.check("batch", "condor_q -all -af JobStatus").split().count(str(RUNNING)) >= cores,
            120,
            every_s=1,
        )
        yield
    finally:
        remove_all(pool, user)
