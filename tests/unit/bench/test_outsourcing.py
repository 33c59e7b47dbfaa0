"""Figures of work that leaves a notebook: each way beside a bare condor_submit, four workers beside four jobs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import batchqueue
import pytest
from hubclient import HubUser

from benchmarks import machine, outsourcing, report
from benchmarks.attempts import Failed
from benchmarks.outsourcing import STARTS, WAYS, Sizes
from benchmarks.report import TooFewSamplesError
from benchmarks.steps import BROKEN_OFF
from minipool import Minipool

SIZES = Sizes(tasks=100, runs=2, starts=2)


def sample(last: float, ready: float | None = None) -> dict[str, float]:
    return {"first": last / 2, "last": last} | ({"ready": ready} if ready is not None else {})


def tasks() -> dict[str, list[dict[str, float]]]:
    found = {way: [sample(20.0), sample(20.0)] for way in WAYS}
    return found | {"dask": [sample(12.0, ready=10.0)] * 2}


def test_the_time_of_all_tasks_is_divided_by_their_number() -> None:
    figure = outsourcing.task_figure(tasks(), SIZES)
    bare, dask = figure.series[0], figure.series[WAYS.index("dask")]
    assert (bare.name, bare.median, bare.unit) == ("bare condor_submit", 200, "ms")
    assert dask.median == 120 and dask.over(bare, 0.5) == pytest.approx(0.6)
    assert ("Dask, 4 workers", "20.0 ms") in figure.tables[0][2]


def test_four_workers_stand_beside_four_jobs() -> None:
    figure = outsourcing.start_figure({what: [sample(6.0), sample(8.0)] for what in STARTS}, SIZES)
    assert [one.name for one in figure.series] == [
        "4 plain jobs run", "4 Dask workers are there", "4 Spark workers are there",
    ]  # fmt: skip
    assert figure.series[0].median == 7
    assert figure.tables[0][2][0] == ("4 plain jobs run", "3.00 s, 4.00 s")


def test_too_few_samples_make_no_figure() -> None:
    with pytest.raises(TooFewSamplesError):
        outsourcing.first_figure({way: [sample(1.0)] for way in WAYS}, SIZES)


def test_the_page_has_every_figure() -> None:
    figures = (
        outsourcing.start_figure({what: [sample(6.0)] * 2 for what in STARTS}, SIZES),
        outsourcing.task_figure(tasks(), SIZES),
        outsourcing.first_figure(tasks(), SIZES),
    )
    page = outsourcing.text(figures, {"Cores": "2"}, "2026-01-01", ("**A remark.**",))
    for figure in figures:
        assert report.figure_text(figure) in page
    assert "| Cores | 2 |" in page and "**A remark.**" in page


def test_a_task_that_leaves_no_result_is_counted_and_its_jobs_are_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    removed: list[str] = []

    def kernel(_: HubUser) -> Any:
        raise AssertionError("the cell did not end within 1200 s")

    monkeypatch.setattr(outsourcing, "idle", lambda _: None)
    monkeypatch.setattr(outsourcing, "kernel", kernel)
    monkeypatch.setattr(batchqueue, "remove_all", lambda _, user: removed.append(user))
    user = type("Known", (), {"running": lambda *_: {}})()
    found = outsourcing.sample(cast("Minipool", None), user, "dask", 1000)
    assert isinstance(found, Failed) and found.what == "did not come to an end"
    assert removed == ["alice"]


def outsourced(
    out: Path, monkeypatch: pytest.MonkeyPatch, commit: str, sample: Any
) -> tuple[int, dict[str, Any], str]:
    user = SimpleNamespace(login=lambda: None, running=lambda _: None, stop=lambda: None)
    monkeypatch.setattr(outsourcing, "HubUser", lambda *_: user)
    monkeypatch.setattr(outsourcing, "FAULTS", out / "fault.log")
    monkeypatch.setattr(outsourcing, "versions", lambda *_: {"Commit": commit})
    monkeypatch.setattr(machine, "commit", lambda: commit)
    monkeypatch.setattr(Minipool, "from_environment", lambda: None)
    monkeypatch.setattr(outsourcing, "sample", sample)
    monkeypatch.setattr(outsourcing, "QUICK", outsourcing.Sizes(tasks=20, runs=2, starts=2))
    monkeypatch.setattr(sys, "argv", ["outsourcing", "--quick", "--out", str(out)])
    code = outsourcing.main()
    return (
        code,
        json.loads((out / "outsourcing.json").read_text()),
        (out / "outsourcing.md").read_text(),
    )


def test_work_that_leaves_a_notebook_goes_on_after_a_failure_and_keeps_what_it_has_after_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def sample(_: Any, __: Any, what: str, *___: int) -> Any:
        asked.append(what)
        if asked.count("four_dask_workers") == 1 and what == "four_dask_workers":
            return Failed("not four workers within 600 s", 5.0, "did not come to an end")
        return {"first": 1.0, "last": 2.0}

    code, data, text = outsourced(tmp_path, monkeypatch, "2222", sample)
    assert code == 0 and "missing" not in data
    assert data["starts"]["four_dask_workers"][0]["reason"] == "not four workers within 600 s"
    assert "| 4 Dask workers are there | 1 of 2 | 2.00 s | 2.00 s | 1.000× |" in text
    assert "1 of 2 did not come to an end: not four workers within 600 s" in text
    # Of another commit now, and with a fault in the tasks: both columns, and the starts are kept.

    def broken(_: Any, __: Any, what: str, *___: int) -> Any:
        if what == "htmap":
            raise TypeError("a bug")
        return {"first": 1.0, "last": 3.0}

    code, data, text = outsourced(tmp_path, monkeypatch, "3333", broken)
    assert code == BROKEN_OFF and data["missing"] == ["tasks"]
    assert "| 4 Dask workers are there | 2 | 3.00 s | 2.00 s |" in text
    assert data["before"]["facts"] == {**machine.machine(), "Commit": "2222"}
    assert data["starts"]["four_jobs"] == [{"first": 1.0, "last": 3.0}] * 2
    # What broke off is not compared with; what it kept still is.
    assert outsourced(tmp_path, monkeypatch, "4444", sample)[1]["before"]["facts"]["Commit"] == "2222"
