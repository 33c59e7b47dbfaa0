"""The way through the hub: a long poll for notices while somebody has the notebook open, and a report now and then.

Two threads: one waits for the hub's news, the other one reports, so that what has been read is told while the first one
waits. A hub that is down or restarting costs some patience of theirs and the server nothing.
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jupyter_afhub import notices
from jupyter_afhub.clock import CLOCK, Clock
from jupyter_afhub.ways import REPORT_EVERY_S, Activity, Received, Seen

HOLD_S = 50
"""How long the hub may keep a question while there is nothing new."""

ANSWER_S = 15.0
"""What an answer may take beyond that."""

BACK_OFF_S = (1.0, 60.0)
REFUSED_S = 300.0
ABSENT_S = 600.0
LONGEST_ANSWER = 256 * 1024

UNHEARD_S = 60.0
"""A hub may be away for this long before anybody is told."""

_REPORT_RANGE_S = (5.0, 3600.0)


class RefusedError(Exception):
    """The hub does not want this; `pause_s` later it is asked again."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}".strip())
        self.pause_s = ABSENT_S if status == 404 else REFUSED_S
        self.told = None if status == 404 else f"The hub refuses what this notebook reports: {self}"


class HubLink:
    """Speaks to `api_url`/afhub/notebook with the server's own token. A `ways.Way`."""

    def __init__(
        self,
        api_url: str,
        token: str,
        received: Received,
        *,
        answer_s: float = ANSWER_S,
        back_off_s: tuple[float, float] = BACK_OFF_S,
        clock: Clock = CLOCK,
    ) -> None:
        self.problem: str | None = None
        self._where = urlsplit(f"{api_url.rstrip('/')}/afhub/notebook")
        self._token = token
        self._received = received
        self._answer_s = answer_s
        self._back_off_s = back_off_s
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._known = ""
        self._activity: Activity | None = None
        self._seen: dict[str, Seen] = {}
        self.report_every_s = REPORT_EVERY_S
        self._unheard_since: float | None = None
        self._ended = threading.Event()
        self._watched = threading.Event()
        self._urgent = threading.Event()

    def start(self) -> None:
        for name, run in (("afhub-listen", self._listen), ("afhub-tell", self._tell)):
            threading.Thread(target=run, name=name, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        self._watched.set()
        self._urgent.set()

    def watch(self, somebody_looks: bool) -> None:
        if somebody_looks:
            self._watched.set()
        elif not self._ended.is_set():
            self._watched.clear()

    def report(self, activity: Activity) -> None:
        with self._lock:
            first = self._activity is None
            self._activity = activity
        if first:
            self._urgent.set()

    def report_seen(self, seen: Mapping[str, Seen]) -> None:
        with self._lock:
            self._seen.update(seen)
        self._urgent.set()

    def _listen(self) -> None:
        """Ask for news as long as somebody looks."""
        while not self._ended.is_set():
            self._watched.wait()
            if not self._ended.is_set():
                self._patiently({"wait_s": HOLD_S})

    def _tell(self) -> None:
        """Report each minute or so, what was read at once, and hear the news with it."""
        while not self._ended.is_set():
            self._clock.wait(self._urgent, self.report_every_s)
            self._urgent.clear()
            if self._ended.is_set():
                return
            with self._lock:
                activity, seen = self._activity, dict(self._seen)
            message: dict[str, Any] = {"wait_s": 0}
            if activity:
                message["activity"] = {
                    "idle_s": activity.idle_s, "kernels": activity.kernels, "busy_kernels": activity.busy_kernels,
                    "memory_peak_mb": activity.memory_peak_mb,
                }  # fmt: skip
            if seen:
                message["seen"] = seen
            if self._patiently(message):
                with self._lock:
                    self._seen = {name: how for name, how in self._seen.items() if seen.get(name) != how}

    def _patiently(self, message: Mapping[str, Any]) -> bool:
        """Ask until there is an answer; False where the hub refused, after the pause that is due then."""
        pause_s, longest_s = self._back_off_s
        while not self._ended.is_set():
            try:
                self._ask(message)
            except RefusedError as refusal:
                self.problem = refusal.told
                self._clock.wait(self._ended, refusal.pause_s)
                return False
            except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
                self._note_silence(error)
                self._clock.wait(self._ended, pause_s * random.SystemRandom().uniform(0.75, 1.25))
                pause_s = min(pause_s * 2, longest_s)
            else:
                return True
        return False

    def _note_silence(self, error: Exception) -> None:
        now = self._clock.monotonic()
        self._unheard_since = self._unheard_since or now
        minutes = (now - self._unheard_since) / 60
        if now - self._unheard_since >= UNHEARD_S:
            what = f"{type(error).__name__}: {str(error)[:200]}"
            self.problem = f"The hub has not answered for {minutes:.0f} minutes: {what}"

    def _ask(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            known = self._known
        answer = self._post({"known": known, **message})
        rows, problem = notices.parse_rows(answer.get("notices"))
        every_s, version = answer.get("report_every_s"), answer.get("version")
        if isinstance(every_s, int | float):
            self.report_every_s = min(max(float(every_s), _REPORT_RANGE_S[0]), _REPORT_RANGE_S[1])
        # Before the news are handed on: whoever hears them and looks sees no trouble that is over.
        self.problem = self._unheard_since = None
        with self._lock:
            # The other thread may have heard something newer meanwhile: then this is asked for once more.
            news = isinstance(version, str) and version != known and self._known == known
            if news:
                self._known = str(version)
        if news:
            self._received(rows, problem)

    def _post(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """One request. The hub is a neighbour: neither a web proxy nor a redirect gets to see the token."""
        timeout_s = float(message["wait_s"]) + self._answer_s
        connection: http.client.HTTPConnection
        if self._where.scheme == "https":
            # Reading the trust store takes longer than everything else.
            self._context = self._context or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                self._where.netloc, timeout=timeout_s, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._where.netloc, timeout=timeout_s)
        try:
            headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
            connection.request("POST", self._where.path, json.dumps(message), headers)
            response = connection.getresponse()
            content = response.read(LONGEST_ANSWER + 1)
        finally:
            connection.close()
        if response.status in (400, 401, 403, 404):
            raise RefusedError(response.status, " ".join(content[:200].decode(errors="replace").split()))
        if response.status != 200:
            raise ValueError(f"the hub answered {response.status}")
        if len(content) > LONGEST_ANSWER:
            raise ValueError(f"the hub's answer is longer than {LONGEST_ANSWER} bytes")
        answer = json.loads(content)
        if not isinstance(answer, dict):
            raise http.client.HTTPException("the hub's answer is no object")
        return answer
