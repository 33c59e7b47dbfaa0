"""The figures compare what they say they compare, and their limits are those that were set."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from benchmarks import click_to_lab, figures
from benchmarks.burst import Burst
from benchmarks.click_to_lab import Click
from benchmarks.figures import BUSY, BY_HAND, OURS, QUICK, STOCK, STOCK_SETTINGS
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
