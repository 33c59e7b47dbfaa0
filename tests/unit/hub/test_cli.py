"""The command line shows slots and notebooks, and says what is wrong with a settings file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from afhub import cli, words
from afhub.condor import CondorUnreachable
from afhub.settings import Settings


class FakeCalls:
    """Two notebooks and three slots, or silence."""

    silent = False

    def __init__(self, settings: Settings) -> None:
        pass

    def jobs(self) -> list[dict[str, Any]]:
        common = {"ProcId": 0, "AfhubClass": "regular", "QDate": 0, "EnteredCurrentStatus": 60}
        return [
            {**common, "ClusterId": 7, "Owner": "bob", "JobStatus": 1, "AfhubServer": "two"},
            {
                **common,
                "ClusterId": 5,
                "Owner": "alice",
                "JobStatus": 2,
                "RemoteHost": "slot1@w1.example.org",
            },
        ]

    def slots(self) -> list[dict[str, Any]]:
        if self.silent:
            raise CondorUnreachable("connection refused")
        slot = {"SlotType": "Static", "AfhubClasses": "regular"}
        return [{**slot, "State": "Claimed"}, {**slot, "State": "Unclaimed"}, {**slot, "State": "Unclaimed"}]

    def submit(self, description: object) -> str:
        raise AssertionError("the command line submits nothing")

    def remove(self, job_id: str, reason: str) -> bool:
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
    assert lines[5] == ["alice", "-", "regular", "running", "w1.example.org", since, "5.0", "-"]
    assert lines[6] == ["bob", "two", "regular", "queued", "-", since, "7.0", "-"]


def test_status_for_programs(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--json", "--settings", path]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["classes"]["regular"] == {"free": 2, "total": 3}
    assert [notebook["state"] for notebook in report["notebooks"]] == ["running", "queued"]


def test_silence_is_told(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCalls, "silent", True)
    assert cli.main(["status", "--settings", path]) == 1
    assert capsys.readouterr().err == "HTCondor does not answer: connection refused\n"


def test_check_settings(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-settings", path]) == 0
    assert "classes: regular, large; default: regular" in capsys.readouterr().out
    Path(path).write_text('{"hub_name": 1}')
    assert cli.main(["check-settings", path]) == 1
    assert "hub_name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(43200, "12 hours"), (3600, "1 hour"), (5400, "90 minutes"), (60, "1 minute"), (45, "45 seconds")],
)
def test_durations_read_as_people_say_them(seconds: int, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("megabytes", "text"), [(12288, "12 GB"), (1536, "1.5 GB"), (512, "512 MB")])
def test_memory_reads_as_people_say_it(megabytes: int, text: str) -> None:
    assert words.memory(megabytes) == text
