"""Several tabs are open: one of them shows a pop-up, all of them are asked to save."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from jupyter_afhub.clients import Client, Clients


class Tab:
    """A tab that remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def clients(clock: Clock, shown: list[str]) -> Clients:
    return Clients(shown.append, clock)


def opened(clients: Clients, visible: bool = False) -> tuple[Tab, Client]:
    tab = Tab()
    client = clients.connect(tab)
    clients.is_visible(client, visible)
    return tab, client


POP_UP = {"type": "warning"}


def test_the_tab_in_front_gets_it(clients: Clients) -> None:
    (front, _), (back, _) = opened(clients, visible=True), opened(clients)
    clients.pop_up("w", POP_UP)
    assert front.sent == [POP_UP] and back.sent == []


def test_of_several_in_the_background_the_one_looked_at_last(clients: Clients) -> None:
    (first, client), (second, _) = opened(clients, visible=True), opened(clients)
    clients.is_visible(client, False)
    clients.pop_up("w", POP_UP)
    assert first.sent == [POP_UP] and second.sent == []


def test_it_waits_for_the_first_tab(clients: Clients, shown: list[str]) -> None:
    clients.pop_up("w", POP_UP)
    tab, client = opened(clients)
    assert tab.sent == [POP_UP] and clients.waiting() == ["w"]
    clients.was_shown(client, "w")
    assert shown == ["w"] and clients.waiting() == []
    assert opened(clients)[0].sent == []


def test_a_tab_that_closes_before_it_has_shown_it_hands_it_on(clients: Clients) -> None:
    (first, client), (second, _) = opened(clients, visible=True), opened(clients)
    clients.pop_up("w", POP_UP)
    clients.disconnect(client)
    assert first.sent == [POP_UP] and second.sent == [POP_UP]


def test_a_tab_that_sleeps_hands_it_on_and_drops_it(clients: Clients, clock: Clock, shown: list[str]) -> None:
    (asleep, _), (awake, client) = opened(clients, visible=True), opened(clients)
    clients.pop_up("w", POP_UP)
    clock.now += 5
    clients.deliver()
    assert awake.sent == []
    clock.now += 6
    clients.deliver()
    assert awake.sent == [POP_UP] and asleep.sent == [POP_UP, {"type": "seen", "id": "w"}]
    clients.was_shown(client, "w")
    clock.now += 60
    clients.deliver()
    assert awake.sent == [POP_UP] and shown == ["w"]


def test_the_only_tab_is_not_told_twice(clients: Clients, clock: Clock) -> None:
    tab, _ = opened(clients)
    clients.pop_up("w", POP_UP)
    clock.now += 1000
    clients.deliver()
    assert tab.sent == [POP_UP]


def test_what_is_over_goes_away_and_is_not_shown_any_more(clients: Clients) -> None:
    clients.pop_up("w", POP_UP)
    clients.withdraw("w", {"type": "warning_over", "id": "w"})
    assert opened(clients)[0].sent == []


def test_a_stranger_to_the_pop_up_shows_nothing(clients: Clients, shown: list[str]) -> None:
    _, client = opened(clients)
    clients.was_shown(client, "unheard-of")
    assert shown == []


def test_all_tabs_have_to_save_or_close() -> None:
    async def run() -> None:
        clients = Clients(lambda _: None)
        (_, first), (_, second) = opened(clients), opened(clients)
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        assert not await clients.all_saved("s", 0.1)
        assert 0.09 < time.monotonic() - begun < 5
        loop.call_later(0.02, clients.has_saved, first, "s")
        loop.call_later(0.04, clients.has_saved, second, "of another time")
        loop.call_later(0.06, clients.disconnect, second)
        assert await clients.all_saved("s", 5)
        assert time.monotonic() - begun < 5

    asyncio.run(run())
