"""Texts for a terminal."""

from __future__ import annotations

import time


def table(rows: list[list[str]]) -> list[str]:
    """Rows as lines with columns of equal width; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def utc(moment: int) -> str:
    """Seconds since 1970 as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def span(seconds: float) -> str:
    """How long, in its two largest units: ``2 d 3 h``, ``5 h``, ``12 min``, ``40 s``."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left} s"
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2])
