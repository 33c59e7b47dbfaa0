"""A stand-in for the starter's side of Chirp: as much of the protocol as a notebook speaks, and ways to misbehave."""

from __future__ import annotations

import re
import socketserver
import threading
from pathlib import Path
from typing import Literal

Manner = Literal["answers", "is silent", "hangs up", "refuses to read", "answers slowly"]
COOKIE = "a-cookie"


class _Conversation(socketserver.StreamRequestHandler):
    server: FakeChirp

    def handle(self) -> None:
        self.server.connections += 1
        for line in self.rfile:
            if self.server.manner == "is silent":
                self.server.ended.wait(60)
                return
            if self.server.manner == "hangs up":
                return
            command, *words = [
                re.sub(r"\\(.)", r"\1", word) for word in re.split(r"(?<!\\) ", line.decode().rstrip("\n"))
            ]
            self.wfile.write(self._answer(command, words))

    def _answer(self, command: str, words: list[str]) -> bytes:
        fake = self.server
        if command == "cookie":
            return b"0\n" if words == [COOKIE] else b"-1\n"
        if command == "get_job_attr":
            fake.reads += 1
            if fake.manner == "refuses to read":
                return b"-8\n"
            value = fake.attributes.get(words[0], "UNDEFINED").encode()
            return b"%d\n%s" % (len(value), value)
        if command == "set_job_attr_delayed" and words[0].startswith("Chirp") and len(words[1]) <= 993:
            fake.attributes[words[0]] = words[1]
            return b"0\n"
        return b"-8\n"


class FakeChirp(socketserver.ThreadingTCPServer):
    """Listens on loopback until closed."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Conversation)
        self.attributes: dict[str, str] = {}
        self.manner: Manner = "answers"
        self.connections = 0
        self.reads = 0
        self.ended = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def configure(self, folder: Path) -> Path:
        """Leave the file that tells a job where we are."""
        path = folder / ".chirp.config"
        path.write_text(f"127.0.0.1 {self.server_address[1]} {COOKIE}\n")
        return path

    def close(self) -> None:
        self.ended.set()
        self.shutdown()
        self.server_close()
