"""The command line shows slots and notebooks, and says what is wrong with a settings file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from afhub import cli
from afhub.commands import status
from afhub.condor import CondorUnreachable
from afhub.jobs import ClassSlots, parse_details
from afhub.settings import Settings


class FakeCalls:
    """Two notebooks and three slots, or silence."""

    silent = False

    def __init__(self, settings: Settings) -> None:
        pass

    def details(self) -> list[dict[str, Any]]:
        common = {"ProcId": 0, "AfhubClass": "regular", "QDate": 0, "EnteredCurrentStatus": 60}
        return [
            {**common, "ClusterId": 7, "Owner": "bob", "JobStatus": 1, "AfhubServer": "two"},
            {
                **common,
                "ClusterId": 5,
                "Owner": "alice",
                "JobStatus": 2,
                "RemoteHost": "slot1@w1.example.org",
                "AfhubMemoryLimitMb": 12288,
                "ResidentSetSize": 512 * 1024,
                "AfhubMemoryPeakMb": 600,
                "AfhubIdleSince": 1000,
                "AfhubKernels": 3,
                "AfhubBusyKernels": 0,
            },
        ]

    def slots(self) -> list[dict[str, Any]]:
        if self.silent:
            raise CondorUnreachable("connection refused")
        slot = {"SlotType": "Static", "AfhubClasses": "regular"}
        return [{**slot, "State": "Claimed"}, {**slot, "State": "Unclaimed"}, {**slot, "State": "Unclaimed"}]

    def events(self) -> list[dict[str, Any]]:
        common = {"job_id": "5.0", "owner": "alice", "server": "", "notebook_class": "regular"}
        held = {"reason": "lunch", "by": "root", "code": 26, "subcode": 7001}
        return [
            {**common, "kind": "submitted", "at": 0},
            {**common, "kind": "running", "at": 60, "host": "w1.example.org"},
            {**common, "kind": "held", "at": 120, **held},
            {**common, "job_id": "6.0", "server": "two", "kind": "terminated", "at": 130, "exit_code": 0},
            {**common, "job_id": "6.1", "server": "two", "kind": "terminated", "at": 140, "signal": 9},
            {**common, "job_id": "7.0", "owner": "bob", "server": "two", "kind": "submitted", "at": 150},
        ]

    def jobs(self) -> list[dict[str, Any]]:
        raise AssertionError("the command line wants more than that")

    def edit(self, job_id: str, attributes: object) -> bool:
        raise AssertionError("these commands edit nothing")

    def submit(self, description: object) -> str:
        raise AssertionError("the command line submits nothing")

    def remove(self, job_id: str, reason: str) -> bool:
        raise AssertionError("the command line removes nothing")

    def remove_by_force(self, job_id: str) -> bool:
        raise AssertionError("the command line removes nothing")


@pytest.fixture
def path(data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "settings.json"
    data["condor"]["tokens_dir"] = str(tmp_path)
    file.write_text(json.dumps(data))
    monkeypatch.setattr(cli, "Condor", FakeCalls)
    return str(file)


def test_status_as_tables(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--settings", path]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["regular", "2", "3"]
    since = "1970-01-01T00:01:00Z"
    assert lines[4] == [
        "USER",
        "SERVER",
        "CLASS",
        "STATE",
        "NODE",
        "SINCE",
        "IDLE",
        "KERNELS",
        "MEMORY",
        "JOB",
        "REASON",
    ]
    assert lines[5][:6] == ["alice", "-", "regular", "running", "w1.example.org", since]
    assert lines[5][-7:] == ["3", "600", "of", "12288", "MB", "5.0", "-"]
    assert lines[6] == ["bob", "two", "regular", "queued", "-", since, "-", "-", "-", "7.0", "-"]


def test_status_for_programs(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--json", "--settings", path]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["classes"]["regular"] == {"free": 2, "total": 3, "obstacle": ""}
    assert report["classes"]["large"]["obstacle"] == "no machine offers it"
    assert [notebook["state"] for notebook in report["notebooks"]] == ["running", "queued"]
    alices = report["notebooks"][0]
    assert alices["idle_s"] == pytest.approx(time.time() - 1000, abs=60)
    assert (alices["kernels"], alices["busy_kernels"], alices["memory_peak_mb"]) == (3, 0, 600)
    assert report["notebooks"][1]["idle_s"] is None


def test_a_busy_kernel_is_use() -> None:
    ad = {"ClusterId": 1, "ProcId": 0, "JobStatus": 2, "Owner": "alice", "AfhubIdleSince": 0}
    details = parse_details({**ad, "AfhubKernels": 2, "AfhubBusyKernels": 1, "AfhubMemoryLimitMb": 100})
    assert details is not None
    head, row = status.notebook_table([status.as_dict(details, now=5000)])
    assert row[head.index("IDLE") :].startswith("in use")
    assert row[head.index("KERNELS") :].startswith("2 (1 busy)")


def test_silence_is_told(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCalls, "silent", True)
    assert cli.main(["status", "--settings", path]) == 1
    assert capsys.readouterr().err == "HTCondor does not answer: connection refused\n"


def test_why_as_tables(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["why", "alice", "--settings", path]) == 0
    told = capsys.readouterr().out
    lines = [line.split(maxsplit=5) for line in told.splitlines()]
    assert lines[0] == ["TIME", "JOB", "SERVER", "EVENT", "NODE", "WHAT HTCONDOR SAYS"]
    assert lines[1] == ["1970-01-01T00:00:00Z", "5.0", "-", "submitted", "-"]
    assert lines[2] == ["1970-01-01T00:01:00Z", "5.0", "-", "running", "w1.example.org"]
    assert lines[3] == ["1970-01-01T00:02:00Z", "5.0", "-", "held", "-", "lunch, by root, code 26.7001"]
    assert lines[4][2:] == ["two", "terminated", "-", "exit code 0"]
    assert lines[5][2:] == ["two", "terminated", "-", "signal 9"]
    assert lines[6] == []
    assert lines[8][:4] == ["alice", "-", "regular", "running"]
    assert "bob" not in told
    assert "better-analyze" not in told


def test_why_one_server_alone(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["why", "alice", "--server", "two", "--json", "--settings", path]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [event["job"] for event in report["events"]] == ["6.0", "6.1"]
    assert report["notebooks"] == []
    assert cli.main(["why", "alice", "--server", "", "--json", "--settings", path]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {event["job"] for event in report["events"]} == {"5.0"}
    assert report["events"][2] == {
        "at": "1970-01-01T00:02:00Z",
        "job": "5.0",
        "server": "",
        "event": "held",
        "node": "",
        "reason": "lunch",
        "by": "root",
        "code": "26.7001",
    }
    assert [notebook["job"] for notebook in report["notebooks"]] == ["5.0"]


def test_why_a_notebook_waits_is_answered_by_htcondor(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["why", "bob", "--settings", path]) == 0
    assert capsys.readouterr().out.endswith("Why job 7.0 waits: condor_q -better-analyze 7.0\n")


def test_why_about_nobody(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["why", "carol", "--settings", path]) == 0
    assert capsys.readouterr().out == (
        "The event log has nothing about carol, and no notebook of carol is in the queue.\n"
    )


def test_status_names_what_keeps_a_class_from_starting(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--settings", path]) == 0
    assert "large    0     0      no machine offers it" in capsys.readouterr().out.splitlines()
    small = ClassSlots(0, 2, "too_small", "memory", 1536, 1024)
    assert status.obstacle(small) == "memory: 1536 wanted, the largest slot has 1024"


def test_check_settings(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-settings", path]) == 0
    assert "classes: regular, large; default: regular" in capsys.readouterr().out
    Path(path).write_text('{"hub_name": 1}')
    assert cli.main(["check-settings", path]) == 1
    assert "hub_name" in capsys.readouterr().err
