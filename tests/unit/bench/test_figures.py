"""The figures compare what they say they compare, and their limits are those that were set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict

import pytest

from benchmarks import click_to_lab, figures, report
from benchmarks.attempts import Failed
from benchmarks.burst import Burst
from benchmarks.click_to_lab import Click
from benchmarks.figures import BUSY, BY_HAND, OURS, QUICK, STOCK, STOCK_SETTINGS, Sizes
from benchmarks.queue_cost import Cost, StockCost
from benchmarks.report import Figure, Series, TooFewSamplesError
from benchmarks.server_start import Starts
from benchmarks.stack import LogLine


def clicks(*seconds: float, quiet: bool = True) -> list[Click]:
    return [
        Click({"begun": 100.0, "process started": 101.0, "usable": 100 + one}, quiet=quiet) for one in seconds
    ]


def everything(ours: Sequence[float] = (4, 4), busy: Sequence[float] = (4.2, 4.2)) -> dict[str, list[Click]]:
    found = {OURS: clicks(*ours), BY_HAND: clicks(4, 4), OURS + BUSY: clicks(*busy)}
    for name in (STOCK, STOCK_SETTINGS):
        found |= {name: clicks(9), name + BUSY: clicks(10)}
    return found


def ratios(figure: Figure) -> dict[str, tuple[object, float]]:
    return {target.what: (target.ratio, target.at_most) for target in figure.targets}


def test_a_click_is_compared_with_a_start_by_hand_and_a_busy_pool_with_an_idle_one() -> None:
    idle, busy = figures.click_figures(everything(ours=(5, 5), busy=(6, 6)), QUICK)
    assert ratios(idle) == {
        "p50, over by hand": (pytest.approx(1.25), 1.15),
        "p95, over by hand": (pytest.approx(1.25), 1.4),
    }
    assert ratios(busy) == {
        "p50, over the idle pool": (pytest.approx(1.2), 1.1),
        "p95, over the idle pool": (pytest.approx(1.2), 1.1),
    }
    assert [series.name for series in idle.series] == [OURS, BY_HAND, STOCK, STOCK_SETTINGS]
    assert [series.name for series in busy.series] == [OURS + BUSY, OURS, STOCK + BUSY, STOCK_SETTINGS + BUSY]


@pytest.mark.parametrize("short", [OURS, BY_HAND, STOCK, STOCK_SETTINGS, OURS + BUSY, STOCK + BUSY])
def test_a_variant_with_too_few_starts_makes_no_figure(short: str) -> None:
    found = everything()
    found[short] = found[short][:-1]
    with pytest.raises(TooFewSamplesError):
        figures.click_figures(found, QUICK)


def test_starts_on_a_busy_machine_are_told() -> None:
    found = everything()
    assert not figures.click_figures(found, QUICK)[0].notes
    found[BY_HAND] = clicks(4, 4, quiet=False)
    assert figures.click_figures(found, QUICK)[0].notes == (
        "2 of 10 starts began while something else kept the machine busy.",
    )


def test_the_split_goes_from_mark_to_mark_in_the_order_of_time_and_ends_with_a_usable_lab() -> None:
    some = clicks(6, 8)
    log = [LogLine(100.5, "Submitted job 7.0 for alice"), LogLine(103, "alice/ listens on port 40001")]
    click_to_lab.add_hub_marks(some, log)
    assert click_to_lab.split(some) == [
        ("job submitted", 0.5),
        ("process started", 0.5),
        ("port reported", 2),
        ("usable", 4),
    ]


def test_a_mark_that_one_start_lacks_is_left_out_and_lines_of_other_starts_do_not_count() -> None:
    some = [*clicks(6), Click({"begun": 200.0, "usable": 205.0})]
    click_to_lab.add_hub_marks(some, [LogLine(99.9, "Submitted job 6.0"), LogLine(150, "Submitted job 7.0")])
    assert click_to_lab.split(some) == [("usable", 5.5)]


def test_a_start_by_hand_is_compared_with_plain_lab_by_its_wall_time() -> None:
    starts = {"afhub-notebook": Starts([1.0, 1.4], [0.8, 0.9]), "jupyter-lab": Starts([2.0, 2.0], [1.4, 1.4])}
    assert ratios(figures.start_figure(starts, QUICK)) == {
        "p50, over plain jupyter-lab": (pytest.approx(0.6), 0.7)
    }


def test_a_burst_is_compared_with_the_cpu_time_of_its_starts_over_the_cores() -> None:
    one = Burst(0.2, (3.0, 4.0, 5.0, 6.0)), {"the whole machine": 8.0}
    figure = figures.burst_figure([one], Series.of("CPU", [0.5, 1.5, 1.0]), QUICK)
    floor = QUICK.clicks * 1.0 / (os.cpu_count() or 1)
    (found,) = ratios(figure).values()
    assert found == (pytest.approx(6 / floor), 1.25)


def test_a_queue_is_compared_with_a_short_one_and_with_the_questions_of_stock() -> None:
    ours = {4: Cost((0.9,), 0.6, 0.3), 12: Cost((1.2,), 0.8, 0.4)}
    stock = {size: StockCost(5, tools_s=0.03, schedd_s=0.01, wall_s=0.1, background=0.24) for size in (4, 12)}
    assert stock[12].per_minute(12) == pytest.approx(0.24 + 24 * 0.04)
    figure = figures.queue_figure(ours, stock, QUICK)
    assert ratios(figure) == {
        "12 notebooks, over 4": (pytest.approx(1.2 / 0.9), 2.0),
        "12 notebooks, over stock": (pytest.approx(1.0), 0.02),
    }
    assert not any("sample times" in note for note in figure.notes)


def test_questions_that_take_more_than_a_minute_of_each_minute_are_told() -> None:
    slow = StockCost(5, tools_s=0.03, schedd_s=0.01, wall_s=3.0, background=0)
    costs = {4: Cost((0.9,), 0.6, 0.3), 12: Cost((1.2,), 0.8, 0.4)}
    figure = figures.queue_figure(costs, {4: slow, 12: slow}, QUICK)
    assert any("sample times" in note for note in figure.notes)


def test_a_missed_target_has_a_note() -> None:
    idle, _ = figures.click_figures(everything(ours=(5, 5)), QUICK)
    assert figures.with_notes(idle).notes == (
        "Missed: p50, over by hand is 1.250×, 1.150× at most. Where the time goes is in the table above.",
    )


Outcomes = dict[str, Sequence[Click | Failed]]
FAILED = Failed("no usable Lab within 120 s", 1.0)


def reached(figure: Figure) -> set[str]:
    return {target.reached.value for target in figure.targets}


def test_a_stock_start_that_fails_is_counted_and_the_others_make_the_row() -> None:
    found: Outcomes = {**everything()}
    found[STOCK] = [FAILED]
    found[STOCK_SETTINGS] = clicks(17)
    text = report.figure_text(figures.with_notes(figures.click_figures(found, QUICK)[0]))
    assert f"| {STOCK} | 0 of 1 | – | – |  |" in text
    assert f"{STOCK}: 1 of 1 did not start: no usable Lab within 120 s" in text
    assert f"| {STOCK_SETTINGS} | 1 | 17.0 s | 17.0 s | 4.250× |" in text
    assert "| p50, over by hand | 1.000× | 1.150× | yes |" in text


def test_nine_of_ten_are_shown_with_the_reason_of_the_tenth() -> None:
    sizes = Sizes(**{**asdict(QUICK), "stock": 10})
    found: Outcomes = {
        **everything(),
        STOCK: [*clicks(*range(1, 10)), FAILED],
        STOCK + BUSY: clicks(*[10] * 10),
    }
    text = report.figure_text(figures.click_figures(found, sizes)[0])
    assert f"| {STOCK} | 9 of 10 | 5.00 s | 8.60 s | 1.250× |" in text
    assert "1 of 10 did not start: no usable Lab within 120 s" in text


@pytest.mark.parametrize("name", [OURS, OURS + BUSY])
def test_a_start_of_ours_that_fails_is_never_reached_however_fast_the_others_were(name: str) -> None:
    found: Outcomes = {**everything()}
    found[name] = [FAILED, *clicks(1)]
    idle, busy = figures.click_figures(found, QUICK)
    assert reached(busy) == {"no"}
    assert reached(idle) == ({"no"} if name == OURS else {"yes"})
    assert any("1 of ours came to nothing" in note for note in figures.with_notes(busy).notes)
    found[name] = [FAILED, FAILED]
    assert reached(figures.click_figures(found, QUICK)[1]) == {"no"}


def test_a_base_of_which_nothing_started_leaves_ours_unmeasured_and_not_reached() -> None:
    found: Outcomes = {**everything(), BY_HAND: [FAILED, FAILED]}
    idle, _ = figures.click_figures(found, QUICK)
    assert reached(idle) == {"not measured"}
    assert "| p50, over by hand | – | 1.150× | not measured |" in report.summary([idle])


def test_half_of_the_starts_say_how_many_are_missing_and_reach_nothing() -> None:
    found: Outcomes = {OURS: clicks(4), BY_HAND: clicks(4)}
    with pytest.raises(TooFewSamplesError):
        figures.click_figures(found, QUICK)
    idle, busy = figures.click_figures(found, QUICK, whole=False)
    assert reached(idle) == reached(busy) == {"not measured"}
    assert f"{OURS}: 1 of 2 are missing" in report.figure_text(idle)
    assert not busy.missed


def test_a_server_that_does_not_start_by_hand_is_told_once_and_ours_is_not_reached() -> None:
    starts = {
        "afhub-notebook": Starts([0.5, FAILED], [0.4, FAILED]),
        "jupyter-lab": Starts([2.0, 2.0], [1.4, 1.4]),
    }
    figure = figures.start_figure(starts, QUICK)
    assert reached(figure) == {"no"} and figure.targets[0].ratio == 0.25
    assert report.figure_text(figure).count("1 of 2 did not start") == 1


def test_a_burst_of_which_a_server_fails_is_counted_and_none_of_its_times_are_taken() -> None:
    sizes = Sizes(**{**asdict(QUICK), "bursts": 2})
    good = Burst(0.2, (3.0, 4.0, 5.0, 6.0)), {"hub": 8.0}
    bad = Burst(0.1, (1.0, 1.0, 1.0), (FAILED,)), {"hub": 1.0}
    figure = figures.burst_figure([good, bad], Series.of("CPU", [100.0]), sizes)
    assert [one.n_text for one in figure.series] == ["1 of 2"] * 3 and figure.series[0].median == 6
    assert reached(figure) == {"no"} and figure.tables[0][2] == (("hub", "8.00 s"),)
    text = report.figure_text(figure)
    assert text.count("1 of 2 did not get all servers ready: 1 of 4 did not start: no usable Lab") == 1


def test_a_burst_without_the_cpu_time_of_a_start_is_shown_and_compared_with_nothing() -> None:
    figure = figures.burst_figure([(Burst(0.2, (3.0,)), {})], Series.of("CPU", [FAILED]), QUICK)
    assert reached(figure) == {"not measured"} and figure.series[0].median == 3


def test_a_queue_that_cannot_be_measured_is_counted_and_the_others_are_shown() -> None:
    stock = {size: StockCost(5, tools_s=0.03, schedd_s=0.01, wall_s=0.1, background=0) for size in (4, 12)}
    cost = Cost((1.2,), 0.8, 0.4)
    lost = Failed("9 notebooks are in the queue after the window, not 12", 1.0, "could not be measured")
    figure = figures.queue_figure({4: cost, 12: lost}, stock, QUICK)
    assert reached(figure) == {"no"}
    text = report.figure_text(figure)
    assert "| 4 notebooks, hub + schedd | 1 | 1.20 CPU s/min |" in text
    assert "1 of 1 could not be measured: 9 notebooks are in the queue after the window, not 12" in text
    figure = figures.queue_figure({4: cost, 12: cost}, {4: stock[4], 12: lost}, QUICK)
    assert [target.reached.value for target in figure.targets] == ["yes", "not measured"]
    assert any("12 jobs in the stock schedd: could not be measured" in note for note in figure.notes)
