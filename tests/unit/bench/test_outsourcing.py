"""Figures of work that leaves a notebook: each way beside a bare condor_submit, four workers beside four jobs."""

from __future__ import annotations

import pytest

from benchmarks import outsourcing, report
from benchmarks.outsourcing import STARTS, WAYS, Sizes
from benchmarks.report import TooFewSamplesError

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
