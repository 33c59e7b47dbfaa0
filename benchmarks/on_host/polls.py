"""Asks for the state of one job after another as stock batchspawner does, and prints what that costs, as JSON.

Runs as root on the hub. Reads {"commands": [[program, argument, ...], ...], "variables": {...}, "seconds": N} from
standard input. Stops when all have run or the time is over; every command must succeed and print something.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time


def main() -> None:
    """Prints {"polls", "cpu_s" (user and system of all commands), "wall_s"}."""
    request = json.load(sys.stdin)
    variables = {**os.environ, **request["variables"]}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    done = 0
    for command in request["commands"]:
        shown = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
        if shown.returncode or not shown.stdout.strip():
            raise SystemExit(f"{command}: {shown.returncode} {shown.stdout}{shown.stderr}")
        done += 1
        if time.monotonic() - begun > request["seconds"]:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"polls": done, "cpu_s": cpu, "wall_s": time.monotonic() - begun}))


if __name__ == "__main__":
    main()
