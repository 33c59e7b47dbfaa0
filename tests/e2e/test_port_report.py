"""The hub learns the port of a notebook from that notebook alone, once, while it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests
from hubclient import HubUser

from minipool import Minipool, wait_for

NAME = "pending"
TOKEN = re.compile(r"JUPYTERHUB_API_TOKEN='?(\w{32,})")


def report(pool: Minipool, token: str, body: Any = None, **options: Any) -> requests.Response:
    return requests.post(
        f"{pool.url}/hub/api/batchspawner", headers={"Authorization": f"token {token}"} if token else {},
        verify=str(pool.ca_file), timeout=60, json=body, **options,
    )  # fmt: skip


def token_in_job(pool: Minipool, server: str) -> str:
    """The API token of one of alice's servers, as root of the hub finds it in the job; '' while there is no job."""
    ads = pool.queue("Owner,AfhubServer,Environment")
    found = [ad for ad in ads if (ad["Owner"], ad["AfhubServer"]) == ("alice", server)]
    match = TOKEN.search(found[0]["Environment"]) if found else None
    return match[1] if match else ""


@pytest.fixture(scope="module")
def waiting(pool: Minipool, alice: HubUser) -> Iterator[Future[dict[str, Any]]]:
    """A start of alice's that waits for a slot, since the negotiator is held still; ready after these tests."""
    assert not alice.server(NAME)
    pool.check("nbcm", "pkill -STOP -x condor_negotiat")
    try:
        with ThreadPoolExecutor(1) as thread:
            start = thread.submit(alice.start, {"notebook_class": "regular"}, NAME, 300)

            def token_or_failure() -> str:
                return str(start.result()) if start.done() else token_in_job(pool, NAME)

            token = wait_for("alice's job waits in the queue", token_or_failure)
            assert not start.done(), f"the notebook should wait for a slot, and does not: {token}"
            yield start
            pool.check("nbcm", "pkill -CONT -x condor_negotiat")
    finally:
        pool.check("nbcm", "pkill -CONT -x condor_negotiat")
        alice.stop(NAME)


def test_a_stranger_is_refused(pool: Minipool, waiting: Future[dict[str, Any]]) -> None:
    for token in ("", "0" * 32):
        answer = report(pool, token, {"port": 40000})
        assert answer.status_code == 403, answer.text


def test_the_users_own_token_and_cookies_are_refused(
    pool: Minipool, waiting: Future[dict[str, Any]], alice: HubUser, bob: HubUser
) -> None:
    for user in (alice, bob):
        answer = report(pool, user.token, {"port": 40000})
        assert answer.status_code == 403, answer.text
    answer = alice.session.post(
        f"{pool.url}/hub/api/batchspawner",
        headers={"X-XSRFToken": str(alice.session.cookies.get("_xsrf", path="/hub/"))},
        json={"port": 40000},
        timeout=60,
    )
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"port": 22},
        {"port": 0},
        {"port": -40000},
        {"port": 39999},
        {"port": 41000},
        {"port": 2**70},
        {"port": "40000"},
        {"port": 40000.5},
        {"port": True},
        {"port": None},
        {"port": [40000]},
        {},
        [],
        40000,
        {"port": 40000, "ip": "192.0.2.1"},
        {"port": 40000, "hostname": "elsewhere.example.org"},
        {"port": 40000, "job_id": "1.0"},
        {"ip": "192.0.2.1"},
    ],
    ids=repr,
)
def test_a_report_of_anything_but_a_port_in_the_range_is_refused(
    pool: Minipool, waiting: Future[dict[str, Any]], body: Any
) -> None:
    answer = report(pool, token_in_job(pool, NAME), body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"].startswith("Not a port report")


@pytest.mark.parametrize("text", ['{"port": 40000', "", '{"port": 40000, "port": 40001}', "\xff", "[" * 200])
def test_a_report_that_is_no_plain_json_is_refused(
    pool: Minipool, waiting: Future[dict[str, Any]], text: str
) -> None:
    answer = report(pool, token_in_job(pool, NAME), data=text.encode("latin-1"), allow_redirects=False)
    assert answer.status_code == 400, answer.text


def test_after_all_that_the_notebooks_own_report_counts_and_a_second_one_does_not(
    pool: Minipool, waiting: Future[dict[str, Any]], alice: HubUser
) -> None:
    assert not waiting.done(), "the notebook should still wait for a slot"
    token = token_in_job(pool, NAME)
    pool.check("nbcm", "pkill -CONT -x condor_negotiat")
    assert waiting.result()["ready"]
    answer = report(pool, token, {"port": 40000})
    assert answer.status_code == 409, answer.text
    assert alice.notebook("GET", f"{NAME}/api/status").status_code == 200
