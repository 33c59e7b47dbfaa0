"""`afhub info` and `%afhub`: what people read in a terminal or a cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jupyter_afhub
from job_server import JOB_AD, MACHINE_AD
from jupyter_afhub import cli

TOLD: dict[str, Any] = {
    "version": 1, "in_job": True,
    "class": {"name": "regular", "title": "Regular", "memory_limit_mb": 12288, "cores": 1, "runtime_s": 43200},
    "job": {"id": "7.0", "owner": "ann", "started_at": "2026-01-01T12:00:00Z", "ends_at": "2026-01-02T00:00:00Z",
            "time_left_s": 5400, "vacate_s": 30},
    "slot": "slot1@w",
    "node": {"name": "w.test", "cores": 8, "load": [1.5, 1, 1], "memory_total_mb": 16384, "memory_free_mb": 4096,
             "scratch_free_mb": 2048, "scratch_total_mb": 4096, "other_notebooks": 2},
    "memory": {"used_mb": 9830.4, "limit_mb": 12288, "fraction": 0.8, "peak_mb": 10000.0, "source": "processes",
               "growth_mb_per_min": 100.0, "full_in_s": 1474},
    "cpu": {"percent": 97.2, "cores": 1},
    "kernels": [{"id": "1", "name": "python3", "path": "a.ipynb", "pid": 1, "memory_mb": 9000.0, "share": 0.9,
                 "cpu_percent": 97.0, "state": "busy", "growth_mb_per_min": 100.0}],
    "warnings": [{"title": "Memory is 80 % full", "text": "Above 12 GB the notebook is stopped."}],
    "notices": [{"text": "Maintenance\nat noon."}], "silenced": [], "hub": {"home": None, "spawn": None},
    "problems": ["The hub has not answered."],
}  # fmt: skip


def test_people_read_one_line_for_each_thing() -> None:
    assert cli.describe(TOLD).splitlines() == [
        "Class      Regular, 1 core",
        "Memory     9.6 GB of 12 GB (80%), at most 9.8 GB so far; full in 25 minutes if it grows on",
        "           8.8 GB  a.ipynb (busy)",
        "CPU        97 % of one core",
        "Time left  90 minutes",
        "Node       w.test, load 1.5 on 8 cores, 4 GB of 16 GB free",
        "Scratch    2 GB free",
        "Job        7.0 in slot1@w",
        "Message    Maintenance at noon.",
        "Warning    Memory is 80 % full. Above 12 GB the notebook is stopped.",
        "Problem    The hub has not answered.",
    ]


def afhub(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jupyter_afhub.cli", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path), **environ},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a job without a server."""
    (tmp_path / "job.ad").write_text(JOB_AD)
    (tmp_path / "machine.ad").write_text(MACHINE_AD)
    return {
        "_CONDOR_JOB_AD": str(tmp_path / "job.ad"), "_CONDOR_MACHINE_AD": str(tmp_path / "machine.ad"),
        "_CONDOR_SCRATCH_DIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "absent"),
    }  # fmt: skip


def test_without_a_server_it_measures_by_itself(job: dict[str, str]) -> None:
    done = afhub(job, "info", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert told["class"]["memory_limit_mb"] == 4096 and told["memory"]["used_mb"] > 1
    assert "does not answer" in told["problems"][-1]
    assert afhub(job, "info").stdout.startswith("Class      regular, 2 cores\nMemory     ")


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"pid": "x"}', '{"pid": 1, "port": 1}'])
def test_what_other_servers_left_behind_does_not_matter(
    job: dict[str, str], tmp_path: Path, content: str
) -> None:
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "jpserver-1.json").write_text(content)
    done = afhub(job, "info")
    assert done.returncode == 0 and done.stderr == ""


def test_outside_of_a_job_it_says_so() -> None:
    done = afhub({"JUPYTER_RUNTIME_DIR": "/nonexistent"}, "info")
    assert (done.returncode, done.stderr) == (1, "") and done.stdout.startswith("This is no HTCondor job")
    assert json.loads(afhub({"JUPYTER_RUNTIME_DIR": "/nonexistent"}, "info", "--json").stdout) == {
        "version": 1, "in_job": False,
    }  # fmt: skip


def test_the_magic_shows_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registered: dict[str, Any] = {}

    class Shell:
        def register_magic_function(self, function: Any, kind: str, name: str) -> None:
            registered[f"{kind} {name}"] = function

    jupyter_afhub.load_ipython_extension(Shell())
    monkeypatch.setattr(cli, "from_server", lambda _: TOLD)
    registered["line afhub"]("")
    assert capsys.readouterr().out == cli.describe(TOLD) + "\n"
    registered["line afhub"]("--json")
    assert json.loads(capsys.readouterr().out) == TOLD


def test_a_wrong_option_of_the_magic_ends_no_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    from jupyter_afhub.magic import afhub as magic

    magic("--wrong")
    assert "unrecognized arguments: --wrong" in capsys.readouterr().err
