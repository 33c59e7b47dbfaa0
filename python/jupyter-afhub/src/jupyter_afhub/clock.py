"""The time that passes for the ways to the site. With a clock of its own a test lets minutes pass in no time."""

from __future__ import annotations

import select
import socket
import threading
import time


class Clock:
    """This machine's, that nobody sets."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wait(self, event: threading.Event, within_s: float) -> bool:
        """Whether something happened, at the latest after so many seconds."""
        return event.wait(within_s)

    def readable(self, connection: socket.socket, within_s: float) -> bool:
        """Whether there is something to read, its end included, at the latest after so many seconds."""
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(max(0.0, within_s) * 1000))


CLOCK = Clock()
