"""A user has at most notebook_max_per_user notebooks: the hub says so, and the pool holds to it by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hubclient import HubUser

from minipool import Minipool, wait_for


@pytest.fixture(scope="module")
def full_house(pool: Minipool, alice: HubUser) -> Iterator[list[str]]:
    """alice with as many notebooks as she may have; their names."""
    most = pool.host_vars("hub")["notebook_max_per_user"]
    names = ["", *(f"number-{count}" for count in range(2, most + 1))]
    alice.stop_all()
    for name in names:
        alice.ask({"notebook_class": "regular"}, name)
    for name in names:
        alice.wait_until_ready(name)
    yield names
    alice.stop_all()


def test_one_more_is_refused_over_the_api_and_the_answer_says_why(
    pool: Minipool, alice: HubUser, full_house: list[str]
) -> None:
    answer = alice.api("POST", "/users/alice/servers/one-more", json={"notebook_class": "regular"})
    assert answer.status_code in (400, 403), f"{answer.status_code} {answer.text}"
    message = answer.json()["message"]
    assert "maximum" in message or f"{len(full_house)} notebooks" in message, message
    assert sorted(alice.active()) == sorted(full_house)


def test_one_more_is_refused_on_its_spawn_page(alice: HubUser, full_house: list[str]) -> None:
    page = alice.page("/hub/spawn/alice/one-more")
    answer = page
    if page.status_code == 200:
        answer = alice.send_form("/hub/spawn/alice/one-more", {"notebook_class": "regular"})
    assert answer.status_code in (400, 403), answer.status_code
    assert "maximum" in answer.text or f"{len(full_house)} notebooks" in answer.text
    assert sorted(alice.active()) == sorted(full_house)


def test_one_more_that_is_submitted_past_the_hub_does_not_start(
    pool: Minipool, submit_all: Callable[..., list[Any]], full_house: list[str]
) -> None:
    # Of a class that has free slots, so that nothing else stands in its way.
    changes = {"My.Owner": '"alice"', "My.AfhubClass": '"large"', "hold": None}
    (answer,) = submit_all([changes], keep=True)

    def turned_down() -> dict[str, Any] | None:
        nonlocal answer
        wanted = "JobStatus,NumShadowStarts,LastRejMatchReason"
        found = json.loads(pool.check("hub", f"condor_q {answer.job} -json -attributes {wanted}") or "[]")
        if not found:
            # Once a minute the hub removes what no server of it owns, perhaps before the negotiator came.
            (answer,) = submit_all([changes], keep=True)
            return None
        return dict(found[0]) if "LastRejMatchReason" in found[0] else None

    try:
        if answer.job:
            # The negotiator has to have looked at it, and there are slots that it could have had.
            ad = wait_for("the negotiator has turned it down", turned_down, 90)
            assert ad and ad["JobStatus"] == 1 and not ad.get("NumShadowStarts"), ad
            assert "oncurrency limit" in ad["LastRejMatchReason"], ad
    finally:
        pool.run("hub", f"condor_rm {answer.job}")
