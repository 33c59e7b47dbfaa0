"""The way to HTCondor's shadow and back: reads one attribute of the job, writes some, in a thread of its own.

For jobs that HTCondor gives a Chirp (`WantIOProxy`), as it does for many that were not started by this stack.

Chirp goes through the job's starter. Whatever stays away there, the starter, the shadow or the network between them,
costs this thread some patience and the server nothing.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_afhub import notices
from jupyter_afhub.ads import SCRATCH
from jupyter_afhub.clock import CLOCK, Clock
from jupyter_afhub.ways import REPORT_EVERY_S, Activity, Received, Seen

CONFIG = "_CONDOR_CHIRP_CONFIG"

ANSWER_S = 5.0
"""How long one answer may take."""

LONGEST_ANSWER = 256 * 1024
"""Bytes of one answer; more is not read."""

SOON_S = 1.0
"""Pause between two looks while somebody has the notebook open."""

LATER_S = 30.0
"""Pause while nobody has."""

BACK_OFF_S = (5.0, 60.0)
"""First and longest pause after a failure."""

REFUSED_S = 300.0
"""Pause after the starter has refused to read: a site that allows it again need not restart notebooks."""

_LONGEST_CONFIG = 4096


class NoChirpError(Exception):
    """There is no Chirp for this job; the text says what is missing."""


@dataclass(frozen=True)
class Address:
    """Where the starter listens, and the word it wants to hear."""

    host: str
    port: int
    cookie: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Address:
        """From the file that the starter leaves for the job; NoChirpError where there is none."""
        scratch = environ.get(SCRATCH)
        path = environ.get(CONFIG) or (str(Path(scratch) / ".chirp.config") if scratch else None)
        if not path:
            raise NoChirpError("no configuration is named")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                words = (file.read(_LONGEST_CONFIG) or b"").decode(errors="replace").split()
        except OSError as error:
            raise NoChirpError(f"{Path(path).name}: {error.strerror}") from None
        if len(words) != 3 or not words[1].isdigit():
            raise NoChirpError(f"{Path(path).name} is of another form than expected")
        return cls(words[0], int(words[1]), words[2])


class _Bounded:
    """A socket that ends: after some time, after some bytes, and when the other side has closed.

    The library waits for the end of a line, also on a connection that is closed and will never bring one.
    """

    def __init__(self, inner: socket.socket, answer_s: float, clock: Clock) -> None:
        self._inner = inner
        self._answer_s = answer_s
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """The next answer may take as long as any, and be as long."""
        self._deadline = self._clock.monotonic() + self._answer_s
        self._left = LONGEST_ANSWER

    def recv(self, size: int) -> bytes:
        if self._left <= 0:
            raise ConnectionError(f"the answer is longer than {LONGEST_ANSWER} bytes")
        if not self._clock.readable(self._inner, self._left_s()):
            raise self._late()
        data = self._inner.recv(size)
        if not data:
            raise ConnectionError("the starter has closed the connection")
        self._left -= len(data)
        return data

    def send(self, data: bytes) -> int:
        self._inner.settimeout(self._left_s())
        return self._inner.send(data)

    def _left_s(self) -> float:
        left_s = self._deadline - self._clock.monotonic()
        if left_s <= 0:
            raise self._late()
        return left_s

    def _late(self) -> TimeoutError:
        return TimeoutError(f"no answer for {self._answer_s:.0f} s")

    def getsockname(self) -> Any:
        return self._inner.getsockname()

    def close(self) -> None:
        self._inner.close()


def connect(address: Address, answer_s: float = ANSWER_S, clock: Clock = CLOCK) -> Any:
    """A client of htchirp that is connected and can't wait for ever. Raises what `failures` names."""
    import htchirp

    class Client(htchirp.HTChirp):
        def connect(self, auth_method: str | None = None) -> None:
            self.disconnect()
            self.socket = _Bounded(
                socket.create_connection((self.host, self.port), timeout=answer_s), answer_s, clock
            )
            self._authenticate(auth_method or self.authentication)

    client = Client(address.host, address.port, cookie=address.cookie, timeout=answer_s)
    client.connect()
    return client


def failures() -> tuple[type[Exception], ...]:
    """What a conversation may end with."""
    import htchirp

    return (OSError, ValueError, RuntimeError, htchirp.HTChirp.ChirpError)


def refusals() -> tuple[type[Exception], ...]:
    """With what the starter says that this job may not do something."""
    import htchirp

    client = htchirp.HTChirp
    return (client.InvalidRequest, client.NotAuthorized, client.NotAuthenticated)


def literal(value: int | str) -> str:
    """A value as a ClassAd expression. What would need an escape in a string is left out of it."""
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(c for c in value if c.isprintable() and c not in '"\\') + '"'


