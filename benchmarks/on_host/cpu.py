"""Prints the CPU seconds that parts of a host have used so far, as JSON with the time of the reading.

Runs as root. Arguments: UNIT.service for a unit's main process and all that descends from it, PROGRAM for the processes
of that name, PROGRAM:NAME for those that were started with -local-name NAME. Children that have ended count for the
process that waited for them, so that a fork for each question shows.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def processes() -> dict[int, tuple[str, list[str]]]:
    """Name and further fields of /proc/PID/stat of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                found[int(entry.name)] = (name, rest.split())
    return found


def seconds(values: list[str]) -> float:
    """Ticks as seconds."""
    return sum(int(value) for value in values) / TICKS


def of_unit(unit: str) -> float:
    """A unit's main process with all that descends from it, ended or not."""
    shown = subprocess.run(
        ["systemctl", "show", "--property=MainPID", "--value", unit],
        capture_output=True,
        text=True,
        check=True,
    )
    todo = [int(shown.stdout)]
    if not todo[0]:
        raise SystemExit(f"{unit} does not run")
    found = processes()
    total = 0.0
    while todo:
        pid = todo.pop()
        if pid in found:
            total += seconds(found[pid][1][11:15])
        todo += [child for child, (_, fields) in found.items() if int(fields[1]) == pid]
    return total


def local_name(pid: int) -> str:
    """The name that tells a second daemon of a kind from the first, empty for the first."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return words[words.index("-local-name") + 1]
    return ""


def of_program(wanted: str) -> float:
    """All processes of a program, and what they waited for; none run, none counts."""
    name, _, local = wanted.partition(":")
    # The kernel keeps fifteen characters of a name.
    name = name[:15]
    return sum(
        seconds(fields[11:15])
        for pid, (program, fields) in processes().items()
        if program == name and local_name(pid) == local
    )


def main() -> None:
    """Prints {"at": ..., NAME: CPU seconds, ...}."""
    parts = {name: of_unit(name) if name.endswith(".service") else of_program(name) for name in sys.argv[1:]}
    print(json.dumps({"at": time.monotonic(), **parts}))


if __name__ == "__main__":
    main()
