"""Stand-ins for HTCondor's tools: `condor_q` prints what a file holds, and each tool notes how it was called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPT = """#!/bin/sh
folder=$(dirname "$0")
call=$(printf '%s\\n' "$0" "$@")
printf '%s\\n\\n' "$call" >> "$folder/calls"
. "$folder/behaviour"
"""

JOB: dict[str, Any] = {
    "ClusterId": 12,
    "ProcId": 0,
    "Owner": "ann",
    "JobStatus": 2,
    "QDate": 1_767_268_800,
    "EnteredCurrentStatus": 1_767_268_900,
    "ServerTime": 1_767_269_200,
    "Cmd": "/usr/bin/python3",
    "Args": "fit.py 7",
    "Iwd": "/home/ann",
    "Out": "/dev/null",
    "Err": "/dev/null",
    "RemoteHost": "slot1_1@worker1.af.test",
}


class FakeCondor:
    """Its programs are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name in ("condor_q", "condor_rm", "condor_release"):
            (folder / name).write_text(SCRIPT, encoding="utf-8")
            (folder / name).chmod(0o755)
        (folder / "condor_config").write_text("SCHEDD_HOST = batch.test\n", encoding="utf-8")
        self.has([])

    def has(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """These jobs are in the queue."""
        (self.folder / "jobs").write_text(json.dumps(jobs), encoding="utf-8")
        self.does('case $0 in *condor_q) cat "$folder/jobs" ;; esac')

    def has_after(self, tool: str, jobs: Sequence[Mapping[str, Any]]) -> None:
        """These jobs are in the queue once this tool was called."""
        (self.folder / "later").write_text(json.dumps(jobs), encoding="utf-8")
        queue = '*condor_q) cat "$folder/jobs"'
        self.does(f'case $0 in {queue} ;; *{tool}) mv "$folder/later" "$folder/jobs" ;; esac')

    def does(self, shell: str) -> None:
        """This is what the tools do."""
        new = self.folder / "behaviour.new"
        new.write_text(shell + "\n", encoding="utf-8")
        # A tool that is just reading it sees the whole of the old one.
        new.replace(self.folder / "behaviour")

    def calls(self, tool: str) -> list[list[str]]:
        """How a tool was called, without its name."""
        try:
            text = (self.folder / "calls").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        calls = [block.split("\n") for block in text.split("\n\n") if block]
        return [words[1:] for words in calls if words[0].endswith(tool)]

    def environ(self, path: str) -> dict[str, str]:
        """The variables of a notebook that has this batch pool."""
        return {"CONDOR_CONFIG": str(self.folder / "condor_config"), "PATH": f"{self.folder}:{path}"}
