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

PATIENCE_S = 900.0
"""How long a hub that is down, restarting or busy is waited for: three times as long as it waits for a start."""

REFUSED_S = 120.0
"""How long a hub may refuse: one that has just been started does not know at once which starts it takes over."""

AGAIN_S = (30.0, 60.0, 120.0, 240.0, 450.0)
"""Pauses between reports to a hub that took the port and then never asks there: it was killed, and has forgotten it."""

_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 10.0
_REQUEST_TIMEOUT_S = 15.0
_LONGEST_ANSWER = 500
_MAY_CHANGE = (401, 403, 409)
_NOT_NOW = (404, 408, 425, 429)
_NO_ANSWER = (502, 504)


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
    refused_s: float = REFUSED_S,
    stop: threading.Event | None = None,
    log: Callable[[str], None] | None = None,
) -> Accepted:
    """POST the port to the hub until it is taken.

    Connection errors, answers of 500 and above, "not found" from whoever answers while the hub is down, and "too many
    requests" are tried again, with growing pauses, for `patience_s` seconds. A token or report that the hub does not
    expect is tried again for `refused_s` seconds. Every other refusal is final. "Conflict" after a report whose answer
    got lost says that the hub has it. Setting `stop` ends the waiting. Raises ReportError.
    """
    stop = stop or threading.Event()
    url = f"{api_url.rstrip('/')}/batchspawner"
    jitter = random.SystemRandom()
    deadline = time.monotonic() + patience_s
    refused_at: float | None = None
    answer_lost = False
    wait_s = _FIRST_WAIT_S
    while True:
        until = deadline
        try:
            status, hub_version, text = _post(url, token, port)
        except ssl.SSLCertVerificationError as error:
            raise ReportError(
                f"the hub at {url} is not trusted: {error.verify_message}; "
                "this host's trust store must know the authority of its certificate (variable hub_proxy_ca_file)"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            problem = f"the hub can't be reached at {url}: {error}"
            answer_lost = answer_lost or not isinstance(error, ConnectionRefusedError)
        else:
            if 200 <= status < 300 or (status == 409 and answer_lost):
                return Accepted(status, hub_version)
            problem = f"the hub answered {status} to the port report at {url}: {text}"
            if status in _MAY_CHANGE:
                refused_at = refused_at or time.monotonic()
                until = min(deadline, refused_at + refused_s)
            elif status < 500 and status not in _NOT_NOW:
                raise ReportError(problem)
            else:
                refused_at = None
                answer_lost = answer_lost or status in _NO_ANSWER
        pause_s = wait_s * jitter.uniform(0.75, 1.25)
        if time.monotonic() + pause_s > until:
            waited_s = refused_s if until != deadline else patience_s
            raise ReportError(f"gave up after {waited_s:.0f} s: {problem}")
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
