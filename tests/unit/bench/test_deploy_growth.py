"""The cost of one more worker is the slope through what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import deploy_growth
from benchmarks.deploy_growth import RECAP, Line, Run, report


def runs(*points: tuple[int, float]) -> list[Run]:
    return [
        Run(workers, wall_s=30 + workers, cpu_s=cpu_s, others_s=20, load_before=0.4, changed=0)
        for workers, cpu_s in points
    ]


def test_the_line_through_points_on_a_line_is_that_line() -> None:
    line = Line.through([(0, 10), (5, 12.5), (30, 25)])
    assert line.each == pytest.approx(0.5)
    assert line.at(500) == pytest.approx(260)


def test_the_page_says_the_cost_of_one_more_worker_and_what_is_extrapolated() -> None:
    text = report(runs((0, 10), (5, 12.5), (15, 17.5), (30, 25)), {"Machine": "2 cores"})
    assert "**0.50 CPU s for each further worker**" in text
    assert "Extrapolated, not measured: 500 further workers would take the control node 260 CPU s" in text
    assert "| 30 | 25.0 CPU s | 60 s |" in text


def test_a_host_that_changed_or_failed_is_read_from_the_recap() -> None:
    recap = "light01                    : ok=24   changed=1    unreachable=0    failed=0    skipped=5    rescued=0\n"
    assert RECAP.findall(recap) == [("light01", "1", "0", "0")]


def test_a_pool_that_somebody_has_is_neither_used_nor_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".minipool/mine").mkdir(parents=True)
    monkeypatch.setattr(deploy_growth, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["deploy_growth", "--instance", "mine"])
    with pytest.raises(SystemExit) as ended:
        deploy_growth.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--instance mine" in said and "make down INSTANCE=mine" in said
