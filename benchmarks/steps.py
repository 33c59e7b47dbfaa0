"""The measurements of a run one after the other: what was measured is written whatever comes after it."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks.attempts import shortened
from benchmarks.report import Figure

#: The exit code of a run that did not come to its end.
BROKEN_OFF = 3


@dataclass(frozen=True)
class Step:
    """One measurement.

    name: in words, for the list of what is missing; take: takes the samples, and calls what it is given whenever some
    of them are worth keeping; figures: what is made of those that there are.
    """

    name: str
    take: Callable[[Callable[[], None]], None]
    figures: Callable[[], Sequence[Figure]]


@dataclass(frozen=True)
class State:
    """How far a run has come: the figures so far, what is missing, and what ended it, if something did."""

    figures: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = ()
    fault: str = ""


def run(
    steps: Sequence[Step],
    write: Callable[[State], None],
    *,
    raw: Callable[[], Any],
    log: Path,
    done: Callable[[Figure], None] = lambda _: None,
    left_out: Sequence[str] = (),
) -> int:
    """Takes the steps in turn and writes after each, and in between where a step says so. Returns the exit code.

    raw: all samples as they were taken, for the log of a fault; done: is told of each figure that is complete;
    left_out: steps that nobody asked for. The first fault ends the run: nothing later would be comparable.
    """
    figures: dict[str, Figure] = {}
    missing = [*(step.name for step in steps), *left_out]

    def keep(step: Step, fault: str = "") -> None:
        # A figure of nothing is left out: it must not take the place of former results.
        figures.update({figure.key: figure for figure in step.figures() if figure.begun})
        put(fault)

    def put(fault: str) -> None:
        if figures:
            write(State(tuple(figures.values()), tuple(missing), fault))

    for step in steps:
        try:
            step.take(lambda step=step: keep(step))  # type: ignore[misc]
            missing.remove(step.name)
            keep(step)
            for figure in step.figures():
                done(figure)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
            if step.name not in missing:
                missing.insert(0, step.name)
            noted = _note(error, raw, log)
            fault = f"{step.name}: {told(error)}"
            try:
                keep(step, fault)
            except Exception as second:  # noqa: BLE001
                # Figures cannot be made of what this step left: those of the steps before it stay.
                noted = _note(second, raw, log)
                put(fault)
            say(f"\nThe run broke off in: {fault}\nMissing: {', '.join(missing)}.\n{noted}\n")
            return BROKEN_OFF
    return 0


def say(text: str) -> None:
    """To those who wait."""
    sys.stderr.write(text)
    sys.stderr.flush()


def told(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    # Below the first line, a browser's exception has the log of its doings.
    return shortened(str(error).partition("\n")[0]) or type(error).__name__


def _note(error: BaseException, raw: Callable[[], Any], log: Path) -> str:
    """Adds the traceback and all samples to the log; returns where they are, in words."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as out:
            out.write("".join(traceback.format_exception(error)))
            out.write(json.dumps(_plain(raw()), ensure_ascii=False) + "\n")
    except Exception as second:  # noqa: BLE001
        # A full disk, say: then the traceback is all that there is.
        traceback.print_exception(error)
        return f"The log {log} cannot be written: {second}"
    return f"Traceback and all samples: {log}"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@contextlib.contextmanager
def plainly(log: Path) -> Iterator[None]:
    """What goes wrong before or between the steps is told in a line as well; the traceback goes to the log.

    A request to end is an interruption, so that what was measured is written.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        noted = _note(error, dict, log)
        say(f"\nThe run broke off: {told(error)}\n{noted}\n")
        sys.exit(BROKEN_OFF)
    finally:
        signal.signal(signal.SIGTERM, before)
