"""The way through the hub, with a stand-in for its side."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fake_hub import FakeHub
from jupyter_afhub import hublink
from jupyter_afhub.hublink import HubLink
from jupyter_afhub.notices import Notice
from jupyter_afhub.ways import Activity, choose
from minipool import wait_for

ACTIVITY = Activity(idle_s=30, last=1_700_000_000, kernels=2, busy_kernels=1, memory_peak_mb=512)
NOTICE = {
    "id": "n1",
    "level": "info",
    "text": "Hello.",
    "at": "2026-01-01T12:00:00Z",
    "until": None,
    "from": "adm",
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    fake = FakeHub()
    yield fake
    fake.close()


@pytest.fixture
def received() -> list[list[Notice]]:
    return []


@pytest.fixture
def linked(hub: FakeHub, received: list[list[Notice]]) -> Iterator[Callable[[], HubLink]]:
    links: list[HubLink] = []

    def start() -> HubLink:
        link = HubLink(
            hub.api_url, "own-token",
            lambda rows, _: received.append(rows), answer_s=5, back_off_s=(0.05, 0.2),
        )  # fmt: skip
        links.append(link)
        link.start()
        return link

    yield start
    for link in links:
        link.stop()


def test_a_notice_arrives_while_the_hub_is_asked(
    hub: FakeHub, linked: Callable[[], HubLink], received: list[list[Notice]]
) -> None:
    linked().watch(True)
    wait_for("the hub is asked", lambda: len(hub.asked) > 1, every_s=0.01)
    assert hub.asked[0][:2] == ("/hub/api/afhub/notebook", "token own-token")
    assert hub.asked[0][2] == {"known": "", "wait_s": 50} and hub.asked[1][2]["known"] == "1"
    hub.publish(NOTICE)
    wait_for("it arrives", lambda: len(received) == 2, timeout_s=4, every_s=0.01)
    assert [notice.as_json() for notice in received[1]] == [NOTICE]
    hub.publish()
    wait_for("it is taken back", lambda: received[-1] == [], timeout_s=4, every_s=0.01)


def test_what_the_notebook_does_is_told_and_what_was_read_at_once(
    hub: FakeHub, linked: Callable[[], HubLink]
) -> None:
    link = linked()
    link.watch(True)
    link.report(ACTIVITY)
    wait_for("activity is told", lambda: hub.told("activity"), timeout_s=5, every_s=0.01)
    assert hub.told("activity")[0] == {"idle_s": 30, "kernels": 2, "busy_kernels": 1, "memory_peak_mb": 512}
    link.report_seen({"n1": "delivered"})
    wait_for("delivery is told", lambda: {"n1": "delivered"} in hub.told("seen"), timeout_s=5, every_s=0.01)
    link.report_seen({"n1": "read"})
    wait_for("reading is told", lambda: {"n1": "read"} in hub.told("seen"), timeout_s=5, every_s=0.01)


def test_while_nobody_looks_the_hub_is_not_kept_waiting(
    hub: FakeHub, linked: Callable[[], HubLink], received: list[list[Notice]]
) -> None:
    hub.publish(NOTICE)
    linked().report(ACTIVITY)
    wait_for("the notice comes with the report", lambda: received, timeout_s=5, every_s=0.01)
    assert [message["wait_s"] for _, _, message in hub.asked] == [0]


def test_a_hub_that_is_away_is_asked_again_and_nothing_is_lost(
    hub: FakeHub, linked: Callable[[], HubLink], received: list[list[Notice]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hublink, "UNHEARD_S", 0.2)
    hub.status, hub.body = 503, b"restarting"
    link = linked()
    link.watch(True)
    link.report_seen({"n1": "read"})
    wait_for("the problem is told", lambda: link.problem, timeout_s=5, every_s=0.02)
    assert "has not answered" in str(link.problem) and not received
    before = len(hub.asked)
    hub.status, hub.body = 200, None
    wait_for(
        "it is asked again and told what was to be told",
        lambda: received and {"n1": "read"} in [message.get("seen") for _, _, message in hub.asked[before:]],
        timeout_s=5,
        every_s=0.02,
    )
    wait_for("nothing is wrong any more", lambda: link.problem is None, timeout_s=5, every_s=0.02)


def test_who_hears_news_sees_no_trouble_that_is_over(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hublink, "UNHEARD_S", 0.0)
    problems: list[str | None] = []
    hub.status, hub.body = 503, b"restarting"
    hub.publish(NOTICE)
    link = HubLink(
        hub.api_url, "own-token", lambda *_: problems.append(link.problem), answer_s=5, back_off_s=(0.05, 0.2)
    )
    link.start()
    try:
        link.report(ACTIVITY)
        wait_for("the problem is told", lambda: link.problem, timeout_s=5, every_s=0.02)
        hub.status, hub.body = 200, None
        wait_for("it is heard again", lambda: problems, timeout_s=10, every_s=0.02)
    finally:
        link.stop()
    assert problems == [None]


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b"[]", b"5", b'{"version": 5, "notices": 7}', b"[" * 100_000, b" " * 600_000]
)
def test_answers_of_another_form_do_no_harm(
    hub: FakeHub, linked: Callable[[], HubLink], received: list[list[Notice]], body: bytes
) -> None:
    hub.body = body
    link = linked()
    link.report(ACTIVITY)
    wait_for("the hub is asked", lambda: hub.asked, timeout_s=5, every_s=0.01)
    hub.body = None
    link.report_seen({"n1": "read"})
    wait_for("a later answer is understood", lambda: received, timeout_s=10, every_s=0.02)


@pytest.mark.parametrize(("status", "told"), [(400, True), (403, True), (404, False)])
def test_a_hub_that_refuses_is_left_alone(
    hub: FakeHub, linked: Callable[[], HubLink], status: int, told: bool
) -> None:
    hub.status, hub.body = status, b"no such thing"
    link = linked()
    link.report(ACTIVITY)
    wait_for("the hub is asked", lambda: hub.asked, timeout_s=5, every_s=0.01)
    if told:
        wait_for("the problem is told", lambda: link.problem, timeout_s=5, every_s=0.01)
        assert "refuses" in str(link.problem)
    for _ in range(5):
        link.report_seen({"n1": "read"})
    assert len(hub.asked) == 1 and (link.problem is not None) is told


def test_notebooks_of_a_hub_of_this_stack_take_it_and_others_take_chirp() -> None:
    hub = {"JUPYTERHUB_API_URL": "http://h/hub/api", "JUPYTERHUB_API_TOKEN": "t"}
    assert type(choose({**hub, "AFHUB_CLASS": "regular"}, lambda *_: None)).__name__ == "HubLink"
    assert type(choose(hub, lambda *_: None)).__name__ == "ChirpLink"
    assert type(choose({}, lambda *_: None)).__name__ == "ChirpLink"
