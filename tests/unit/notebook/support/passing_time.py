"""A clock that a test moves on, for a server in another process."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

from jupyter_afhub.clock import Clock

_LOOK_S = 0.001
"""How long who waits may not notice that time has passed."""


class PassingTime(Clock):
    """This machine's clock and what a test has added to it. Both hold the file that says how much that is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch(0o600)

    @property
    def added_s(self) -> float:
        (seconds,) = struct.unpack("d", self._path.read_bytes() or bytes(8))
        return float(seconds)

    def passes(self, seconds: float) -> None:
        later = struct.pack("d", self.added_s + seconds)
        # Over what is there: at no moment is the file empty.
        with self._path.open("r+b") as file:
            file.write(later)

    def monotonic(self) -> float:
        return super().monotonic() + self.added_s

    def wait(self, event: threading.Event, within_s: float) -> bool:
        end = self.monotonic() + within_s
        while (left_s := end - self.monotonic()) > 0:
            if event.wait(min(left_s, _LOOK_S)):
                return True
        return event.is_set()

    def readable(self, connection: socket.socket, within_s: float) -> bool:
        end = self.monotonic() + within_s
        while (left_s := end - self.monotonic()) > 0:
            if super().readable(connection, min(left_s, _LOOK_S)):
                return True
        return super().readable(connection, 0)
