"""What admins say to a notebook: the attribute AfhubNotices of its job.

The attribute is not trusted: whatever it holds, what comes out is a short list of plain texts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from jupyter_afhub.ads import unquoted
from jupyter_afhub.words import moment

ATTRIBUTE = "AfhubNotices"
SEEN_ATTRIBUTE = "ChirpAfhubSeen"

LONGEST_TEXT = 2000
LONGEST_FROM = 100
LONGEST_ID = 40
MOST = 10
MOST_SEEN = 20
LONGEST_SEEN = 900
"""A starter refuses a longer value."""

Level = Literal["info", "warning", "error"]

_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_ID}}}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Notice:
    """One message. `lasts_s` is how long it is meant to be seen, None for as long as the notebook runs."""

    id: str
    level: Level
    text: str
    at: str | None
    until: str | None
    sender: str
    lasts_s: float | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id, "level": self.level, "text": self.text, "at": self.at, "until": self.until,
            "from": self.sender,
        }  # fmt: skip


def parse(expression: str) -> tuple[list[Notice], str | None]:
    """The notices in the attribute as the shadow writes it, the newest last, and what was wrong with it."""
    expression = expression.strip()
    if expression.lower() in {"", "undefined", "error", '""'}:
        return [], None
    text = unquoted(expression)
    if text is None:
        return [], f"{ATTRIBUTE} of the job is no string."
    try:
        rows = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return [], f"{ATTRIBUTE} of the job is no JSON."
    return parse_rows(rows)


def parse_rows(rows: object) -> tuple[list[Notice], str | None]:
    """The notices in a list that came as JSON, the newest last, and what was wrong with it."""
    if not isinstance(rows, list):
        return [], "What came in place of the notices is no list."
    found: dict[str, Notice] = {}
    for row in rows[-MOST:]:
        notice = _notice(row)
        if notice:
            found[notice.id] = notice
    broken = len(rows[-MOST:]) - len(found)
    return list(found.values()), f"{broken} of the notices could not be read." if broken else None


def _notice(row: object) -> Notice | None:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        return None
    text = _plain(row["text"], LONGEST_TEXT)
    name = row.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        content = json.dumps(row, sort_keys=True, default=str).encode(errors="replace")
        name = hashlib.sha256(content).hexdigest()[:12]
    levels: dict[object, Level] = {level: level for level in get_args(Level)}
    at, until = _time(row, "at"), _time(row, "until")
    lasts_s = until[1] - at[1] if at and until else None
    return Notice(
        id=name,
        level=levels.get(str(row.get("level")), "info"),
        text=text,
        at=at[0] if at else None,
        until=until[0] if until else None,
        sender=_plain(row["from"], LONGEST_FROM) if isinstance(row.get("from"), str) else "",
        lasts_s=lasts_s,
    )


def _plain(text: str, longest: int) -> str:
    """Without what steers a terminal or turns the direction of writing, and no longer than allowed."""
    text = _CONTROL.sub(" ", text).strip()
    # Half of a surrogate pair is a character that nothing can be sent with.
    text = text.encode(errors="replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _time(row: Mapping[str, Any], name: str) -> tuple[str, float] | None:
    """A time of the notice as it stands there and in epoch seconds."""
    value = row.get(name)
    if not isinstance(value, str) or len(value) > LONGEST_ID:
        return None
    when = moment(value)
    return (value, when.timestamp()) if when else None


@dataclass
class Notices:
    """What is to be shown, and what was: of each notice whether it was delivered or read."""

    rows: list[Notice] = field(default_factory=list)
    seen: dict[str, Literal["delivered", "read"]] = field(default_factory=dict)
    _first_seen: dict[str, float] = field(default_factory=dict)

    def replace(self, rows: list[Notice], now: float) -> tuple[list[Notice], list[str]]:
        """Take the attribute's content; returns what is new, and the ids of what is gone.

        How long a notice lasts is counted from when it came, by a clock that nobody sets: the hub's and this machine's
        may differ.
        """
        before = {notice.id: notice for notice in self.rows}
        after = {notice.id for notice in rows}
        new = [notice for notice in rows if notice.id not in self._first_seen]
        for notice in new:
            self._first_seen[notice.id] = now
        self.rows = rows
        return [notice for notice in new if self._lasts(notice, now)], [
            name for name in before if name not in after
        ]

    def expire(self, now: float) -> list[str]:
        """Drop what has had its time; returns the ids."""
        gone = [notice.id for notice in self.rows if not self._lasts(notice, now)]
        self.rows = [notice for notice in self.rows if notice.id not in gone]
        return gone

    def current(self) -> list[Notice]:
        """What was not read yet."""
        return [notice for notice in self.rows if self.seen.get(notice.id) != "read"]

    def mark(self, name: str, how: Literal["delivered", "read"]) -> bool:
        """Note that a notice was delivered or read; True where that is news."""
        if name not in self._first_seen or self.seen.get(name) in (how, "read"):
            return False
        # The newest are last, and only so many are reported.
        self.seen.pop(name, None)
        self.seen[name] = how
        return True

    def _lasts(self, notice: Notice, now: float) -> bool:
        return notice.lasts_s is None or now - self._first_seen[notice.id] < notice.lasts_s


def seen_text(seen: Mapping[str, Literal["delivered", "read"]]) -> str:
    """As the value of an attribute: id and first letter of each, the newest last, as many as a starter takes."""
    entries = [f"{name}:{how[0]}" for name, how in list(seen.items())[-MOST_SEEN:]]
    while len(",".join(entries)) > LONGEST_SEEN:
        entries.pop(0)
    return ",".join(entries)
