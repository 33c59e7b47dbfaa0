"""Choosing the port a notebook listens on.

The socket that proves a port to be free is the one the server uses later. Nothing is closed in between, so
two notebooks that start on the same worker at the same moment can't end up with the same port.
"""

from __future__ import annotations

import errno
import random
import re
import socket
from dataclasses import dataclass

VARIABLE = "AFHUB_PORT_RANGE"

_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")
_NOT_OURS = (errno.EADDRINUSE, errno.EACCES)
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
_BACKLOG = 128


class PortError(Exception):
    """No port can be had; the text names the variable, its value and what to do."""


@dataclass(frozen=True)
class PortRange:
    """Ports a site lets its notebooks use, both ends included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """Read `first-last`, for example `40000-40999`; PortError where it is not a range of unprivileged
        ports."""
        found = _RANGE.fullmatch(text.strip())
        if found:
            first, last = int(found.group(1)), int(found.group(2))
            if 1024 <= first <= last <= 65535:
                return cls(first, last)
        raise PortError(
            f"{VARIABLE} is {text!r}; write first-last with ports from 1024 to 65535, for example 40000-40999"
        )

    def in_random_order(self, rng: random.Random) -> list[int]:
        """Every port once, from a random one upwards and around: neighbours rarely try the same port
        first."""
        count = self.last - self.first + 1
        start = rng.randrange(count)
        return [self.first + (start + step) % count for step in range(count)]

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def listen(ports: PortRange, rng: random.Random | None = None) -> tuple[int, list[socket.socket]]:
    """Listen on all interfaces on the first free port; returns the port and its sockets (IPv4, and IPv6 where
    there is any)."""
    for port in ports.in_random_order(rng or random.SystemRandom()):
        sockets = _listen_on(port)
        if sockets:
            return port, sockets
    raise PortError(
        f"no port of {VARIABLE}={ports} is free on {socket.gethostname()}; "
        "widen notebook_port_range, or look for processes that hold these ports with: ss -ltnp"
    )


def _listen_on(port: int) -> list[socket.socket]:
    """Sockets listening on the port, or none of them where another process has it."""
    sockets: list[socket.socket] = []
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                sockets.append(_listening_socket(family, port))
            except OSError as error:
                if family == socket.AF_INET6 and error.errno in _NO_IPV6:
                    break
                raise
    except OSError as error:
        for sock in sockets:
            sock.close()
        if error.errno in _NOT_OURS:
            return []
        raise
    return sockets


def _listening_socket(family: socket.AddressFamily, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port that a stopped notebook left in TIME_WAIT is free; one that somebody listens on stays taken.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
