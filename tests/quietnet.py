"""A network of its own for the browser, in which nothing changes: loopback, and on it one port of this machine.

Chromium drops its connections (ERR_NETWORK_CHANGED) when a network card of the machine comes or goes, and each
container of another pool has one. So it runs in a network namespace; its port leads out through a Unix socket.

    python quietnet.py SOCKET PORT PROGRAM [ARGUMENT ...]      within `unshare --net`
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import shlex
import signal
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
PR_SET_PDEATHSIG = 1


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


def _forward(connect: Callable[[], Awaitable[Streams]]) -> Callable[..., Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    return handle


@contextlib.contextmanager
def launcher(program: str, port: int) -> Iterator[str]:
    """A script that runs a program in a network of its own, whose `port` leads to that of this machine's loopback."""
    with tempfile.TemporaryDirectory(prefix="afhub-browser-") as folder:
        path = f"{folder}/way"
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            asyncio.start_unix_server(_forward(lambda: asyncio.open_connection("127.0.0.1", port)), path)
        )
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        user = "" if os.geteuid() == 0 else "--user --map-current-user "
        script = Path(folder) / "launch"
        words = shlex.join([sys.executable, str(Path(__file__).resolve()), path, str(port), program])
        script.write_text(f'#!/bin/sh\nexec unshare {user}--net {words} "$@"\n')
        script.chmod(0o700)
        try:
            yield str(script)
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(control, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


def _serve(path: str, listening: socket.socket) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(
            _forward(lambda: asyncio.open_unix_connection(path)), sock=listening
        )
        await server.serve_forever()

    asyncio.run(serve())


def main() -> None:
    """Has the port, then becomes the program; what forwards ends with it."""
    path, port, *command = sys.argv[1:]
    _loopback_up()
    listening = socket.create_server(("127.0.0.1", int(port)), backlog=256)
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Pipes by which the browser is driven: whoever has one keeps it alive.
        os.closerange(3, listening.fileno())
        _serve(path, listening)
        os._exit(0)
    listening.close()
    os.execv(command[0], command)  # noqa: S606 - a program of the tests, by its path


if __name__ == "__main__":
    main()
