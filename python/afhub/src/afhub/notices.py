"""What admins tell the users of running notebooks: the texts, whom they are for, and where they are kept.

A notice is in the ads of the jobs it went to, as ``AfhubNotices``: there ``condor_q`` shows it, it survives a restart
of the hub, and it ends with the job. A list beside the hub's database remembers what was sent; to change that list is
also how the command line wakes the hub.
"""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from afhub.jobs import Job
from afhub.settings import Model

LEVELS: Final = ("info", "warning", "error")
Level = Literal["info", "warning", "error"]
#: Longest text, in characters.
TEXT_LIMIT: Final = 2000
#: How many notices a notebook keeps, and of how many it is known who has seen them.
KEPT: Final = 10
SEEN_KEPT: Final = 20
#: What the list of sent notices remembers at most: how many, and for how long, in seconds.
SENT_KEPT: Final = 50
SENT_KEPT_S: Final = 30 * 86400

NOTICE_ID = re.compile(r"[a-z0-9]{1,16}")
_FORM = "%Y-%m-%dT%H:%M:%SZ"
#: Delivered to a browser, and read (dismissed) there.
SeenState = Literal["delivered", "read"]
_LETTERS: Final[dict[str, SeenState]] = {"d": "delivered", "r": "read"}


class NoticeError(ValueError):
    """What was asked for is no notice; the text says what to change."""


def utc(moment: float) -> str:
    """Seconds since 1970 as ISO 8601."""
    return time.strftime(_FORM, time.gmtime(moment))


def seconds_of(text: str) -> int:
    """Seconds since 1970 of a time as :func:`utc` writes it; raises ValueError."""
    return calendar.timegm(time.strptime(text, _FORM))


def checked_text(text: str) -> str:
    """A text that may be sent; raises :class:`NoticeError`."""
    text = text.strip()
    if not text:
        raise NoticeError("the text is empty: write what the users should know")
    if len(text) > TEXT_LIMIT:
        raise NoticeError(f"the text has {len(text)} characters: write {TEXT_LIMIT} or less")
    if "$$" in text:
        raise NoticeError("the text holds '$$': leave it out, HTCondor would substitute it")
    for place, character in enumerate(text, 1):
        if not (character.isprintable() or character == " "):
            raise NoticeError(
                f"character {place} of the text is {character!r}: write it in one line without control characters"
            )
    return text


class Notice(Model):
    """One notice. ``at`` and ``until`` are ISO 8601 in UTC; after ``until`` nobody is shown it any more."""

    id: Annotated[str, Field(pattern=NOTICE_ID.pattern)]
    level: Level
    text: Annotated[str, Field(min_length=1, max_length=TEXT_LIMIT)]
    at: str
    until: str | None = None
    sender: Annotated[str, Field(max_length=64)] = "admin"

    @field_validator("at", "until")
    @classmethod
    def _time(cls, value: str | None) -> str | None:
        if value is not None:
            seconds_of(value)
        return value

    @classmethod
    def make(cls, text: str, *, level: Level, until: float | None, sender: str, now: float) -> Notice:
        """A new notice with an id of its own; raises :class:`NoticeError`."""
        return cls(
            id=secrets.token_hex(4),
            level=level,
            text=checked_text(text),
            at=utc(now),
            until=None if until is None else utc(until),
            sender=sender,
        )

    def expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.until is not None and seconds_of(self.until) <= now

    def as_dict(self) -> dict[str, Any]:
        """As notebooks get it."""
        return {
            "id": self.id,
            "level": self.level,
            "text": self.text,
            "at": self.at,
            "until": self.until,
            "from": self.sender,
        }


def from_dict(data: object) -> Notice | None:
    """The notice that :meth:`Notice.as_dict` made; None where it is none."""
    if not isinstance(data, dict):
        return None
    fields = {("sender" if name == "from" else name): value for name, value in data.items()}
    try:
        notice: Notice = Notice.model_validate(fields)
    except (ValidationError, ValueError):
        return None
    return notice


def from_attribute(raw: object) -> tuple[Notice, ...]:
    """The notices in a job's ``AfhubNotices``, the oldest first; what is none is left out."""
    try:
        found = json.loads(raw) if isinstance(raw, str) and raw else []
    except (ValueError, RecursionError):
        return ()
    notices = (from_dict(data) for data in (found if isinstance(found, list) else []))
    return tuple(notice for notice in notices if notice is not None)[-KEPT:]


def as_attribute(notices: Iterable[Notice]) -> str:
    """The value of ``AfhubNotices``."""
    return json.dumps([notice.as_dict() for notice in list(notices)[-KEPT:]], ensure_ascii=False)


