"""The command ``afhub``: what admins ask, and tell, on the hub's host."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from afhub.commands import notify, status, why
from afhub.condor import Condor, CondorRefused, CondorUnreachable
from afhub.notices import LEVELS, Audience, NoticeError
from afhub.settings import DEFAULT_PATH, Settings, SettingsError, load

#: Exit codes: what was asked for is wrong or failed, and nobody is there to be told.
FAILED, NOBODY = 1, 3


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


def _add(commands: Any, name: str, text: str, **more: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, **more)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--settings", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s"
    )
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="afhub", description="Notebooks that run as HTCondor jobs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add(commands, "status", "slots by class and the notebooks of this hub")
    tell = _add(commands, "why", "what happened to a user's notebooks, in HTCondor's words")
    tell.add_argument("user", metavar="USER")
    tell.add_argument("--server", metavar="NAME", help="only this named server; '' is the one without a name")
    _add_notify(commands)
    check = commands.add_parser("check-settings", help="tell what is wrong with a settings file")
    check.add_argument("settings", type=Path, nargs="?", default=DEFAULT_PATH, metavar="FILE")
    return parser


def _add_notify(commands: Any) -> None:
    parser = _add(
        commands,
        "notify",
        "tell the users of running notebooks something, or see who was told",
        epilog="{left} and {end} in the text become the time that each notebook has left, and when that is over.",
    )
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--all", action="store_true", help="all notebooks")
    whom.add_argument("--user", metavar="USER", help="the notebooks of a user")
    whom.add_argument("--class", dest="notebook_class", metavar="CLASS", help="the notebooks of a class")
    whom.add_argument("--host", metavar="HOST", help="the notebooks on a host")
    whom.add_argument(
        "--status", nargs="?", const="", metavar="ID", help="tell who has seen the notices, or one of them"
    )
    parser.add_argument(
        "--server", metavar="NAME", help="with --user: only this server; '' is the one without a name"
    )
    parser.add_argument("--level", choices=LEVELS, default="info", help="default: %(default)s")
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--for",
        dest="duration",
        metavar="DURATION",
        help="show it so long (30min, 2h, 1d), also in notebooks that start meanwhile",
    )
    end.add_argument("--until", metavar="TIME", help="the same with a time: 18:00, 2026-01-31T17:00Z")
    parser.add_argument("--from", dest="sender", metavar="NAME", help="who says so; default: you")
    parser.add_argument("text", nargs="?", metavar="TEXT")


def _sender(name: str | None) -> str:
    """Who sends: as given, or who became root for it."""
    name = (name if name is not None else os.environ.get("SUDO_USER") or "admin").strip()
    if not name or len(name) > 64 or not name.isprintable():
        raise NoticeError(f"--from is {name!r}: write a name of 1 to 64 printable characters")
    return name


def _notify(options: argparse.Namespace, settings: Settings, condor: Condor) -> tuple[Any, str]:
    if options.status is not None:
        if options.text is not None:
            raise NoticeError("--status takes no text: it shows what was sent")
        rows = notify.sent(settings, condor, options.status)
        return rows, notify.sent_as_text(rows, options.status)
    if options.text is None:
        raise NoticeError("the text is missing: write what the users should know, in quotes")
    if options.server is not None and options.user is None:
        raise NoticeError("--server belongs to a user: write --user as well")
    audience = Audience(
        everybody=options.all,
        user=options.user,
        server=options.server,
        notebook_class=options.notebook_class,
        host=options.host,
    )
    until = None
    if options.duration is not None:
        until = notify.in_seconds(options.duration)
    elif options.until is not None:
        until = notify.moment(options.until)
    told = notify.notify(
        settings,
        condor,
        audience,
        options.text,
        level=options.level,
        until=until,
        sender=_sender(options.sender),
    )
    report = {
        "notice": told.notice.as_dict(),
        "running": told.running,
        "waiting": told.waiting,
        "failed": list(told.failed),
    }
    return report, notify.told_as_text(told, audience)


def _run(options: argparse.Namespace, settings: Settings, condor: Condor) -> tuple[Any, str]:
    """What a command has to say, for programs and for people."""
    if options.command == "notify":
        return _notify(options, settings, condor)
    if options.command == "why":
        told = why.why(condor, options.user, options.server)
        return told, why.as_text(told, options.user)
    report = status.status(settings, condor)
    return report, status.as_text(report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all is well, 3 where nobody is there to be told, 1 for everything else."""
    options = _parser().parse_args(arguments)
    try:
        settings = load(options.settings)
        if options.command == "check-settings":
            names = ", ".join(row.name for row in settings.classes)
            print(f"{options.settings}: all right; classes: {names}; default: {settings.default_class.name}")
            return 0
        _become_owner_of(settings.condor.tokens_dir)
        report, text = _run(options, settings, Condor(settings))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return FAILED
    except NoticeError as error:
        print(f"afhub notify: {error}", file=sys.stderr)
        return NOBODY if isinstance(error, notify.NobodyMatches) else FAILED
    except CondorUnreachable as error:
        print(f"HTCondor does not answer: {error}", file=sys.stderr)
        return FAILED
    except CondorRefused as error:
        print(f"HTCondor refuses: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"{error.filename or options.settings}: {error.strerror}", file=sys.stderr)
        return FAILED
    print(json.dumps(report, indent=2) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
