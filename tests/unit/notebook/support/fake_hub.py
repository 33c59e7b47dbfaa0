"""A stand-in for the address at which the hub hears notebooks."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_POST(self) -> None:
        hub = self.server
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        hub.asked.append((self.path, self.headers["Authorization"], message))
        with hub.news:
            hub.news.wait_for(lambda: message["known"] != hub.version or hub.ended, min(message["wait_s"], 5))
            answer = {"version": hub.version, "notices": hub.notices, "report_every_s": 3600}
        body = hub.body if hub.body is not None else json.dumps(answer).encode()
        self.send_response(hub.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class FakeHub(ThreadingHTTPServer):
    """Listens on loopback until closed."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.news = threading.Condition()
        self.notices: list[dict[str, Any]] = []
        self.version = "1"
        self.status = 200
        self.body: bytes | None = None
        self.ended = False
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def publish(self, *rows: dict[str, Any]) -> None:
        with self.news:
            self.notices, self.version = list(rows), str(int(self.version) + 1)
            self.news.notify_all()

    def told(self, what: str) -> list[Any]:
        return [message[what] for _, _, message in self.asked if what in message]

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hub/api"

    def close(self) -> None:
        with self.news:
            self.ended = True
            self.news.notify_all()
        self.shutdown()
        self.server_close()
