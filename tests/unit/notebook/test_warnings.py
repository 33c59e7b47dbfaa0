"""Which warnings come, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_afhub.crossings import Change, Crossings, Kernel, State

LIMIT_MB = 12288


def state(percent: float, **more: Any) -> State:
    return State(at=1e9, used_mb=LIMIT_MB * percent / 100, limit_mb=LIMIT_MB, **more)


def titles(change: Change) -> list[tuple[str, int | None, str]]:
    return [(crossing.kind, crossing.threshold, crossing.level) for crossing in change.began]


def test_each_crossing_warns_once() -> None:
    crossings = Crossings()
    assert titles(crossings.look(state(79.9))) == []
    assert titles(crossings.look(state(80))) == [("memory", 80, "warning")]
    for percent in (81, 94, 79, 76, 85):
        assert crossings.look(state(percent)) == Change(), percent
    assert titles(crossings.look(state(95))) == [("memory", 95, "error")]
    assert crossings.look(state(99)) == Change()


def test_memory_that_falls_ends_a_warning_and_may_warn_again() -> None:
    crossings = Crossings()
    (first,) = crossings.look(state(85)).began
    assert crossings.look(state(75.1)).over == ()
    assert crossings.look(state(74.9)).over == (first.id,)
    assert crossings.warnings() == []
    (second,) = crossings.look(state(85)).began
    assert second.id != first.id


def test_whoever_jumps_over_both_thresholds_hears_of_the_higher_one() -> None:
    crossings = Crossings()
    assert titles(crossings.look(state(97))) == [("memory", 95, "error")]
    assert [crossing.threshold for crossing in crossings.warnings()] == [95]
    assert crossings.look(state(97)) == Change()
    assert len(crossings.look(state(50)).over) == 2


def test_the_text_names_the_kernel_that_grows() -> None:
    kernels = (
        Kernel("1", "python3", "work/large.ipynb", 8000.0), Kernel("2", "python3", "work/growing.ipynb", 500.0, 120.0),
    )  # fmt: skip
    (crossing,) = Crossings().look(state(82, kernels=kernels, mb_per_min=120.0, full_in_s=1100)).began
    assert crossing.kernel and crossing.kernel.id == "2"
    assert "growing.ipynb has 500 MB and grows by 120 MB a minute" in crossing.text
    assert "full in 18 minutes" in crossing.text and "12 GB" in crossing.text
    assert crossing.as_json()["kernel"] == {
        "id": "2", "name": "python3", "path": "work/growing.ipynb", "memory_mb": 500.0,
    }  # fmt: skip
    (other,) = Crossings().look(state(82, kernels=kernels[:1])).began
    assert other.kernel and other.kernel.id == "1" and "large.ipynb has 7.8 GB." in other.text


def test_time_warns_at_thirty_ten_and_two_minutes() -> None:
    crossings = Crossings()
    came = []
    for left_s in range(2000, -5, -5):
        change = crossings.look(state(1, time_left_s=max(left_s, 0), runtime_s=43200))
        came += [(left_s, *title) for title in titles(change)]
    assert came == [
        (1800, "time", 1800, "warning"), (600, "time", 600, "warning"), (120, "time", 120, "error"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("runtime_s", "thresholds"),
    [(180, [600, 120]), (600, [600, 120]), (1800, [600, 120]), (3600, [1800, 600, 120])],
)
def test_a_class_shorter_than_a_threshold_is_not_told_of_it_unless_it_is_very_short(
    runtime_s: int, thresholds: list[int]
) -> None:
    crossings = Crossings()
    came = [
        title[1]
        for left_s in range(runtime_s, -1, -1)
        for title in titles(crossings.look(state(1, time_left_s=left_s, runtime_s=runtime_s)))
    ]
    assert came == thresholds


def test_a_machine_that_slept_warns_of_what_is_left() -> None:
    crossings = Crossings()
    crossings.look(state(1, time_left_s=20000, runtime_s=43200))
    assert titles(crossings.look(state(1, time_left_s=90, runtime_s=43200))) == [("time", 120, "error")]
    assert crossings.look(state(1, time_left_s=80, runtime_s=43200)) == Change()


def test_steady_growth_warns_before_the_first_threshold() -> None:
    crossings = Crossings()
    assert titles(crossings.look(state(40, mb_per_min=600.0, full_in_s=700))) == []
    (crossing,) = crossings.look(state(50, mb_per_min=600.0, full_in_s=590)).began
    assert (crossing.kind, crossing.threshold) == ("growth", None)
    assert crossing.title == "Memory will be full in about 10 minutes"
    assert crossings.look(state(55, mb_per_min=600.0, full_in_s=500)) == Change()
    # A pause of garbage collection is no end; a growth that has ended is.
    assert crossings.look(state(56, mb_per_min=400.0, full_in_s=900)) == Change()
    assert crossings.look(state(56)).over == (crossing.id,)


def test_growth_gives_way_to_the_warning_of_memory() -> None:
    crossings = Crossings()
    (growth,) = crossings.look(state(70, mb_per_min=600.0, full_in_s=400)).began
    change = crossings.look(state(81, mb_per_min=600.0, full_in_s=200))
    assert titles(change) == [("memory", 80, "warning")]
    assert crossings.look(state(82, mb_per_min=600.0, full_in_s=180)).over == (growth.id,)
    assert [crossing.kind for crossing in crossings.warnings()] == ["memory"]


def test_without_limits_nothing_warns() -> None:
    crossings = Crossings()
    assert crossings.look(State(at=1e9, used_mb=1e9, limit_mb=None)) == Change()
