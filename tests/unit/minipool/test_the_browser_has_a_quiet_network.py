"""The browser of the tests sees none of the machine's network cards, and reaches the one port that it is given."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from quietnet import launcher

# What it sees of the network, what the port answers, and what it has from whoever started it.
LOOK = """
import os, socket, urllib.request
print([name for _, name in socket.if_nameindex()])
print(urllib.request.urlopen(f"http://127.0.0.1:{os.environ['PORT']}/x", timeout=10).read().decode())
print(input())
"""


class Echo(BaseHTTPRequestHandler):
    """Answers with the path that was asked for, many times over."""

    def do_GET(self) -> None:
        body = self.path.encode() * 100_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_sees_loopback_alone_and_reaches_its_port(port: int) -> None:
    with launcher(sys.executable, port) as program:
        done = subprocess.run(
            [program, "-c", LOOK], env={"PORT": str(port)}, input="a pipe\n", capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cards, answer, piped = done.stdout.splitlines()
    assert cards == "['lo']"
    assert answer == "/x" * 100_000
    assert piped == "a pipe"
