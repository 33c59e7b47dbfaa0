"""What the schedd's event log says about notebooks: who was started, held, lost or ended, when and why.

The schedd writes each change of a job into one file as it happens. The hub follows that file, which costs next
to nothing while nothing happens, however many notebooks there are; and the reason for an end is in it, also when
the job itself has left the queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from afhub.settings import HOST_NAME

#: Kinds of events that matter, by the number HTCondor gives them (``ULogEventNumber``).
KINDS: Final = {
    0: "submitted",
    1: "running",
    4: "evicted",
    5: "terminated",
    7: "shadow_exception",
    9: "removed",
    12: "held",
    13: "released",
    22: "disconnected",
    23: "reconnected",
    24: "reconnect_failed",
}
#: Kinds of events after which a slot becomes free.
FREEING: Final = frozenset({"evicted", "terminated", "removed", "held", "reconnect_failed"})
#: Jobs whose story is kept in memory.
KEPT_JOBS: Final = 5000

_ALIAS = re.compile(r"[?&]alias=([^&>]+)")
_BY_USER = re.compile(r"\s*\(by user ([^()\s]+)\)\s*$")


@dataclass(frozen=True)
class Event:
    """One change of one job. ``at`` is in seconds since 1970; ``code`` and ``subcode`` say why it was held or
    had to leave its slot."""

    kind: str
    job_id: str
    owner: str
    server: str
    notebook_class: str
    at: int
    host: str = ""
    reason: str = ""
    by: str = ""
    code: int | None = None
    subcode: int | None = None
    exit_code: int | None = None
    signal: int | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """The event that :meth:`as_dict` was made from."""
        return cls(**data)


def _number(ad: Mapping[str, Any], name: str) -> int | None:
    value = ad.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(ad: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = ad.get(name)
        if isinstance(value, str) and value.strip():
            return " ".join(value.split())
    return ""


def _host(ad: Mapping[str, Any]) -> str:
    """The machine of a slot (``slot1@worker1.example.org``) or, before HTCondor 23, of an address."""
    slot = _text(ad, "SlotName").rpartition("@")[2]
    alias = _ALIAS.search(_text(ad, "ExecuteHost", "StartdAddr"))
    name = slot or (alias[1] if alias else "") or _text(ad, "StartdName").rpartition("@")[2]
    return name if HOST_NAME.fullmatch(name) else ""


def parse_event(ad: Mapping[str, Any], at: int) -> Event | None:
    """A notebook's event from the ad that HTCondor writes behind each event (``JobAdInformationEvent``).

    None for what is no notebook's, and for kinds that change nothing.
    """
    number = _number(ad, "TriggerEventTypeNumber")
    kind = "" if number is None else KINDS.get(number, "")
    cluster, proc = _number(ad, "Cluster"), _number(ad, "Proc")
    if not kind or cluster is None or proc is None or not _text(ad, "AfhubHub"):
        return None
    reason = _text(ad, "HoldReason", "Reason", "DisconnectReason", "Message", "VacateReason")
    by = _BY_USER.search(reason)
    # Signals of a job that ended by itself are under another name than those of one that was ended.
    return Event(
        kind=kind,
        job_id=f"{cluster}.{proc}",
        owner=_text(ad, "Owner"),
        server=_text(ad, "AfhubServer"),
        notebook_class=_text(ad, "AfhubClass"),
        at=at,
        host=_host(ad),
        reason=_BY_USER.sub("", reason),
        by=by[1] if by else "",
        code=_number(ad, "HoldReasonCode" if kind == "held" else "ReasonCode"),
        subcode=_number(ad, "HoldReasonSubCode" if kind == "held" else "ReasonSubCode"),
        exit_code=_number(ad, "ReturnValue") if kind == "terminated" else None,
        signal=_number(ad, "TerminatedBySignal") if kind == "terminated" else None,
    )


@dataclass(frozen=True)
class Trace:
    """What is known of one job from its events. ``over`` is the event that ended it for its user, if one did."""

    job_id: str
    owner: str
    server: str
    host: str = ""
    started: int = 0
    over: Event | None = None
    removed: Event | None = None
    left: Event | None = None
    disconnected: Event | None = None

    def after(self, event: Event) -> Trace:
        """The trace with one more event."""
        if event.kind == "running":
            return replace(self, host=event.host or self.host, started=event.at, left=None, disconnected=None)
        if event.kind == "disconnected":
            return replace(self, disconnected=event)
        if event.kind == "reconnected":
            return replace(self, disconnected=None)
        if event.kind in ("evicted", "shadow_exception", "reconnect_failed"):
            # Of several in a row the first is the cause; a failed reconnection says more than what follows it.
            cause = event if event.kind == "reconnect_failed" else (self.left or event)
            return replace(self, left=cause, disconnected=None)
        if event.kind in ("held", "terminated"):
            return replace(self, over=self.over or event)
        if event.kind == "released":
            return replace(self, over=None)
        if event.kind == "removed":
            return replace(self, removed=event)
        return self

    @property
    def ended(self) -> bool:
        """Nothing of this job will run again."""
        return self.removed is not None or (self.over is not None and self.over.kind == "terminated")

    @property
    def held(self) -> Event | None:
        """The event that put the job on hold, if it is."""
        return self.over if self.over is not None and self.over.kind == "held" and not self.removed else None


@dataclass
class Traces:
    """The traces of the last :data:`KEPT_JOBS` jobs, by job id."""

    known: dict[str, Trace] = field(default_factory=dict)

    def add(self, events: Iterable[Event]) -> set[str]:
        """Take in events; returns the ids of the jobs they are about."""
        touched = set()
        for event in events:
            trace = None if event.kind == "submitted" else self.known.pop(event.job_id, None)
            trace = trace or Trace(event.job_id, event.owner, event.server)
            self.known.pop(event.job_id, None)
            self.known[event.job_id] = trace.after(event)
            touched.add(event.job_id)
        while len(self.known) > KEPT_JOBS:
            del self.known[next(iter(self.known))]
        return touched

    def of(self, job_id: str, owner: str, server: str) -> Trace | None:
        """The trace of a server's job; None where there is none, or the id is another's since the queue was emptied."""
        trace = self.known.get(job_id)
        return trace if trace is not None and (trace.owner, trace.server) == (owner, server) else None
