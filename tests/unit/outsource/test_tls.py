"""An encrypted connection that breaks leaves the others of its thread alone."""

from __future__ import annotations

import _ssl
import asyncio
import ctypes
import socket
import ssl

import pytest
from tornado.iostream import SSLIOStream, StreamClosedError

from afhub_outsource import tls

SYSTEM = 2
BROKEN_PIPE = 32


def leave_an_error() -> None:
    """What OpenSSL does where a connection breaks while it writes: an error in the thread's queue."""
    openssl = ctypes.PyDLL(_ssl.__file__)
    openssl.ERR_new()
    openssl.ERR_set_error(SYSTEM, BROKEN_PIPE, None)


def context(side: int) -> ssl.SSLContext:
    """No certificates: the test is about what comes after the handshake."""
    made = ssl.SSLContext(side)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AECDH:@SECLEVEL=0")
    return made


async def conversation() -> bytes:
    """An encrypted connection that has nothing to read when another one breaks, and something afterwards."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    server = SSLIOStream(
        context(ssl.PROTOCOL_TLS_SERVER).wrap_socket(ends[0], server_side=True, do_handshake_on_connect=False)
    )
    client = SSLIOStream(context(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(ends[1], do_handshake_on_connect=False))
    try:
        await asyncio.gather(server.wait_for_handshake(), client.wait_for_handshake())
        leave_an_error()
        reading = asyncio.ensure_future(server.read_bytes(5))
        await client.write(b"hello")
        return bytes(await asyncio.wait_for(reading, 10))
    finally:
        server.close()
        client.close()


@pytest.fixture(autouse=True)
def tornado_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoes at the end what `mend` does to tornado."""
    for name in ("read_from_fd", "write_to_fd"):
        monkeypatch.setattr(SSLIOStream, name, getattr(SSLIOStream, name))
    monkeypatch.setattr(SSLIOStream, tls.MENDED, False, raising=False)


def test_a_connection_goes_on_when_another_one_broke() -> None:
    tls.mend()
    assert asyncio.run(conversation()) == b"hello"


def test_without_the_mend_it_is_closed() -> None:
    """Where this fails, ssl or tornado have learnt it, and the module can go."""
    with pytest.raises((StreamClosedError, OSError)):
        asyncio.run(conversation())


def test_it_is_mended_once() -> None:
    tls.mend()
    once = SSLIOStream.read_from_fd
    tls.mend()
    assert SSLIOStream.read_from_fd is once