class ChirpLink(threading.Thread):
    """Reads the attribute with the notices again and again, and writes what it is given. A `ways.Way`."""

    def __init__(
        self,
        received: Received,
        *,
        environ: Mapping[str, str] = os.environ,
        answer_s: float = ANSWER_S,
        soon_s: float = SOON_S,
        back_off_s: tuple[float, float] = BACK_OFF_S,
        clock: Clock = CLOCK,
    ) -> None:
        """`received` gets the notices whenever they have changed."""
        super().__init__(name="afhub-chirp", daemon=True)
        self.problem: str | None = None
        self.report_every_s = REPORT_EVERY_S
        self._received = received
        self._environ = environ
        self._answer_s = answer_s
        self._soon_s = soon_s
        self._clock = clock
        self._first_back_off_s, self._longest_back_off_s = back_off_s
        self._pending: dict[str, str] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._somebody_looks = False
        self._client: Any = None
        self._last: str | None = None
        self._refused_until = 0.0

    def watch(self, somebody_looks: bool) -> None:
        """Whether the notebook is open somewhere: then news are asked for every second."""
        if somebody_looks != self._somebody_looks:
            self._somebody_looks = somebody_looks
            if somebody_looks:
                self._wake.set()

    def report(self, activity: Activity) -> None:
        self._write(
            {
                "ChirpAfhubIdleSince": 0 if activity.idle_s == 0 else activity.last,
                "ChirpAfhubKernels": activity.kernels,
                "ChirpAfhubBusyKernels": activity.busy_kernels,
                "ChirpAfhubMemoryPeakMb": activity.memory_peak_mb,
            }
        )

    def report_seen(self, seen: Mapping[str, Seen]) -> None:
        self._write({notices.SEEN_ATTRIBUTE: notices.seen_text(seen)}, at_once=True)

    def _write(self, values: Mapping[str, int | str], *, at_once: bool = False) -> None:
        """Attributes for the next conversation; a later value replaces an earlier one that was not sent yet."""
        with self._lock:
            self._pending.update({name: literal(value) for name, value in values.items()})
        if at_once:
            self._wake.set()

    def stop(self) -> None:
        self._ended.set()
        self._wake.set()

    def run(self) -> None:
        back_off_s = self._first_back_off_s
        failing_since: float | None = None
        while not self._ended.is_set():
            pause_s = self._soon_s if self._somebody_looks else LATER_S
            patient = False
            try:
                self._talk()
                back_off_s, failing_since = self._first_back_off_s, None
            except (NoChirpError, ImportError) as error:
                self.problem = (
                    f"Messages from the site can't arrive: HTCondor gives this job no Chirp ({error})."
                )
                pause_s, patient = self._longest_back_off_s, True
            except failures() as error:
                failing_since = failing_since or self._clock.monotonic()
                minutes = (self._clock.monotonic() - failing_since) / 60
                since = f" for {minutes:.0f} minutes" if minutes >= 1 else ""
                self.problem = f"HTCondor has not answered{since}: {type(error).__name__}: {str(error)[:200]}"
                pause_s, patient = back_off_s * random.SystemRandom().uniform(0.8, 1.2), True
                back_off_s = min(back_off_s * 2, self._longest_back_off_s)
            if patient:
                self._hang_up()
                # A failure is not repeated faster because somebody is waiting.
                self._clock.wait(self._ended, pause_s)
            else:
                self._clock.wait(self._wake, pause_s)
            self._wake.clear()
        self._hang_up()

    def _talk(self) -> None:
        """One conversation. What could not be written stays for the next one."""
        if self._client is None:
            self._client = connect(Address.read(self._environ), self._answer_s, self._clock)
        with self._lock:
            pending = dict(self._pending)
        for name, expression in pending.items():
            self._client.socket.begin()
            self._client.set_job_attr_delayed(name, expression)
            with self._lock:
                if self._pending.get(name) == expression:
                    del self._pending[name]
        if self._clock.monotonic() >= self._refused_until:
            self._read()

    def _read(self) -> None:
        self._client.socket.begin()
        try:
            value = self._client.get_job_attr(notices.ATTRIBUTE)
        except refusals() as error:
            self._refused_until = self._clock.monotonic() + REFUSED_S
            self.problem = (
                "Messages from the site can't arrive: HTCondor does not let this job read its attributes"
                f" ({type(error).__name__})."
            )
            return
        # Before the news are handed on: whoever hears them and looks sees no trouble that is over.
        self.problem = None
        if value != self._last:
            self._last = value
            self._received(*notices.parse(value))

    def _hang_up(self) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.disconnect()
            self._client = None
