"""Whose socket it is: a connection from the same user is told from one of another user, and so are listening ports.

The tables are as a little-endian kernel writes them.
"""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from afhub_outsource import peers

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 20001        0 123 1 0 100 0 0 10 0
   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000 20002        0 124 1 0 20 4 30 10 -1
"""
MAPPED = "0000000000000000FFFF00000100007F"
LOOPBACK = "00000000000000000000000001000000"
REST = "00000000:00000000 00:00000000 00000000"
TABLE6 = f"""\
  sl  local_address  remote_address  st tx_queue rx_queue tr tm->when retrnsmt  uid  timeout inode
   0: {MAPPED}:C351 {MAPPED}:1F90 01 {REST} 20001 0 5
   1: {LOOPBACK}:1F90 {"0" * 32}:0000 0A {REST} 20003 0 6
"""


def test_the_kernels_table_is_read() -> None:
    first, second = peers.parse(TABLE.splitlines())
    assert first == peers.Socket(("127.0.0.1", 8080), ("0.0.0.0", 0), peers.LISTEN, 20001)
    assert second == peers.Socket(("127.0.0.1", 50000), ("127.0.0.1", 8080), peers.ESTABLISHED, 20002)


def test_an_ipv4_address_in_an_ipv6_socket_is_an_ipv4_address() -> None:
    first, second = peers.parse(TABLE6.splitlines())
    assert first.local == ("127.0.0.1", 50001)
    assert second.local == ("::1", 8080)


@pytest.fixture
def listener() -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(10)
    return server


def test_the_other_end_of_a_connection_is_known_by_its_user(listener: socket.socket) -> None:
    with listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert peers.peer_uid(connection) == os.getuid()


def test_a_connection_that_is_gone_is_nobodys(listener: socket.socket) -> None:
    with listener:
        socket.create_connection(listener.getsockname()).close()
        connection, _ = listener.accept()
        connection.close()
        assert peers.peer_uid(connection) is None


def test_who_listens_on_a_port(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with listener:
        assert peers.listeners(port) == {os.getuid()}
    assert peers.listeners(port) == set()


CONNECT = "exec 3<>/dev/tcp/127.0.0.1/$0 && read -r -N 1 <&3"


def test_another_users_connection_is_told_apart(listener: socket.socket) -> None:
    """Only root can be somebody else; for others the stranger is of the same user."""
    other = 65534 if os.getuid() == 0 else os.getuid()
    with listener:
        command = ["bash", "-c", CONNECT, str(listener.getsockname()[1])]
        stranger = subprocess.Popen(command, user=other if os.getuid() == 0 else None, cwd="/")
        connection, _ = listener.accept()
        with connection:
            assert peers.peer_uid(connection) == other
            connection.sendall(b"x")
        assert stranger.wait(10) == 0