def version_of(notices: Iterable[Notice]) -> str:
    """A short text that changes with the notices."""
    return hashlib.sha256(as_attribute(notices).encode()).hexdigest()[:12]


def with_notice(notices: Iterable[Notice], notice: Notice, now: float) -> tuple[Notice, ...]:
    """What a notebook keeps when one more comes: expired ones go, and the oldest where there are too many."""
    kept = [old for old in notices if not old.expired(now) and old.id != notice.id]
    return tuple([*kept, notice][-KEPT:])


def seen_from_attribute(raw: object) -> dict[str, SeenState]:
    """Which notices were delivered or read, from a job's ``AfhubSeen``."""
    found: dict[str, SeenState] = {}
    for entry in raw.split(",") if isinstance(raw, str) else []:
        notice_id, _, letter = entry.strip().partition(":")
        if NOTICE_ID.fullmatch(notice_id) and letter in _LETTERS:
            found[notice_id] = _LETTERS[letter]
    return found


def seen_as_attribute(seen: Mapping[str, SeenState]) -> str:
    """The value of ``AfhubSeen``, the newest last."""
    return ",".join(f"{notice_id}:{state[0]}" for notice_id, state in list(seen.items())[-SEEN_KEPT:])


def merged_seen(old: Mapping[str, SeenState], new: Mapping[str, SeenState]) -> dict[str, SeenState]:
    """Both together. Who has read a notice does not un-read it."""
    merged = dict(old)
    for notice_id, state in new.items():
        if merged.get(notice_id) != "read":
            merged.pop(notice_id, None)
            merged[notice_id] = state
    return dict(list(merged.items())[-SEEN_KEPT:])


class Audience(Model):
    """Whom a notice is for: exactly one of all, a user (or one server of theirs), a class, a host."""

    everybody: bool = False
    user: str | None = None
    server: str | None = None
    notebook_class: str | None = None
    host: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Audience:
        if [
            self.everybody,
            self.user is not None,
            self.notebook_class is not None,
            self.host is not None,
        ].count(True) != 1:
            raise ValueError("name exactly one of all, a user, a class, a host")
        if self.server is not None and self.user is None:
            raise ValueError("a server belongs to a user: name the user as well")
        return self

    def takes_in(self, job: Job) -> bool:
        """Whether a notebook is meant. A host is its full name, or the part before the first dot."""
        if self.user is not None:
            return job.owner == self.user and self.server in (None, job.server)
        if self.notebook_class is not None:
            return job.notebook_class == self.notebook_class
        if self.host is not None:
            return self.host in (job.host, job.host.partition(".")[0])
        return True

    def __str__(self) -> str:
        if self.user is not None:
            server = "" if self.server is None else f" and server {self.server!r}"
            return f"notebook of user {self.user!r}{server}"
        if self.notebook_class is not None:
            return f"notebook of class {self.notebook_class!r}"
        return "notebook" if self.host is None else f"notebook on host {self.host!r}"


class Sent(Model):
    """One notice that was sent: to whom, and to which jobs when it was sent."""

    notice: Notice
    audience: Audience
    jobs: tuple[str, ...] = ()

    def stands_for(self, job: Job, now: float) -> bool:
        """Whether a notebook that starts later gets it: it has an end that is still to come, and is for more than a
        machine as it is now."""
        return (
            self.notice.until is not None
            and not self.notice.expired(now)
            and self.audience.host is None
            and self.audience.takes_in(job)
        )


class Ledger:
    """The list of sent notices, a file in the hub's state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "notices.json"
        self._lock = state_dir / "notices.lock"

    def stamp(self) -> tuple[int, int]:
        """What changes when the list does; zeros while there is none."""
        try:
            stat = self.path.stat()
        except OSError:
            return (0, 0)
        return (stat.st_ino, stat.st_mtime_ns)

    def read(self) -> tuple[Sent, ...]:
        """All that is remembered, the oldest first. A list that can't be read is an empty one."""
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ()
        found = []
        for row in rows if isinstance(rows, list) else []:
            with contextlib.suppress(ValidationError):
                found.append(Sent.model_validate(row))
        return tuple(found)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One sender at a time: two would overwrite each other's notices."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def add(self, sent: Sent, now: float) -> None:
        """Remember one more; what is too old goes. Raises OSError."""
        kept = [old for old in self.read() if seconds_of(old.notice.at) > now - SENT_KEPT_S]
        rows = [row.model_dump(mode="json") for row in [*kept, sent][-SENT_KEPT:]]
        new = self.path.with_name(f".{self.path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(rows, file)
        new.replace(self.path)
