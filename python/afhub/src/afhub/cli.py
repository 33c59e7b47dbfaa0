"""The command ``afhub``: what admins ask on the hub's host."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from afhub.condor import Condor, CondorCalls, CondorRefused, CondorUnreachable
from afhub.events import Event
from afhub.jobs import ClassSlots, Job, JobStatus, parse_ad, slots_by_class
from afhub.settings import DEFAULT_PATH, Settings, SettingsError, load


def status(settings: Settings, condor: CondorCalls) -> dict[str, Any]:
    """Slots by class and all notebooks of this hub. Raises what the calls raise."""
    slots = slots_by_class(settings, condor.slots())
    found = [job for job in map(parse_ad, condor.jobs()) if job is not None]
    found.sort(key=lambda job: (job.owner, job.server, job.queued_at))
    return {
        "classes": {
            name: {"free": count.free, "total": count.total, "obstacle": _obstacle(count)}
            for name, count in slots.items()
        },
        "notebooks": [_notebook(job) for job in found],
    }


def _obstacle(slots: ClassSlots) -> str:
    """What keeps all slots of a class from taking a notebook, in an admin's words."""
    if slots.obstacle == "too_small":
        return f"{slots.requirement}: {slots.wanted} wanted, the largest slot has {slots.largest}"
    return {"no_machine": "no machine offers it", "draining": "all machines drain"}.get(slots.obstacle, "")


def _notebook(job: Job) -> dict[str, Any]:
    return {
        "job": job.job_id,
        "user": job.owner,
        "server": job.server,
        "class": job.notebook_class,
        "state": _state(job.status),
        "node": job.host,
        "since": _utc(job.since or job.queued_at),
        "reason": job.hold_reason or job.remove_reason,
    }


def why(condor: CondorCalls, user: str, server: str | None) -> dict[str, Any]:
    """What the event log has about a user's notebooks, and those that are in the queue now."""

    def wanted(owner: str, name: str) -> bool:
        return owner == user and server in (None, name)

    events = [Event.from_dict(data) for data in condor.events()]
    jobs = [job for job in map(parse_ad, condor.jobs()) if job is not None and wanted(job.owner, job.server)]
    return {
        "events": [_event(event) for event in events if wanted(event.owner, event.server)],
        "notebooks": [_notebook(job) for job in jobs],
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
        "at": _utc(event.at),
        "job": event.job_id,
        "server": event.server,
        "event": event.kind.replace("_", " "),
        "node": event.host,
        **{name: text for name, text in facts.items() if text},
    }


def why_as_text(report: dict[str, Any], user: str) -> str:
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
    lines = _table(rows)
    waiting = [notebook["job"] for notebook in report["notebooks"] if notebook["state"] == "queued"]
    if report["notebooks"]:
        lines += ["", *_notebook_table(report["notebooks"])]
    if waiting:
        lines += ["", f"Why job {waiting[0]} waits: condor_q -better-analyze {waiting[0]}"]
    return "\n".join(lines)


def _utc(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def _state(job_status: JobStatus) -> str:
    return "queued" if job_status.waits else job_status.name.lower().replace("_", " ")


def as_text(report: dict[str, Any]) -> str:
    """The report as two tables."""
    rows = [["CLASS", "FREE", "TOTAL", "NOTE"]]
    for name, count in report["classes"].items():
        rows.append([name, str(count["free"]), str(count["total"]), count["obstacle"]])
    lines = _table(rows)
    if not report["notebooks"]:
        return "\n".join([*lines, "", "No notebooks."])
    return "\n".join([*lines, "", *_notebook_table(report["notebooks"])])


def _notebook_table(notebooks: list[dict[str, Any]]) -> list[str]:
    keys = ("user", "server", "class", "state", "node", "since", "job", "reason")
    rows = [[key.upper() for key in keys]]
    rows += [[str(notebook[key]) or "-" for key in keys] for notebook in notebooks]
    return _table(rows)


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _become_owner_of(folder: Path) -> None:
    """As root, go on as the account that owns the tokens: HTCondor takes a token from its owner only."""
    if os.geteuid() != 0:
        return
    uid = folder.stat().st_uid
    if uid == 0:
        return
    account = pwd.getpwuid(uid)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(uid)
    os.environ["HOME"] = account.pw_dir


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="afhub", description="Notebooks that run as HTCondor jobs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    show = commands.add_parser("status", help="slots by class and the notebooks of this hub")
    show.add_argument("--json", action="store_true", help="for programs")
    show.add_argument(
        "--settings", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s"
    )
    tell = commands.add_parser("why", help="what happened to a user's notebooks, in HTCondor's words")
    tell.add_argument("user", metavar="USER")
    tell.add_argument("--server", metavar="NAME", help="only this named server; '' is the one without a name")
    tell.add_argument("--json", action="store_true", help="for programs")
    tell.add_argument(
        "--settings", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s"
    )
    check = commands.add_parser("check-settings", help="tell what is wrong with a settings file")
    check.add_argument("settings", type=Path, nargs="?", default=DEFAULT_PATH, metavar="FILE")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all is well, 1 for bad settings or a daemon that does not answer."""
    options = _parser().parse_args(arguments)
    try:
        settings = load(options.settings)
        if options.command == "check-settings":
            names = ", ".join(row.name for row in settings.classes)
            print(f"{options.settings}: all right; classes: {names}; default: {settings.default_class.name}")
            return 0
        _become_owner_of(settings.condor.tokens_dir)
        condor = Condor(settings)
        about = options.command == "why"
        report = why(condor, options.user, options.server) if about else status(settings, condor)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    except (CondorUnreachable, CondorRefused) as error:
        print(f"HTCondor does not answer: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or options.settings}: {error.strerror}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print(why_as_text(report, options.user) if about else as_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
