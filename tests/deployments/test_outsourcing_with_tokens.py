"""The other way to be known to the batch pool: a token that the hub mints for each notebook.

The inventory that the end-to-end tests share has `notebook_batch_authentication: idtokens`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from batchqueue import SUBMIT, clear, jobs, no_jobs, submitted
from hubclient import HubUser
from otherinventory import Deployed

from minipool import Minipool

READ_TOKEN = """
import os, pathlib
(file,) = pathlib.Path(os.environ["AFHUB_BATCH_TOKENS"]).iterdir()
print(file)
print(file.read_text().strip())
"""


@pytest.fixture
def tokens(pool: Minipool, changed_inventory: Deployed) -> Minipool:
    """The pool while tokens are how notebooks are known."""
    return pool


@pytest.fixture
def notebooks(tokens: Minipool, alice: HubUser, bob: HubUser) -> Iterator[tuple[HubUser, HubUser]]:
    """Notebooks of alice and bob; nothing of theirs is in the batch pool before and after."""
    alice.running("regular")
    bob.running("regular")
    yield alice, bob
    clear(tokens)


def token_of(user: HubUser) -> tuple[str, str]:
    """The file with the token of a user's notebook, and what is in it."""
    path, token = user.execute(READ_TOKEN).split()
    return path, token


@pytest.mark.parametrize("kernel", ["python3", "analysis"])
def test_a_notebooks_job_is_its_owners(
    tokens: Minipool, notebooks: tuple[HubUser, HubUser], kernel: str
) -> None:
    alice, _ = notebooks
    number = submitted(alice.execute(SUBMIT, kernel))
    (job,) = jobs(tokens, "alice")
    assert job["ClusterId"] == number
    assert (job["User"], job["AccountingGroup"]) == ("alice@af.test", "higgs.alice")


def test_a_token_is_its_owners_for_reading_and_writing_and_as_long_as_the_class(
    tokens: Minipool, notebooks: tuple[HubUser, HubUser]
) -> None:
    _, token = token_of(notebooks[0])
    head, body, _ = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    claims = json.loads(body)
    assert json.loads(head)["kid"] == "afhub-notebooks"
    assert (claims["sub"], claims["iss"]) == ("alice@af.test", "batch.af.test")
    assert sorted(claims["scope"].split()) == ["condor:/READ", "condor:/WRITE"]
    regular = next(row for row in tokens.classes if row["name"] == "regular")
    assert 0 < claims["exp"] - claims["iat"] - regular["runtime_s"] <= 3600


def test_nobody_else_sees_a_token(tokens: Minipool, notebooks: tuple[HubUser, HubUser]) -> None:
    alice, bob = notebooks
    path, token = token_of(alice)
    worker = alice.worker()
    submitted(alice.execute(SUBMIT.replace("queue\n", "getenv = true\nqueue\n")))
    # A job with all of the notebook's environment carries no token.
    looks = {
        "the batch queue": tokens.check("batch", "condor_q -all -l", user="bob"),
        "the notebook queue": tokens.run("hub", "condor_q -all -l", user="bob").output,
        "the hub's log": tokens.check("hub", "journalctl -u afhub-hub --no-pager -o cat"),
        "logs of HTCondor": tokens.check(worker, "cat /var/log/condor/*; true"),
        "her logs": tokens.check(
            "hub", "cat .local/state/afhub/*.log .local/state/afhub/*/*.log 2>/dev/null; true", user="alice"
        ),
        "command lines": tokens.check(worker, "ps -eo args", user="bob"),
        "environments of her kernels": alice.execute("import os; print(os.environ)"),
    }
    assert not [where for where, text in looks.items() if token.split(".")[2] in text]
    assert tokens.run(worker, f"cat {path}", user="bob").returncode != 0
    assert tokens.check(worker, f"cat {path}", user="alice").strip() == token
    assert tokens.run("hub", "cat /etc/afhub/hub/batch-keys/afhub-notebooks", user="bob").returncode != 0
    bobs = bob.execute("import os; print(os.environ)") + bob.execute(READ_TOKEN)
    assert token not in bobs


def test_who_has_no_token_submits_nothing(tokens: Minipool, notebooks: tuple[HubUser, HubUser]) -> None:
    _, bob = notebooks
    for change in (
        "os.environ.pop('AFHUB_BATCH_TOKENS')",
        "os.environ['_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS'] = 'MUNGE'",
    ):
        printed = bob.execute(f"import os\n{change}\n{SUBMIT}")
        assert not printed.strip().partition(".")[0].isdigit(), printed
    assert not jobs(tokens, "bob") and not jobs(tokens, "alice")


def test_a_token_does_not_make_its_owner_somebody_else(
    tokens: Minipool, notebooks: tuple[HubUser, HubUser]
) -> None:
    alice, bob = notebooks
    number = submitted(alice.execute(SUBMIT))
    forged = SUBMIT.replace("queue\n", '+Owner = "alice"\nqueue\n').replace(
        "'''executable", "'''My.Owner = \"alice\"\nexecutable"
    )
    bob.execute(forged)
    bob.execute(f"import subprocess; subprocess.run(['condor_rm', '{number}'])")
    assert [ad["ClusterId"] for ad in jobs(tokens, "alice")] == [number]


def test_what_a_notebook_sent_leaves_with_it(tokens: Minipool, notebooks: tuple[HubUser, HubUser]) -> None:
    alice, _ = notebooks
    submitted(alice.execute(SUBMIT))
    assert jobs(tokens, "alice")
    alice.stop()
    no_jobs(tokens, "alice", 60)


def test_after_the_way_back_munge_serves_at_once(
    pool: Minipool, inventory_as_it_was: dict[str, Any], alice: HubUser
) -> None:
    """Collector and schedd have to forget what they accepted, which HTCondor 23.9 does not do by itself."""
    alice.running("regular")
    try:
        number = submitted(alice.execute(SUBMIT))
        (job,) = jobs(pool, "alice")
        assert (job["ClusterId"], job["User"]) == (number, "alice@af.test")
    finally:
        clear(pool)
