"""The hub's own way to its schedd, past the hub: whatever is submitted there, the limits of the classes hold."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from minipool import Minipool

# Submits jobs one by one as the hub's account, prints what the schedd made of each, and removes them all at the end.
PROGRAM = """
import json, sys
import htcondor2
schedd = htcondor2.Schedd(htcondor2.Collector().locate(htcondor2.DaemonType.Schedd))
answers, jobs = [], []
for description in json.loads(sys.argv[1]):
    try:
        result = schedd.submit(htcondor2.Submit(description))
    except (htcondor2.HTCondorException, OSError, RuntimeError, ValueError) as error:
        answers.append({"refusal": " ".join(str(error).split())})
        continue
    jobs.append(f"{result.cluster()}.{result.first_proc()}")
    # At once: now and then the hub removes what no server of it owns.
    ad = schedd.query(f"ClusterId == {result.cluster()} && ProcId == {result.first_proc()}")[0]
    ad = {name: str(ad.lookup(name)) for name in ad if str(ad.lookup(name)) != "undefined"}
    answers.append({"job": jobs[-1], "ad": ad})
for job in jobs if sys.argv[2] == "remove" else []:
    schedd.act(htcondor2.JobAction.Remove, job, ("a test", 0))
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Answer:
    """What the schedd made of a description: a job with this ad (values as ClassAd expressions), or a refusal."""

    job: str = ""
    refusal: str = ""
    ad: dict[str, str] = field(default_factory=dict)


def honest(pool: Minipool, **changes: str | None) -> dict[str, str]:
    """A notebook of bob's as the hub describes it, on hold so that it never starts; None takes a line away."""
    facts = pool.host_vars("hub")
    description: dict[str, str | None] = {
        "universe": "vanilla",
        "executable": "/opt/afhub/env/current/bin/afhub-notebook",
        "transfer_executable": "false",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_output_files": '""',
        "initialdir": "/",
        "notification": "never",
        "hold": "true",
        "My.Owner": '"bob"',
        "My.AfhubClass": '"regular"',
        "My.AfhubServer": '"past-the-hub"',
        "My.AfhubHub": json.dumps(facts["notebook_hub_name"]),
    }
    description |= changes
    return {name: value for name, value in description.items() if value is not None}


@pytest.fixture(scope="session")
def submit_all(pool: Minipool) -> Iterator[Callable[..., list[Answer]]]:
    """Submits these changes of an honest description to the hub's schedd, as the hub's own account.

    The jobs are removed again at once, unless a test wants to keep them; it removes them itself then.
    """

    def submit(changes: list[dict[str, Any]], keep: bool = False) -> list[Answer]:
        descriptions = json.dumps([honest(pool, **change) for change in changes])
        printed = pool.check(
            "hub",
            "_CONDOR_SEC_TOKEN_DIRECTORY=/etc/afhub/hub/tokens.d _CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS=IDTOKENS"
            f" /opt/afhub/hub/current/bin/python -c {shlex.quote(PROGRAM)} {shlex.quote(descriptions)}"
            f" {'keep' if keep else 'remove'}",
            user="afhub",
        )
        return [Answer(**answer) for answer in json.loads(printed)]

    yield submit
    left = [ad for ad in pool.queue("ClusterId,AfhubServer") if ad.get("AfhubServer") == "past-the-hub"]
    assert not left
