"""The command ``afhub``: what admins ask on the hub's host."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from afhub.condor import Condor, CondorCalls, CondorRefused, CondorUnreachable
from afhub.jobs import ClassSlots, Job, JobStatus, parse_ad, slots_by_class
from afhub.settings import DEFAULT_PATH, Settings, SettingsError, load


def status(settings: Settings, condor: CondorCalls) -> dict[str, Any]:
    """Slots by class and all notebooks of this hub. Raises what the calls raise."""
    slots = slots_by_class(settings, condor.slots())
    found = [job for job in map(parse_ad, condor.jobs()) if job is not None]
    found.sort(key=lambda job: (job.owner, job.server, job.queued_at))
    return {
        "classes": {name: asdict(count) for name, count in slots.items()},
        "notebooks": [_notebook(job) for job in found],
    }


def _notebook(job: Job) -> dict[str, Any]:
    since = time.gmtime(job.since or job.queued_at)
    return {
        "job": job.job_id,
        "user": job.owner,
        "server": job.server,
        "class": job.notebook_class,
        "state": _state(job.status),
        "node": job.host,
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", since),
        "reason": job.hold_reason or job.remove_reason,
    }


def _state(job_status: JobStatus) -> str:
    return "queued" if job_status.waits else job_status.name.lower().replace("_", " ")


def as_text(report: dict[str, Any]) -> str:
    """The report as two tables."""
    rows = [["CLASS", "FREE", "TOTAL"]]
    for name, count in report["classes"].items():
        slots = ClassSlots(**count)
        rows.append([name, str(slots.free), str(slots.total)])
    lines = _table(rows)
    if not report["notebooks"]:
        return "\n".join([*lines, "", "No notebooks."])
    rows = [["USER", "SERVER", "CLASS", "STATE", "NODE", "SINCE", "JOB", "REASON"]]
    for notebook in report["notebooks"]:
        keys = ("user", "server", "class", "state", "node", "since", "job", "reason")
        rows.append([str(notebook[key]) or "-" for key in keys])
    return "\n".join([*lines, "", *_table(rows)])


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
        report = status(settings, Condor(settings))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    except (CondorUnreachable, CondorRefused) as error:
        print(f"HTCondor does not answer: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or options.settings}: {error.strerror}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if options.json else as_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
