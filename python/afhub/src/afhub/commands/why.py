"""``afhub why``: what happened to a user's notebooks, in HTCondor's words."""

from __future__ import annotations

import time
from typing import Any

from afhub.commands import status
from afhub.commands.tables import table, utc
from afhub.condor import CondorCalls
from afhub.events import Event


def why(condor: CondorCalls, user: str, server: str | None) -> dict[str, Any]:
    """What the event log has about a user's notebooks, and those that are in the queue now."""

    def wanted(owner: str, name: str) -> bool:
        return owner == user and server in (None, name)

    events = [Event.from_dict(data) for data in condor.events()]
    mine = [one for one in status.notebooks(condor) if wanted(one.job.owner, one.job.server)]
    return {
        "events": [_event(event) for event in events if wanted(event.owner, event.server)],
        "notebooks": [status.as_dict(one, time.time()) for one in mine],
    }


def _event(event: Event) -> dict[str, Any]:
    codes = [number for number in (event.code, event.subcode) if number is not None]
    facts = {
        "reason": event.reason,
        "by": event.by,
        "code": ".".join(str(number) for number in codes),
        "exit code": "" if event.exit_code is None else str(event.exit_code),
        "signal": "" if event.signal is None else str(event.signal),
    }
    return {
        "at": utc(event.at),
        "job": event.job_id,
        "server": event.server,
        "event": event.kind.replace("_", " "),
        "node": event.host,
        **{name: text for name, text in facts.items() if text},
    }


def as_text(report: dict[str, Any], user: str) -> str:
    """The report as two tables, the newest event last."""
    if not report["events"] and not report["notebooks"]:
        return f"The event log has nothing about {user}, and no notebook of {user} is in the queue."
    rows = [["TIME", "JOB", "SERVER", "EVENT", "NODE", "WHAT HTCONDOR SAYS"]]
    for event in report["events"]:
        said = ", ".join(
            f"{name} {event[name]}" if name != "reason" else event[name]
            for name in ("reason", "by", "code", "exit code", "signal")
            if name in event
        )
        rows.append(
            [event["at"], event["job"], *(event[key] or "-" for key in ("server", "event", "node")), said]
        )
    lines = table(rows)
    waiting = [notebook["job"] for notebook in report["notebooks"] if notebook["state"] == "queued"]
    if report["notebooks"]:
        lines += ["", *status.notebook_table(report["notebooks"])]
    if waiting:
        lines += ["", f"Why job {waiting[0]} waits: condor_q -better-analyze {waiting[0]}"]
    return "\n".join(lines)
