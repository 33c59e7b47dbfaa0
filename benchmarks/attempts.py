"""A sample, or a start that came to nothing: what every measurement counts, and how the next one begins clean."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import playwright.sync_api
import requests
import websocket

T = TypeVar("T")

NOT_STARTED = "did not start"
NOT_MEASURED = "could not be measured"
NOT_TRIED = "not tried"
#: So many failures of one thing in a row, and it is not tried again in this run: each of them takes minutes.
ENOUGH = 3
#: A reason is one line of a report.
LONGEST = 400


class DidNotStartError(RuntimeError):
    """A start came to nothing, and it is known why."""


class StateLostError(RuntimeError):
    """What a failed start left cannot be cleared away: whatever is measured next would not be comparable."""


#: What one start that fails looks like from here: a page that does not come, a wait that ends (AssertionError), a hub
#: or a program that says no. Anything else is a fault of the whole run or a bug, and goes on up.
FAILURES = (
    DidNotStartError,
    AssertionError,
    playwright.sync_api.Error,
    requests.RequestException,
    subprocess.SubprocessError,
    websocket.WebSocketException,
)


@dataclass(frozen=True)
class Failed:
    """Stands beside samples where there is none. at: when, in seconds since 1970; what: in words, for a count of it."""

    reason: str
    at: float
    what: str = NOT_STARTED

    @classmethod
    def of(cls, error: BaseException, seen: str = "", what: str = NOT_STARTED) -> Failed:
        """From the exception that ended an attempt, and what could be seen then."""
        lines = str(error).strip().splitlines()
        # The rest is a browser's log of its own doings.
        first = lines[0] if lines else type(error).__name__
        return cls(shortened(f"{first} ({seen})" if seen else first), time.time(), what)


def shortened(text: str, longest: int = LONGEST) -> str:
    """One line, and not a long one."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def attempt(
    start: Callable[[], T | Failed],
    *,
    stop: Callable[[], None],
    reset: Callable[[], None],
    look: Callable[[], str] = str,
    what: str = NOT_STARTED,
) -> T | Failed:
    """One start and its end; whatever comes of it, the next one begins from the state that this one began from.

    stop: ends what was started; reset: clears away what a failed start may have left, and what `stop` cannot end;
    look: a few words on what can be seen of a failure before that. Raises StateLostError where `reset` fails.
    """
    try:
        outcome = start()
    except FAILURES as error:
        seen = ""
        # A look that fails must not hide what it was to explain.
        with contextlib.suppress(Exception):
            seen = look()
        outcome = Failed.of(error, seen, what)
    if not isinstance(outcome, Failed):
        try:
            stop()
        except FAILURES:
            pass
        else:
            return outcome
    try:
        reset()
    except FAILURES as error:
        why = f"; before that: {outcome.reason}" if isinstance(outcome, Failed) else ""
        raise StateLostError(f"the state before a start does not come back: {error}{why}") from error
    return outcome


def given_up(outcomes: Sequence[object]) -> Failed | None:
    """What stands for a start that is not tried, since the last ones all failed; None where it is."""
    last = outcomes[-ENOUGH:]
    if len(last) < ENOUGH or not all(isinstance(one, Failed) for one in last):
        return None
    return Failed(f"{ENOUGH} in a row had failed", time.time(), NOT_TRIED)


def samples(outcomes: Iterable[T | Failed]) -> list[T]:
    """Those that came to something."""
    return [one for one in outcomes if not isinstance(one, Failed)]


def failures(outcomes: Iterable[object]) -> tuple[Failed, ...]:
    """Those that did not."""
    return tuple(one for one in outcomes if isinstance(one, Failed))


def counted(failed: Iterable[Failed], of: int) -> list[str]:
    """A line for each way to fail: '1 of 10 did not start: the reason'."""
    ways = Counter((one.what, one.reason) for one in failed)
    return [f"{count} of {of} {what}: {reason}" for (what, reason), count in ways.items()]
