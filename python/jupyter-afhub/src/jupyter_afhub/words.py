"""Amounts, durations and times as people and programs read them."""

from __future__ import annotations

import time
from datetime import datetime


def amount(megabytes: float) -> str:
    """Megabytes, or from 1024 on gigabytes with one decimal."""
    if megabytes < 1024:
        return f"{megabytes:.0f} MB"
    return f"{megabytes / 1024:.1f}".removesuffix(".0") + " GB"


def duration(seconds: float) -> str:
    """Hours and minutes; seconds where two minutes would be too much said."""
    whole = max(0, round(seconds))
    if whole < 105:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} hours"


def iso(epoch_s: float) -> str:
    """A time in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_s))


def moment(text: str) -> datetime | None:
    """The time that a text in ISO 8601 names, or None where it names none or leaves its zone open."""
    # Python 3.10 does not know the letter.
    text = f"{text[:-1]}+00:00" if text.endswith("Z") else text
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else None
