"""A kernel of a user's notebook, cell by cell, as the Lab runs it."""

from __future__ import annotations

import json
import queue
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR
from typing import Any

import websocket
from hubclient import HubUser


class CellError(AssertionError):
    """A cell that ended with an exception.

    name: its type; text: what it says; printed: what came below this and earlier cells while it ran; seconds: how long
    that was.
    """

    def __init__(self, name: str, text: str, printed: str, seconds: float, traceback: str) -> None:
        super().__init__(f"after {seconds:.1f} s: {name}: {text}\nprinted: {printed}\n{traceback}")
        self.name = name
        self.text = text
        self.printed = printed
        self.seconds = seconds


@dataclass
class Kernel:
    """One kernel. Variables live from cell to cell. `earlier`: what came meanwhile below cells that ran before."""

    user: HubUser
    kernel_id: str
    socket: websocket.WebSocket
    earlier: str = ""
    messages: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)

    def listen(self) -> None:
        """Takes all that comes until the connection ends, as a Lab does: a server gives up who answers no ping."""
        try:
            while text := self.socket.recv():
                self.messages.put(json.loads(text))
        except (websocket.WebSocketException, OSError):
            pass
        finally:
            self.messages.put(None)

    def run(self, code: str, timeout_s: float = 120) -> str:
        """Runs a cell; returns all that it printed and showed as text.

        Raises CellError where the cell does, and AssertionError where it is not done in time.
        """
        message_id = uuid.uuid4().hex
        begun = time.monotonic()
        self.socket.send(json.dumps(_request(message_id, code)))
        printed = self.earlier = ""
        error: dict[str, Any] = {}
        while (passed_s := time.monotonic() - begun) < timeout_s:
            try:
                message = self.messages.get(timeout=timeout_s - passed_s)
            except queue.Empty:
                break
            assert message, (
                f"the connection to the kernel ended after {passed_s:.1f} s; printed so far: {printed!r}"
            )
            kind, body = message["header"]["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != message_id:
                # A thread's words belong to the cell that started it.
                self.earlier += body["text"] if kind == "stream" else ""
                continue
            if kind == "stream":
                printed += body["text"]
            elif kind in ("execute_result", "display_data"):
                printed += f"{body['data'].get('text/markdown') or body['data'].get('text/plain', '')}\n"
            elif kind == "error":
                error = body
            elif kind == "status" and body["execution_state"] == "idle":
                if error:
                    traceback = "\n".join(error["traceback"])
                    raise CellError(
                        error["ename"], error["evalue"], printed + self.earlier, passed_s, traceback
                    )
                return printed
        raise AssertionError(
            f"the cell did not end within {timeout_s} s; printed so far: {printed!r}\n{code}"
        )


def _request(message_id: str, code: str) -> dict[str, Any]:
    return {
        "header": {
            "msg_id": message_id,
            "username": "",
            "session": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        },
        "channel": "shell",
        "buffers": [],
    }


@contextmanager
def kernel(user: HubUser, name: str = "analysis", server: str = "") -> Iterator[Kernel]:
    """A new kernel of one of the user's notebooks; it is shut down at the end."""
    base = f"{server}/api/kernels".lstrip("/")
    started = user.notebook("POST", base, json={"name": name})
    assert started.status_code == 201, f"{started.status_code} {started.text}"
    kernel_id = started.json()["id"]
    socket = websocket.create_connection(
        f"{user.pool.url.replace('https', 'wss')}/user/{user.name}/{base}/{kernel_id}/channels",
        header={"Authorization": f"token {user.token}"}, sslopt={"ca_certs": str(user.pool.ca_file)}, timeout=60,
    )  # fmt: skip
    # Cells may be silent for minutes.
    socket.settimeout(None)
    one = Kernel(user, kernel_id, socket)
    listener = threading.Thread(target=one.listen, daemon=True)
    listener.start()
    try:
        yield one
    finally:
        # Closed under a thread that reads, its number would go to the next connection, and the thread read from that.
        if socket.sock is not None:
            with suppress(OSError):
                socket.sock.shutdown(SHUT_RDWR)
        listener.join(30)
        assert not listener.is_alive(), "the connection to a kernel does not end"
        socket.close()
        user.notebook("DELETE", f"{base}/{kernel_id}")
