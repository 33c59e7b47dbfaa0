"""What users read while a notebook starts, and when it could not.

The only place for these texts: a site that wants other words or another language replaces entries of
:data:`WORDS`. Names in braces are filled in; each entry may use those it uses here.
"""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    # While starting
    "asking": "Asking for a {title} notebook: {memory} of memory, {cores}, up to {hours}.",
    "queued": "In the queue of class {title}.",
    "queued_slots": (
        "In the queue of class {title}: place {place} of {waiting}, {free} of {total} slots free."
    ),
    "unanswered": "The job scheduler does not answer at the moment. Your request is kept; still trying.",
    "starting": "Starting on {host}.",
    "listening": "The server on {host} is up. Opening it.",
    # No start
    "options": "{reason}",
    "account": "{reason}",
    "environment": (
        "The notebook could not be described to the job scheduler: {reason}. Please tell your admins."
    ),
    "refused": "The job scheduler refused the notebook: {reason}",
    "unreachable": (
        "The job scheduler does not answer, so no notebook can start now. Please try again in a minute."
    ),
    "held": "The notebook was put on hold and removed: {reason}",
    "removed": "The notebook was removed while it started: {reason}",
    "completed": "The notebook ended while it started{code}. Its log is in your home folder: {log}",
    "gone": "The notebook ended while it started. Its log is in your home folder: {log}",
    "slow": (
        "The server on {host} did not report within {waited}, so it was stopped. "
        "Its log is in your home folder: {log}"
    ),
    "no_slot": (
        "No slot of class {title} became free within {waited}, so the request was taken back. "
        "Please try again later or choose another class."
    ),
    "requeued": "The notebook lost its machine while it started. Please start it again.",
    "no_host": (
        "The notebook runs on a machine whose name makes no sense ({reason}). Please tell your admins."
    ),
    # Reasons where HTCondor gives none
    "no_reason": "no reason was given",
}


def say(key: str, **values: object) -> str:
    """The text of an entry with its names filled in."""
    return WORDS[key].format(**values)


def memory(megabytes: int) -> str:
    """Megabytes in the unit people use: ``12 GB``, ``1.5 GB``, ``512 MB``."""
    return f"{megabytes / 1024:.3g} GB" if megabytes >= 1024 else f"{megabytes} MB"


def cores(number: int) -> str:
    """``1 core``, ``2 cores``."""
    return f"{number} core" if number == 1 else f"{number} cores"


def duration(seconds: int) -> str:
    """``12 hours``, ``1 hour``, ``90 minutes``, ``45 seconds``."""
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {word}" if count == 1 else f"{count} {word}s"
    return duration(seconds // 60 * 60) if seconds > 60 else f"{seconds} seconds"
