"""``afhub notify``: tell the users of running notebooks something, and see who was told."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from typing import Any

from afhub.commands.status import notebooks
from afhub.commands.tables import span, table
from afhub.condor import CondorCalls
from afhub.jobs import Details
from afhub.notices import (
    Audience,
    Ledger,
    Level,
    Notice,
    NoticeError,
    Sent,
    as_attribute,
    checked_text,
    from_attribute,
    seconds_of,
    seen_from_attribute,
    utc,
    with_notice,
)
from afhub.settings import Settings

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
#: How far ahead a notice may end, in seconds.
FARTHEST_S = 366 * 86400
# Filled in for each notebook.
_LEFT, _END = "{left}", "{end}"


class NobodyMatches(NoticeError):
    """No notebook is meant; the text says whom was looked for."""


@dataclass(frozen=True)
class Told:
    """What became of a notice: how many notebooks have it, how many of them wait for a slot, which it did not reach."""

    notice: Notice
    running: int
    waiting: int
    failed: tuple[str, ...]


def duration(text: str) -> int:
    """Seconds in ``90s``, ``30min``, ``1.5h``, ``2d`` or ``1h 30min``; raises :class:`NoticeError`."""
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise NoticeError(f"{text!r} is no duration: write it as 90s, 30min, 2h or 1d")
    return round(sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def in_seconds(text: str) -> int:
    """Seconds since 1970 at the end of a duration that begins now; raises :class:`NoticeError`."""
    return int(time.time()) + duration(text)


def moment(text: str) -> int:
    """Seconds since 1970 of ``2026-01-31T18:00Z``, of ``2026-01-31 18:00`` in this host's time zone, or of ``18:00``,
    the next time that the clock here says so. Raises :class:`NoticeError`.
    """
    plain = text.strip().replace(" ", "T")
    zoned = plain.endswith("Z")
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"):
        try:
            parsed = time.strptime(plain.removesuffix("Z"), form)
        except ValueError:
            continue
        return calendar.timegm(parsed) if zoned else int(time.mktime(parsed))
    try:
        clock = time.strptime(plain, "%H:%M")
    except ValueError as error:
        raise NoticeError(
            f"{text!r} is no time: write it as 18:00, '2026-01-31 18:00' or 2026-01-31T17:00Z"
        ) from error
    today = time.localtime()
    found = int(time.mktime((*today[:3], clock.tm_hour, clock.tm_min, 0, *today[6:8], -1)))
    return found if found > time.time() else found + 86400


def notify(
    settings: Settings,
    condor: CondorCalls,
    audience: Audience,
    text: str,
    *,
    level: Level,
    until: int | None,
    sender: str,
) -> Told:
    """Send a notice. Raises :class:`NoticeError`, OSError where the list of notices can't be written, and what the
    calls raise."""
    now = time.time()
    if until is not None and not now < until <= now + FARTHEST_S:
        wrong = "over" if until <= now else "more than a year ahead"
        raise NoticeError(f"{utc(until)} is {wrong}: write a time that is still to come")
    if audience.notebook_class is not None and settings.class_named(audience.notebook_class) is None:
        names = ", ".join(row.name for row in settings.classes)
        raise NoticeError(f"there is no class {audience.notebook_class!r}: write one of {names}")
    notice = Notice.make(text, level=level, until=until, sender=sender, now=now)
    ledger = Ledger(settings.state_dir)
    with ledger.locked():
        everybody = [one for one in notebooks(condor) if one.job.status.runs or one.job.status.waits]
        meant = [one for one in everybody if audience.takes_in(one.job)]
        stands = until is not None and audience.host is None
        if not meant and not stands:
            raise NobodyMatches(_nobody(audience, everybody))
        # All texts first: either everybody can be told, or nobody is.
        own = {one.job.job_id: _filled_in(notice, one, now) for one in meant}
        told: list[Details] = []
        failed: list[Details] = []
        for one in meant:
            kept = with_notice(from_attribute(one.notices), own[one.job.job_id], now)
            reached = condor.edit(one.job.job_id, {"AfhubNotices": as_attribute(kept)})
            (told if reached else failed).append(one)
        ledger.add(Sent(notice=notice, audience=audience, jobs=tuple(one.job.job_id for one in told)), now)
    waiting = sum(one.job.status.waits for one in told)
    return Told(notice, len(told) - waiting, waiting, tuple(one.job.job_id for one in failed))


def _filled_in(notice: Notice, details: Details, now: float) -> Notice:
    """The notice with the notebook's own end in the place of ``{left}`` and ``{end}``: that of its class, or that of
    the notice where it comes first."""
    if _LEFT not in notice.text and _END not in notice.text:
        return notice
    ends = [
        end
        for end in (
            details.ends_at(now),
            None if notice.until is None else seconds_of(notice.until),
        )
        if end is not None
    ]
    if not ends:
        raise NoticeError(f"nobody knows when job {details.job.job_id} ends: leave {_LEFT} and {_END} out")
    text = notice.text.replace(_LEFT, span(min(ends) - now)).replace(
        _END, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(min(ends)))
    )
    filled: Notice = notice.model_copy(update={"text": checked_text(text)})
    return filled


def _nobody(audience: Audience, everybody: list[Details]) -> str:
    """Whom was looked for, and who is there."""
    if audience.user is not None:
        there = sorted({f"{one.job.owner}{one.job.server and '/' + one.job.server}" for one in everybody})
    elif audience.host is not None:
        there = sorted({one.job.host for one in everybody if one.job.host})
    else:
        there = sorted({one.job.notebook_class for one in everybody})
    kind = "users" if audience.user is not None else "hosts" if audience.host is not None else "classes"
    found = f"{kind} with notebooks: {', '.join(there)}" if there else "there are no notebooks at all"
    return f"nobody was told: no {audience} runs or waits; {found}"


def told_as_text(told: Told, audience: Audience) -> str:
    """What was done, in words."""
    count = told.running + told.waiting
    lines = [f"Notice {told.notice.id} went to {count} notebook{'' if count == 1 else 's'}."]
    if told.waiting:
        lines.append(f"{told.waiting} of them wait for a slot and show it when they run.")
    if told.notice.until is not None and audience.host is None:
        lines.append(f"Each {audience} that starts before {told.notice.until} gets it as well.")
    if told.failed:
        lines.append(f"These ended meanwhile: {', '.join(told.failed)}.")
    lines.append(f"Who has seen it: afhub notify --status {told.notice.id}")
    return "\n".join(lines)


def sent(settings: Settings, condor: CondorCalls, notice_id: str) -> list[dict[str, Any]]:
    """What was sent, the oldest first, and who has seen it. Raises :class:`NoticeError` for an unknown id.

    ``notebooks`` is how many of those that are there now have it, ``ended`` how many had it and are no more.
    """
    there = notebooks(condor)
    having: dict[str, list[Details]] = {}
    for one in there:
        for notice in from_attribute(one.notices):
            having.setdefault(notice.id, []).append(one)
    ledger = Ledger(settings.state_dir).read()
    alive = {one.job.job_id for one in there}
    rows = [
        _row(entry, having.get(entry.notice.id, []), alive)
        for entry in ledger
        if notice_id in ("", entry.notice.id)
    ]
    if notice_id and not rows:
        known = ", ".join(entry.notice.id for entry in ledger[-5:]) or "none"
        raise NoticeError(f"there is no notice {notice_id!r}; the last ones are: {known}")
    return rows


def _row(entry: Sent, having: list[Details], alive: set[str]) -> dict[str, Any]:
    notice = entry.notice
    states = [(one, seen_from_attribute(one.seen).get(notice.id, "sent")) for one in having]
    return {
        **notice.as_dict(),
        "for": "everybody" if entry.audience.everybody else str(entry.audience),
        "notebooks": len(having),
        "ended": len(set(entry.jobs) - alive),
        # Who has read it got it.
        "delivered": sum(state != "sent" for _, state in states),
        "read": sum(state == "read" for _, state in states),
        "seen": [
            {"user": one.job.owner, "server": one.job.server, "job": one.job.job_id, "state": state}
            for one, state in states
        ],
    }


def sent_as_text(rows: list[dict[str, Any]], notice_id: str) -> str:
    """The notices as a table; for a single one also who has seen it."""
    if not rows:
        return "No notice was sent."
    head = ["NOTICE", "LEVEL", "SENT", "NOTEBOOKS", "DELIVERED", "READ", "ENDED", "TEXT"]
    cells = [
        [
            row["id"], row["level"], row["at"], str(row["notebooks"]), str(row["delivered"]), str(row["read"]),
            str(row["ended"]), row["text"] if notice_id else _short(row["text"]),
        ]
        for row in rows
    ]  # fmt: skip
    lines = table([head, *cells])
    if notice_id and rows[0]["seen"]:
        seen = [[one["user"], one["server"] or "-", one["job"], one["state"]] for one in rows[0]["seen"]]
        lines += ["", *table([["USER", "SERVER", "JOB", "STATE"], *seen])]
    return "\n".join(lines)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
