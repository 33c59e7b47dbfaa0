"""What is written into results.md is what was measured: medians, ratios, limits, and never too few samples."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import report
from benchmarks.attempts import Failed
from benchmarks.report import Before, Figure, Reached, Results, Series, Target, TooFewSamplesError

SAMPLES = st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1, max_size=60)


def a_figure(**more: object) -> Figure:
    ours = Series.of("ours", [2.0, 4.0, 3.0])
    theirs = Series.of("theirs", [6.0, 6.0, 6.0])
    given_facts = {"series": (ours, theirs), "targets": (Target("p50", ours.over(theirs, 0.5), 0.7),), **more}
    return Figure("demo", "A demonstration", "How it was done.", **given_facts)  # type: ignore[arg-type]


def results(*figures: Figure) -> Results:
    return Results("2031-02-03", {"Cores": "2"}, {"HTCondor": "23.9.6"}, figures, ("A remark.",))


@given(SAMPLES)
def test_the_median_is_the_one_of_the_standard_library(values: list[float]) -> None:
    assert Series.of("x", values).median == pytest.approx(statistics.median(values))


@given(SAMPLES, st.floats(min_value=0, max_value=1))
def test_a_quantile_lies_between_the_smallest_and_the_largest_sample(
    values: list[float], share: float
) -> None:
    found = report.quantile(values, share)
    assert min(values) <= found or found == pytest.approx(min(values))
    assert found <= max(values) or found == pytest.approx(max(values))


def test_p95_of_a_hundred_and_one_samples_is_the_sixth_from_the_top() -> None:
    assert Series.of("x", range(101)).p95 == 95
    assert Series.of("x", [1.0, 2.0]).p95 == pytest.approx(1.95)
    assert Series.of("x", [7.0]).p95 == 7


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_of_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        report.quantile([1.0], share)


def test_too_few_samples_make_no_series_and_none_make_no_quantile() -> None:
    with pytest.raises(TooFewSamplesError, match="clicks: 19 samples, 20 are needed"):
        Series.of("clicks", [1.0] * 19, at_least=20)
    with pytest.raises(TooFewSamplesError):
        Series.of("clicks", [])
    with pytest.raises(TooFewSamplesError):
        report.quantile([], 0.5)
    assert Series.of("clicks", [1.0] * 20, at_least=20).n == 20


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_sample_that_is_no_number_is_refused(broken: float) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        Series.of("clicks", [1.0, broken])


def test_a_ratio_is_that_of_the_same_quantiles_and_of_the_same_unit() -> None:
    ours, theirs = Series.of("ours", [1.0, 2.0, 9.0]), Series.of("theirs", [4.0, 4.0, 6.0])
    assert ours.over(theirs, 0.5) == 0.5
    assert ours.over(theirs, 1) == 1.5
    with pytest.raises(ValueError, match="unit|is in"):
        ours.over(Series.of("theirs", [4.0], unit="CPU s/min"), 0.5)
    with pytest.raises(ValueError, match="nothing can be a multiple"):
        ours.over(Series.of("theirs", [0.0]), 0.5)


@pytest.mark.parametrize(
    ("ratio", "at_most", "reached"),
    [
        (1.15, 1.15, Reached.YES),
        (1.1501, 1.15, Reached.NO),
        (0.02, 1 / 50, Reached.YES),
        (0.0201, 0.02, Reached.NO),
    ],
)
def test_a_target_is_reached_up_to_its_limit_and_not_beyond(
    ratio: float, at_most: float, reached: Reached
) -> None:
    assert Target("p50", ratio, at_most).reached is reached


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.01234, "s", "0.012 s"),
        (1.234, "s", "1.23 s"),
        (12.34, "", "12.3"),
        (1234.5, "ms", "1234 ms"),
        (0, "", "0.000"),
    ],
)
def test_numbers_are_written_with_the_digits_that_count(value: float, unit: str, text: str) -> None:
    assert report.number(value, unit) == text


def test_small_ratios_keep_the_digits_that_tell_them_from_a_fiftieth() -> None:
    assert report.ratio(1.1501) == "1.150×"
    assert report.ratio(0.0204) == "0.0204×"


def test_a_table_has_a_cell_for_each_heading_and_no_bar_or_line_break_inside_a_cell() -> None:
    text = report.table(("a", "b"), [("1|2", "3\n4")])
    assert text.splitlines() == ["| a | b |", "| --- | --- |", "| 1\\|2 | 3 4 |"]
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        report.table(("a", "b"), [("1",)])


def test_a_figure_shows_n_median_p95_ratio_target_and_whether_it_is_reached() -> None:
    text = report.figure_text(a_figure())
    assert "| ours | 3 | 3.00 s | 3.90 s |  |" in text
    assert "| theirs | 3 | 6.00 s | 6.00 s | 2.000× |" in text
    assert "| p50 | 0.500× | 0.700× | yes |" in text
    assert text.startswith("## A demonstration\n\nHow it was done.")


def test_a_missed_target_is_told_from_one_that_is_reached() -> None:
    good, bad = Target("p50", 0.5, 0.7), Target("p95", 0.8, 0.7)
    figure = a_figure(targets=(good, bad))
    assert figure.missed == [bad]
    assert "| A demonstration | p95 | 0.800× | 0.700× | no |" in report.summary([figure])
    assert "| A demonstration | p50 | 0.500× | 0.700× | yes |" in report.summary([figure])


def test_series_of_another_unit_get_no_ratio() -> None:
    figure = a_figure(
        series=(Series.of("ours", [2.0]), Series.of("CPU", [4.0], unit="CPU s/min")), targets=()
    )
    assert "| CPU | 1 | 4.00 CPU s/min | 4.00 CPU s/min |  |" in report.figure_text(figure)


def test_further_tables_and_notes_follow_a_figure() -> None:
    figure = a_figure(tables=(("Parts", ("part", "time"), (("hub", "1 s"),)),), notes=("Missed.",))
    assert report.figure_text(figure).endswith(
        "Parts:\n\n| part | time |\n| --- | --- |\n| hub | 1 s |\n\nMissed."
    )


def test_both_files_are_written_with_machine_versions_and_all_samples(tmp_path: Path) -> None:
    report.write(results(a_figure()), tmp_path)
    text = (tmp_path / "results.md").read_text()
    for said in ("2031-02-03", "| Cores | 2 |", "| HTCondor | 23.9.6 |", "A remark.", "## A demonstration"):
        assert said in text
    data = json.loads((tmp_path / "results.json").read_text())
    (figure,) = data["figures"]
    assert figure["series"][0] == {
        "name": "ours", "values": [2.0, 4.0, 3.0], "unit": "s", "n": 3, "median": 3.0, "p95": pytest.approx(3.9),
    }  # fmt: skip
    assert figure["targets"] == [{"what": "p50", "ratio": 0.5, "at_most": 0.7, "reached": True}]


def test_nothing_is_written_when_a_figure_cannot_be(tmp_path: Path) -> None:
    broken = a_figure(tables=(("Parts", ("part", "time"), (("hub",),)),))
    with pytest.raises(ValueError, match="headings"):
        report.write(results(a_figure(), broken), tmp_path)
    assert not list(tmp_path.iterdir())


def test_samples_that_failed_count_among_those_that_are_needed_and_not_among_those_that_were_measured() -> (
    None
):
    series = Series.of("clicks", [1.0, Failed("why", 0.0), 3.0], at_least=3)
    assert (series.n, series.n_text, series.complete, series.median) == (2, "2 of 3", True, 2)
    with pytest.raises(TooFewSamplesError):
        Series.of("clicks", [1.0, Failed("why", 0.0)], at_least=3)
    part = Series.of("clicks", [1.0, Failed("why", 0.0)], at_least=3, whole=False)
    assert part.n_text == "1 of 3" and not part.complete


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        (Target("p50", None, 1.1), Reached.NOT_MEASURED),
        (Target("p50", 0.1, 1.1, complete=False), Reached.NOT_MEASURED),
        (Target("p50", 0.1, 1.1, failed=1), Reached.NO),
        (Target("p50", None, 1.1, failed=2, complete=False), Reached.NO),
    ],
)
def test_nothing_is_reached_by_what_was_not_measured_or_failed(target: Target, reached: Reached) -> None:
    assert target.reached is reached


def test_reasons_are_told_with_how_often_each_came() -> None:
    failed = [
        Failed("no slot", 0.0),
        Failed("no slot", 1.0),
        Failed("3 in a row had failed", 2.0, "not tried"),
    ]
    figure = a_figure(series=(Series.of("ours", [2.0, *failed]),), targets=())
    assert report.failed_lines(figure) == [
        "ours: 2 of 4 did not start: no slot",
        "ours: 1 of 4 not tried: 3 in a row had failed",
    ]


def test_what_failed_is_in_the_file_for_programs(tmp_path: Path) -> None:
    ours = Series.of("ours", [2.0, Failed("no slot", 5.0)])
    nothing = Series.of("nothing", [Failed("no slot", 5.0)])
    targets = (Target.of("p50", ours, nothing, 0.5, 0.7),)
    report.write(results(a_figure(series=(ours, nothing), targets=targets)), tmp_path)
    (figure,) = json.loads((tmp_path / "results.json").read_text())["figures"]
    failed = [{"reason": "no slot", "at": 5.0, "what": "did not start"}]
    assert figure["series"][0] == {
        "name": "ours", "values": [2.0], "unit": "s", "failed": failed, "wanted": 2, "n": 1, "median": 2.0, "p95": 2.0,
    }  # fmt: skip
    assert (figure["series"][1]["median"], figure["series"][1]["n"]) == (None, 0)
    assert figure["targets"] == [
        {"what": "p50", "ratio": None, "at_most": 0.7, "failed": 1, "reached": False}
    ]


def former(*figures: Figure) -> Before:
    """As it comes back from the file."""
    return Before.of(json.loads(json.dumps(report.results_json(results(*figures)))))


def test_every_median_and_ratio_has_the_one_of_the_former_run_beside_it() -> None:
    slow = Series.of("ours", [8.0, 8.0]), Series.of("theirs", [4.0, 4.0])
    before = former(a_figure(series=slow, targets=(Target.of("p50", *slow, 0.5, 0.7),)))
    text = report.results_text(replace(results(a_figure()), before=before))
    assert "| ours | 3 | 3.00 s | 8.00 s | 3.90 s | 8.00 s |  |  |" in text
    assert "| theirs | 3 | 6.00 s | 4.00 s | 6.00 s | 4.00 s | 2.000× | 0.500× |" in text
    assert "| to reach | ratio | ratio, before | at most | reached | reached, before |" in text
    assert "| p50 | 0.500× | 2.000× | 0.700× | yes | no |" in text
    assert "| A demonstration | p50 | 0.500× | 2.000× | 0.700× | yes | no |" in text
    assert "*Before*: the run of 2031-02-03 on commit unknown" in text
    assert "| HTCondor | 23.9.6 | 23.9.6 |" in text


def test_what_the_former_run_did_not_have_is_a_dash_and_what_it_failed_at_is_said() -> None:
    new = a_figure(
        series=(Series.of("ours", [2.0]), Series.of("new", [4.0])),
        targets=(Target("p50", 0.5, 0.7), Target("p95", 0.5, 0.7)),
    )
    old = a_figure(series=(Series.of("ours", [Failed("no slot", 0.0)]),), targets=(Target("p50", None, 0.7),))
    text = report.figure_text(new, former(old))
    assert "| ours | 1 | 2.00 s | – | 2.00 s | – |  |  |" in text
    assert "| new | 1 | 4.00 s | – | 4.00 s | – | 2.000× |  |" in text
    assert "| p50 | 0.500× | – | 0.700× | yes | not measured |" in text
    assert "| p95 | 0.500× | – | 0.700× | yes | – |" in text


def test_the_results_in_the_repository_can_stand_beside_new_ones() -> None:
    path = Path(report.__file__).parent / "results.json"
    before = report.before(path, "another")
    assert before is not None
    for figure in before.figures:
        for series in figure["series"]:
            found = before.series(figure["key"], series["name"])
            assert found is not None and found.median == pytest.approx(series["median"])
