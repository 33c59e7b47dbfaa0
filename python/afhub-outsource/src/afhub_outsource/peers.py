"""Whose socket is it? Answered from the kernel's table of TCP sockets of this host.

A port on the loopback interface is open to every user of a host. These functions tell the owner's connections
from those of others, and the owner's own ports from a port that somebody else listens on.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = 1
LISTEN = 10


@dataclass(frozen=True)
class Socket:
    """One row of the table."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: int
    uid: int


def _address(field: str) -> tuple[str, int]:
    """An address as the kernel writes it: words of four bytes in the host's order, a colon, the port; all in hex."""
    host, _, port = field.partition(":")
    raw = bytes.fromhex(host)
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    return _plain(ipaddress.ip_address(struct.pack(f">{len(words)}I", *words))), int(port, 16)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address in one form: an IPv4 address inside an IPv6 socket is an IPv4 address."""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def parse(lines: Iterable[str]) -> Iterator[Socket]:
    """The rows of one table, its heading left out."""
    for line in lines:
        fields = line.split()
        if len(fields) > 7 and fields[0].endswith(":"):
            yield Socket(_address(fields[1]), _address(fields[2]), int(fields[3], 16), int(fields[7]))


def sockets() -> Iterator[Socket]:
    """All TCP sockets of this host's network."""
    for table in TABLES:
        try:
            text = table.read_text(encoding="ascii")
        except OSError:
            continue
        yield from parse(text.splitlines())


def _name(address: tuple[object, ...]) -> tuple[str, int]:
    return _plain(ipaddress.ip_address(str(address[0]).partition("%")[0])), int(str(address[1]))


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end of a connection, None where that is not on this host or gone."""
    try:
        ours, theirs = _name(connection.getsockname()), _name(connection.getpeername())
    except (OSError, ValueError):
        return None
    rows = (row for row in sockets() if (row.local, row.remote) == (theirs, ours))
    return next((row.uid for row in rows), None)


def listeners(port: int) -> set[int]:
    """The users who listen on this port of this host."""
    return {row.uid for row in sockets() if row.state == LISTEN and row.local[1] == port}
