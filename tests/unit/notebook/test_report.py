"""The port report reaches a hub that is slow or restarting, and gives up clearly where the hub says no."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jupyter_afhub import report

LOST = 0
"""In the place of a code: the report arrives, and its answer does not."""


class Hub(ThreadingHTTPServer):
    """Answers port reports with the given codes, one after the other, the last one for ever."""

    def __init__(self, *codes: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.codes = list(codes)
        self.seen: list[tuple[str, str | None, object]] = []

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hub/api"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers["Authorization"], body))
        code = self.server.codes.pop(0) if len(self.server.codes) > 1 else self.server.codes[0]
        if code == LOST:
            self.close_connection = True
            return
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()
        self.wfile.write(b'{"message": "no pending\\n job"}')

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"], None))
        self.send_response(200)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def hubs() -> Iterator[list[Hub]]:
    started: list[Hub] = []
    yield started
    for hub in started:
        hub.shutdown()
        hub.server_close()


def start(hubs: list[Hub], *codes: int) -> Hub:
    hub = Hub(*codes)
    hubs.append(hub)
    threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
    return hub


def test_port_and_token_arrive(hubs: list[Hub]) -> None:
    hub = start(hubs, 200)
    accepted = report.report_port(hub.api_url + "/", "secret", 40123)
    assert hub.seen == [("/hub/api/batchspawner", "token secret", {"port": 40123})]
    assert accepted == report.Accepted(200, "6.1.1")


@pytest.mark.parametrize("code", [404, 429, 500, 502, 503, 504, LOST])
def test_a_busy_hub_is_asked_again(hubs: list[Hub], code: int) -> None:
    hub = start(hubs, code, code, 201)
    said: list[str] = []
    assert report.report_port(hub.api_url, "secret", 40123, log=said.append).status == 201
    assert len(hub.seen) == 3
    assert len(said) == 2
    assert str(code or "can't be reached") in said[0]


@pytest.mark.parametrize("code", [401, 403, 409])
def test_a_hub_that_does_not_know_its_starts_yet_is_asked_again(hubs: list[Hub], code: int) -> None:
    hub = start(hubs, 503, code, code, 201)
    assert report.report_port(hub.api_url, "secret", 40123).status == 201
    assert len(hub.seen) == 4


@pytest.mark.parametrize("code", [401, 403, 409])
def test_a_hub_that_goes_on_refusing_is_believed(hubs: list[Hub], code: int) -> None:
    hub = start(hubs, code)
    with pytest.raises(
        report.ReportError, match=f"gave up after 0 s: .*answered {code}.*no pending"
    ) as caught:
        report.report_port(hub.api_url, "secret", 40123, refused_s=0.2)
    assert len(hub.seen) > 1
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("code", [LOST, 502, 504])
def test_a_report_whose_answer_got_lost_has_arrived(hubs: list[Hub], code: int) -> None:
    hub = start(hubs, code, 409)
    assert report.report_port(hub.api_url, "secret", 40123).status == 409
    assert len(hub.seen) == 2


def test_a_hub_that_is_down_is_waited_for_longer_than_a_start_takes() -> None:
    assert report.PATIENCE_S >= 600


@pytest.mark.parametrize("code", [302, 400, 405, 413])
def test_a_refusal_is_final_and_says_what_the_hub_said(hubs: list[Hub], code: int) -> None:
    hub = start(hubs, code)
    with pytest.raises(report.ReportError, match=f"answered {code} .*no pending") as caught:
        report.report_port(hub.api_url, "secret", 40123)
    assert len(hub.seen) == 1, "neither repeated nor redirected"
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_that_comes_back_is_reached(hubs: list[Hub]) -> None:
    # Nobody else gets the port meanwhile, and nobody answers at it.
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    port = kept.getsockname()[1]
    first_failure = threading.Event()

    def open_hub() -> None:
        first_failure.wait(10)
        hub = Hub.__new__(Hub)
        hub.codes, hub.seen = [200], []
        ThreadingHTTPServer.__init__(hub, ("127.0.0.1", port), Handler, bind_and_activate=False)
        hub.socket.close()
        hub.socket = kept
        hub.server_activate()
        hubs.append(hub)
        threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()

    threading.Thread(target=open_hub, daemon=True).start()
    accepted = report.report_port(
        f"http://127.0.0.1:{port}/hub/api",
        "secret",
        40123,
        patience_s=20,
        log=lambda text: first_failure.set(),
    )
    assert first_failure.is_set()
    assert accepted.status == 200


def test_patience_ends(hubs: list[Hub]) -> None:
    hub = start(hubs, 503)
    started = time.monotonic()
    with pytest.raises(report.ReportError, match="gave up after 1 s: .*503"):
        report.report_port(hub.api_url, "secret", 40123, patience_s=1)
    assert time.monotonic() - started < 30
    assert len(hub.seen) > 1


def test_a_stopping_server_does_not_wait(hubs: list[Hub]) -> None:
    hub = start(hubs, 503)
    stop = threading.Event()
    with pytest.raises(report.ReportError, match="stopped before"):
        report.report_port(hub.api_url, "secret", 40123, stop=stop, log=lambda text: stop.set())
    assert len(hub.seen) == 1


def test_a_web_proxy_of_the_environment_is_not_used(hubs: list[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    hub = start(hubs, 200)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert report.report_port(hub.api_url, "secret", 40123).status == 200
