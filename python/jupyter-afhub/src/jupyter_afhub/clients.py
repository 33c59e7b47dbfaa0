"""The open Labs: who sees what, and who is asked to save.

A pop-up goes to one of them, the one that was looked at last. Where that one does not show it, another gets it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

SHOWN_WITHIN_S = 10.0
"""A Lab that has not shown a pop-up by then is asleep: another one gets it."""


class Socket(Protocol):
    """The other end of a websocket."""

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; a connection that is closing takes it without a word."""


@dataclass(eq=False)
class Client:
    """One open Lab, one tab."""

    socket: Socket
    visible: bool = False
    looked_at: float = 0.0
    """When it was last seen to be in front, by a clock that nobody sets."""
    saved: set[str] = field(default_factory=set)


@dataclass
class _PopUp:
    """A pop-up on its way: the message, who has it, and since when."""

    message: dict[str, Any]
    client: Client | None = None
    since: float = 0.0
    failed: list[Client] = field(default_factory=list)


class Clients:
    """All open Labs of a server."""

    def __init__(self, shown: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`shown` gets the id of each pop-up that a Lab has shown."""
        self.all: list[Client] = []
        self._shown = shown
        self._clock = clock
        self._pop_ups: dict[str, _PopUp] = {}
        self._saved = asyncio.Event()

    def __len__(self) -> int:
        return len(self.all)

    def connect(self, socket: Socket) -> Client:
        client = Client(socket, looked_at=self._clock())
        self.all.append(client)
        return client

    def disconnect(self, client: Client) -> None:
        if client in self.all:
            self.all.remove(client)
        for pop_up in self._pop_ups.values():
            if pop_up.client is client:
                pop_up.client = None
        self._saved.set()
        self.deliver()

    def is_visible(self, client: Client, visible: bool) -> None:
        """A tab came to the front or went away from it."""
        client.visible = visible
        client.looked_at = self._clock()
        self.deliver()

    def send_all(self, message: dict[str, Any], but: Client | None = None) -> None:
        for client in list(self.all):
            if client is not but:
                client.socket.send(message)

    def pop_up(self, name: str, message: dict[str, Any]) -> None:
        """Show something in one tab, now or when somebody opens one."""
        self._pop_ups[name] = _PopUp(message)
        self.deliver()

    def withdraw(self, name: str, message: dict[str, Any]) -> None:
        """What was or is to be shown is over; where it is shown, it goes away."""
        self._pop_ups.pop(name, None)
        self.send_all(message)

    def waiting(self) -> list[str]:
        """Pop-ups that nobody has shown yet."""
        return list(self._pop_ups)

    def was_shown(self, client: Client, name: str) -> None:
        pop_up = self._pop_ups.get(name)
        if pop_up is None:
            return
        del self._pop_ups[name]
        if pop_up.client not in (None, client):
            self._drop(pop_up.client, name)
        self._shown(name)

    def deliver(self) -> None:
        """Hand out what waits; called again now and then, for Labs that do not answer."""
        now = self._clock()
        for name, pop_up in self._pop_ups.items():
            if pop_up.client and now - pop_up.since > SHOWN_WITHIN_S and len(self.all) > 1:
                pop_up.failed.append(pop_up.client)
                self._drop(pop_up.client, name)
                pop_up.client = None
            if pop_up.client is None and self.all:
                fresh = [client for client in self.all if client not in pop_up.failed]
                if not fresh:
                    pop_up.failed.clear()
                    fresh = self.all
                pop_up.client = max(fresh, key=lambda client: (client.visible, client.looked_at))
                pop_up.since = now
                pop_up.client.socket.send(pop_up.message)

    def _drop(self, client: Client | None, name: str) -> None:
        if client in self.all and client is not None:
            client.socket.send({"type": "seen", "id": name})

    def has_saved(self, client: Client, save_id: str) -> None:
        client.saved.add(save_id)
        self._saved.set()

    async def all_saved(self, save_id: str, within_s: float) -> bool:
        """Wait until every open Lab has said that it has saved, or is closed; False where time is over before."""
        deadline = self._clock() + within_s
        while any(save_id not in client.saved for client in self.all):
            left_s = deadline - self._clock()
            if left_s <= 0:
                return False
            self._saved.clear()
            waiting = asyncio.ensure_future(self._saved.wait())
            await asyncio.wait([waiting], timeout=left_s)
            waiting.cancel()
        return True
