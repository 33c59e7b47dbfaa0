"""``afhub status``: slots by class and all notebooks of the hub."""

from __future__ import annotations

import time
from typing import Any

from afhub.commands.tables import span, table, utc
from afhub.condor import CondorCalls
from afhub.jobs import ClassSlots, Details, JobStatus, parse_details, slots_by_class
from afhub.settings import Settings


def status(settings: Settings, condor: CondorCalls) -> dict[str, Any]:
    """Slots by class and all notebooks of this hub. Raises what the calls raise."""
    slots = slots_by_class(settings, condor.slots())
    return {
        "classes": {
            name: {"free": count.free, "total": count.total, "obstacle": obstacle(count)}
            for name, count in slots.items()
        },
        "notebooks": [as_dict(notebook, time.time()) for notebook in notebooks(condor)],
    }


def notebooks(condor: CondorCalls) -> list[Details]:
    """All notebooks of this hub by owner, server and age. Raises what the call raises."""
    found = [details for details in map(parse_details, condor.details()) if details is not None]
    return sorted(found, key=lambda details: (details.job.owner, details.job.server, details.job.queued_at))


def obstacle(slots: ClassSlots) -> str:
    """What keeps all slots of a class from taking a notebook, in an admin's words."""
    if slots.obstacle == "too_small":
        return f"{slots.requirement}: {slots.wanted} wanted, the largest slot has {slots.largest}"
    return {"no_machine": "no machine offers it", "draining": "all machines drain"}.get(slots.obstacle, "")


def as_dict(details: Details, now: float) -> dict[str, Any]:
    """One notebook. Memory in MB, ``idle_s`` in seconds and 0 while a kernel is busy; null is not known."""
    job = details.job
    idle_s = None
    if details.idle_since is not None and job.status.runs:
        idle_s = max(0, int(now) - details.idle_since) if details.idle_since else 0
    return {
        "job": job.job_id,
        "user": job.owner,
        "server": job.server,
        "class": job.notebook_class,
        "state": _state(job.status),
        "node": job.host,
        "since": utc(job.since or job.queued_at),
        "idle_s": idle_s,
        "kernels": details.kernels,
        "busy_kernels": details.busy_kernels,
        "memory_peak_mb": details.memory_peak_mb,
        "memory_limit_mb": details.memory_limit_mb,
        "reason": job.hold_reason or job.remove_reason,
    }


def _state(job_status: JobStatus) -> str:
    return "queued" if job_status.waits else job_status.name.lower().replace("_", " ")


def as_text(report: dict[str, Any]) -> str:
    """The report as two tables."""
    rows = [["CLASS", "FREE", "TOTAL", "NOTE"]]
    for name, count in report["classes"].items():
        rows.append([name, str(count["free"]), str(count["total"]), count["obstacle"]])
    lines = table(rows)
    if not report["notebooks"]:
        return "\n".join([*lines, "", "No notebooks."])
    return "\n".join([*lines, "", *notebook_table(report["notebooks"])])


def notebook_table(rows: list[dict[str, Any]]) -> list[str]:
    """Notebooks as lines, with a head."""
    head = ["USER", "SERVER", "CLASS", "STATE", "NODE", "SINCE", "IDLE", "KERNELS", "MEMORY", "JOB", "REASON"]
    return table([head, *(_row(row) for row in rows)])


def _row(row: dict[str, Any]) -> list[str]:
    cells = {**row, "idle": _idle(row), "kernels": _kernels(row), "memory": _memory(row)}
    keys = ("user", "server", "class", "state", "node", "since", "idle", "kernels", "memory", "job", "reason")
    return [str(cells[key]) or "-" for key in keys]


def _idle(row: dict[str, Any]) -> str:
    if row["idle_s"] is None:
        return "-"
    return span(row["idle_s"]) if row["idle_s"] else "in use"


def _kernels(row: dict[str, Any]) -> str:
    if row["kernels"] is None:
        return "-"
    busy = f" ({row['busy_kernels']} busy)" if row["busy_kernels"] else ""
    return f"{row['kernels']}{busy}"


def _memory(row: dict[str, Any]) -> str:
    if row["memory_peak_mb"] is None or row["memory_limit_mb"] is None:
        return "-"
    return f"{row['memory_peak_mb']} of {row['memory_limit_mb']} MB"
