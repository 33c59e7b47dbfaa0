"""A start request holds the name of a class. Everything else is refused with a reason, and no job is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from hubclient import HubUser

SERVER = "refused"

BODIES: list[tuple[Any, str]] = [
    ({"notebook_class": "huge"}, "no notebook class 'huge'"),
    ({"notebook_class": ""}, "no notebook class ''"),
    ({"notebook_class": "regular\n"}, "no notebook class"),
    ({"notebook_class": "regular\nrequest_memory = 900000"}, "no notebook class"),
    ({"notebook_class": "regular\r\nqueue 100"}, "no notebook class"),
    ({"notebook_class": "Regular"}, "no notebook class"),
    ({"notebook_class": "../large"}, "no notebook class"),
    ({"notebook_class": '" || true || "'}, "no notebook class"),
    ({"notebook_class": "$(HOME)"}, "no notebook class"),
    ({"notebook_class": "x" * 10_000}, "no notebook class"),
    ({"notebook_class": "x" * 100_000}, "too long"),
    ({"notebook_class": ["regular"]}, "must be a text"),
    ({"notebook_class": None}, "must be a text"),
    ({"notebook_class": 1}, "must be a text"),
    ({"notebook_class": True}, "must be a text"),
    ({"notebook_class": {"name": "regular"}}, "must be a text"),
    ({"memory": "900G"}, "Unknown spawn option 'memory'"),
    ({"notebook_class": "regular", "memory": "900G"}, "Unknown spawn option 'memory'"),
    ({"notebook_class": "regular", "nprocs": 64}, "Unknown spawn option 'nprocs'"),
    ({"notebook_class": "regular", "runtime": "1000:00:00"}, "Unknown spawn option 'runtime'"),
    ({"notebook_class": "regular", "options": "+WantX = true"}, "Unknown spawn option 'options'"),
    ({"notebook_class": "regular", "req_options": "queue 9"}, "Unknown spawn option 'req_options'"),
    ({"notebook_class": "regular", "Owner": "bob"}, "Unknown spawn option 'Owner'"),
    (
        {"notebook_class": "regular", "environment": {"LD_PRELOAD": "/x"}},
        "Unknown spawn option 'environment'",
    ),
    ({"user_options": {"notebook_class": "huge"}}, "no notebook class"),
    ({"user_options": {"notebook_class": "regular", "cores": 9}}, "Unknown spawn option 'cores'"),
    ({"user_options": ["regular"]}, "must be an object"),
    ({"user_options": {"notebook_class": "regular"}, "cores": 9}, "Unknown field 'cores'"),
    (["regular"], "JSON object"),
    ("regular", "JSON object"),
]


def nothing_was_started(user: HubUser, name: str) -> bool:
    """The hub has no such server, and the schedd's queue has no job of one."""
    jobs = user.pool.queue("ClusterId,Owner,AfhubServer")
    return not user.server(name) and not any(job.get("AfhubServer") == name for job in jobs)


@pytest.fixture(scope="module", autouse=True)
def no_job_is_left(alice: HubUser) -> Any:
    """One look at the queue for all requests: a job of any of them would still be in it."""
    yield
    assert nothing_was_started(alice, SERVER), alice.pool.queue("ClusterId,Owner,AfhubServer,AfhubClass")


@pytest.mark.parametrize(("body", "reason"), BODIES, ids=lambda value: repr(value)[:60])
def test_the_api_refuses(alice: HubUser, body: Any, reason: str) -> None:
    answer = alice.api("POST", f"/users/alice/servers/{SERVER}", json=body)
    assert answer.status_code == 400, answer.text
    message = answer.json()["message"]
    assert reason in message
    assert len(message) < 400 and "\n" not in message, "what was sent comes back at length"
    assert not alice.server(SERVER)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"notebook_class": "huge"}, "There is no notebook class"),
        ({"notebook_class": "regular\nrequest_memory = 900000"}, "There is no notebook class"),
        ({"notebook_class": ["regular", "large"]}, "was given 2 times"),
        ({"notebook_class": "regular", "memory": "900G"}, "Unknown spawn option"),
        ({"notebook_class": "regular", "req_options": "queue 9"}, "Unknown spawn option"),
        ({"notebook_class": "<script>alert(1)</script>"}, "There is no notebook class"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_the_form_refuses(alice: HubUser, fields: dict[str, Any], reason: str) -> None:
    page = alice.page(f"/hub/spawn/alice/{SERVER}")
    assert page.status_code == 200 and 'name="notebook_class"' in page.text
    answer = alice.send_form(f"/hub/spawn/alice/{SERVER}", fields)
    assert answer.status_code == 400
    assert reason in answer.text, "the page does not say why"
    assert "<script>alert" not in answer.text
    assert 'name="notebook_class"' in answer.text, "the page offers no other try"
    assert not alice.server(SERVER)


@pytest.mark.parametrize("query", ["opt-notebook_class=huge", "opt-notebook_class=regular&opt-memory=900G"])
def test_a_link_refuses(alice: HubUser, query: str) -> None:
    answer = alice.page(f"/hub/spawn/alice/{SERVER}?{query}")
    assert answer.status_code == 400, answer.url
    assert not alice.server(SERVER)


def test_a_server_that_does_not_run_is_not_given_other_options_either(alice: HubUser) -> None:
    answer = alice.api("PATCH", "/users/alice/server", json={"user_options": {"memory": "900G"}})
    assert answer.status_code == 400
    assert "Unknown spawn option 'memory'" in answer.json()["message"]


@pytest.mark.parametrize("name", ["UPPER", "a b", "../x", "x" * 300, "a\nb"])
def test_a_name_that_could_not_be_part_of_an_address_is_refused(alice: HubUser, name: str) -> None:
    path = "/users/alice/servers/" + "".join(f"%{byte:02x}" for byte in name.encode())
    answer = alice.api("POST", path, json={"notebook_class": "regular"})
    assert answer.status_code in (400, 404), answer.text
    assert all(name != found for found in alice.api("GET", "/users/alice").json()["servers"])
