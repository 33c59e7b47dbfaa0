"""Telling the hub on which port the notebook listens."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE_S = 120.0
"""How long a hub that is restarting or busy is waited for."""

_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 10.0
_REQUEST_TIMEOUT_S = 15.0
_LONGEST_ANSWER = 500


class ReportError(Exception):
    """The hub did not take the port; the text says why and is meant for the notebook's log."""


@dataclass(frozen=True)
class Accepted:
    """The hub's answer to a report it took; `hub_version` is None where the hub does not say."""

    status: int
    hub_version: str | None


def report_port(
    api_url: str,
    token: str,
    port: int,
    *,
    patience_s: float = PATIENCE_S,
    stop: threading.Event | None = None,
    log: Callable[[str], None] | None = None,
) -> Accepted:
    """POST the port to the hub until it is taken.

    Connection errors, answers of 500 and above and "too many requests" are tried again, with growing pauses,
    for `patience_s` seconds. Every other refusal is final. Setting `stop` ends the waiting. Raises ReportError.
    """
    stop = stop or threading.Event()
    url = f"{api_url.rstrip('/')}/batchspawner"
    jitter = random.SystemRandom()
    deadline = time.monotonic() + patience_s
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            status, hub_version, text = _post(url, token, port)
        except ssl.SSLCertVerificationError as error:
            raise ReportError(
                f"the hub at {url} is not trusted: {error.verify_message}; "
                "this host's trust store must know the authority of its certificate (variable hub_proxy_ca_file)"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            problem = f"the hub can't be reached at {url}: {error}"
        else:
            if 200 <= status < 300:
                return Accepted(status, hub_version)
            problem = f"the hub answered {status} to the port report at {url}: {text}"
            if status < 500 and status != 429:
                raise ReportError(problem)
        pause_s = wait_s * jitter.uniform(0.75, 1.25)
        if time.monotonic() + pause_s > deadline:
            raise ReportError(f"gave up after {patience_s:.0f} s: {problem}")
        if log:
            log(f"{problem}; next try in {pause_s:.1f} s")
        if stop.wait(pause_s):
            raise ReportError("the server was stopped before the hub took its port")
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


def _post(url: str, token: str, port: int) -> tuple[int, str | None, str]:
    """One request: status, version of the hub, and what it says, short enough for a line of the log.

    The hub is a neighbour on the site's network: neither a web proxy of the environment nor a redirect, which would
    carry the token somewhere else, is ever followed.
    """
    where = urlsplit(url)
    connection: http.client.HTTPConnection
    if where.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(where.netloc, timeout=_REQUEST_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(where.netloc, timeout=_REQUEST_TIMEOUT_S)
    try:
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        connection.request("POST", where.path, json.dumps({"port": port}), headers)
        answer = connection.getresponse()
        text = " ".join(answer.read(_LONGEST_ANSWER).decode(errors="replace").split())
        return answer.status, answer.headers.get("X-JupyterHub-Version"), text or answer.reason
    finally:
        connection.close()
