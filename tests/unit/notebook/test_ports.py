"""A notebook keeps the port it found, and finds another one where somebody was faster."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from jupyter_afhub import ports


@pytest.fixture
def taken() -> Iterator[tuple[ports.PortRange, list[socket.socket]]]:
    """A range of four neighbouring ports, all free when found, and an empty list of sockets to take them with."""
    rng = random.Random()
    with ExitStack() as stack:
        while True:
            found = ports.PortRange.parse(f"{(first := rng.randrange(20000, 30000))}-{first + 3}")
            probes: list[tuple[int, list[socket.socket]]] = []
            try:
                probes.extend(ports.listen(ports.PortRange(port, port)) for port in range(first, first + 4))
            except ports.PortError:
                continue
            finally:
                for _, bound in probes:
                    for sock in bound:
                        sock.close()
            break
        sockets: list[socket.socket] = []
        yield found, sockets
        for sock in sockets:
            stack.enter_context(closing(sock))


def take(port: int, address: str = "0.0.0.0") -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen()
    return sock


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
def test_the_one_free_port_is_found(taken: tuple[ports.PortRange, list[socket.socket]], address: str) -> None:
    wanted, sockets = taken
    free = wanted.first + 2
    sockets += [take(port, address) for port in range(wanted.first, wanted.last + 1) if port != free]
    port, listening = ports.listen(wanted)
    sockets += listening
    assert port == free
    assert {sock.getsockname()[1] for sock in listening} == {free}
    with socket.create_connection(("127.0.0.1", free), timeout=5):
        pass


def test_two_notebooks_never_share_a_port(taken: tuple[ports.PortRange, list[socket.socket]]) -> None:
    wanted, sockets = taken
    found = []
    for _ in range(4):
        port, listening = ports.listen(wanted, random.Random(1))
        sockets += listening
        found.append(port)
    assert sorted(found) == list(range(wanted.first, wanted.last + 1))


def test_a_full_range_is_named_with_the_cure(taken: tuple[ports.PortRange, list[socket.socket]]) -> None:
    wanted, sockets = taken
    sockets += [take(port) for port in range(wanted.first, wanted.last + 1)]
    with pytest.raises(ports.PortError, match=rf"AFHUB_PORT_RANGE={wanted} is free.*notebook_port_range"):
        ports.listen(wanted)


def test_a_port_taken_on_one_interface_only_leaves_no_socket_behind(
    taken: tuple[ports.PortRange, list[socket.socket]],
) -> None:
    wanted, sockets = taken
    sockets.append(take(wanted.first, "127.0.0.1"))
    with pytest.raises(ports.PortError):
        ports.listen(ports.PortRange(wanted.first, wanted.first))
    sockets.pop().close()
    port, listening = ports.listen(ports.PortRange(wanted.first, wanted.first))
    sockets += listening
    assert port == wanted.first


def test_every_port_is_tried_once_and_the_start_varies() -> None:
    wanted = ports.PortRange(40000, 40009)
    orders = [wanted.in_random_order(random.Random(seed)) for seed in range(50)]
    assert all(sorted(order) == list(range(40000, 40010)) for order in orders)
    assert len({order[0] for order in orders}) > 5


@pytest.mark.parametrize(
    "text",
    ["", "40000", "40999-40000", "80-90", "40000-70000", "a-b", "40000-40999-1", "-1-2", "40000-\n41000"],
)
def test_a_malformed_range_is_refused_by_name(text: str) -> None:
    with pytest.raises(ports.PortError, match="AFHUB_PORT_RANGE is .*; write first-last"):
        ports.PortRange.parse(text)
