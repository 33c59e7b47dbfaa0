"""A held job that nobody removes does not stay in the queue for ever."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minipool import Minipool, wait_for

RULE = "SYSTEM_PERIODIC_REMOVE_AfhubHeld"
OVERRIDE = "/etc/condor/config.d/99-held-jobs-of-a-test.conf"


@pytest.fixture
def patience_of_5_s(pool: Minipool) -> Iterator[None]:
    """A shorter patience with held jobs than the deployed one, which is back afterwards."""
    deployed = pool.check("hub", f"condor_config_val {RULE}").strip()
    shorter, count = re.subn(r"> \d+$", "> 5", deployed)
    assert count == 1, deployed
    line = shlex.quote(f"{RULE} = {shorter}")
    try:
        pool.check("hub", f"echo {line} > {OVERRIDE} && chmod 644 {OVERRIDE} && condor_reconfig")
        yield
    finally:
        pool.check("hub", f"rm -f {OVERRIDE} && condor_reconfig")
    assert pool.check("hub", f"condor_config_val {RULE}").strip() == deployed


def test_a_job_that_was_held_for_too_long_leaves_the_queue(
    pool: Minipool, submit_all: Callable[..., list[Any]], patience_of_5_s: None
) -> None:
    # By such a job the schedd gets to know the hub's account. It is no notebook, so the hub leaves it alone.
    job = {"executable": "/bin/true", "My.Owner": None, "My.AfhubHub": None}
    (answer,) = submit_all([job], keep=True)
    assert answer.job, answer.refusal
    assert answer.ad["JobStatus"] == "5"
    wait_for(
        "the job is gone",
        lambda: pool.run("hub", f"condor_q {answer.job} -af ClusterId").stdout.strip() == "",
        60,
        every_s=1,
    )
    cluster = int(answer.job.partition(".")[0])
    events = pool.check("hub", f"grep -A 2 -F '009 ({cluster:03}.' $(condor_config_val EVENT_LOG)")
    assert "held for more than" in events, events
