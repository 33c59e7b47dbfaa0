"""When growing memory will be full, and what is kept of the past."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_afhub.trend import Growth, History, Point, full_in_s, growth


def series(megabytes: list[float], step_s: float = 5.0) -> list[tuple[float, float]]:
    return [(number * step_s, value) for number, value in enumerate(megabytes)]


def test_steady_growth_is_measured() -> None:
    noise = random.Random(1)
    points = series([1000 + 10 * number + noise.uniform(-5, 5) for number in range(24)])
    rate = growth(points)
    assert rate and abs(rate - 120) < 6


@pytest.mark.parametrize(
    "megabytes",
    [
        [1000.0] * 24,
        [1000.0] * 12 + [4000.0] * 12,
        [4000.0 - 10 * number for number in range(24)],
        [1000 + 500 * math.sin(number) for number in range(24)],
        [1000 + 0.05 * number for number in range(24)],
        [1000 + 100.0 * number for number in range(12)] + [2200.0] * 12,
        [1000 + 100.0 * number for number in range(5)],
    ],
    ids=["even", "a step", "falling", "up and down", "hardly growing", "has grown", "too short"],
)
def test_what_is_no_steady_growth_foretells_nothing(megabytes: list[float]) -> None:
    assert growth(series(megabytes)) is None


def test_only_the_last_two_minutes_count() -> None:
    looks = Growth()
    for number in range(100):
        looks.add(number * 5.0, 1000.0 + (50 * (number - 60) if number > 60 else 0))
    rate = looks.mb_per_min()
    assert rate and abs(rate - 600) < 1


@pytest.mark.parametrize(
    ("limit", "rate", "seconds"),
    [(2000, 100.0, 600), (2000, None, None), (None, 100.0, None), (900, 100.0, None), (1000.1, 100.0, 1)],
)
def test_full_is_where_the_line_meets_the_limit(
    limit: float | None, rate: float | None, seconds: int | None
) -> None:
    assert full_in_s(1000, limit, rate) == seconds


@given(st.lists(st.floats(0, 1e6), max_size=60), st.floats(0.01, 60))
def test_whatever_was_measured_gives_a_rate_or_none(megabytes: list[float], step_s: float) -> None:
    rate = growth(series(megabytes, step_s))
    assert rate is None or (rate >= 1 and math.isfinite(rate))


def test_an_hour_is_kept_and_the_old_part_thinned() -> None:
    history = History()
    for number in range(0, 3 * 3600, 5):
        history.add(float(number), Point(at=1e9 + number, memory_mb=float(number), cpu_percent=1.0))
    points = history.points()
    assert 150 < len(points) < 200
    assert points[0].at >= 1e9 + 2 * 3600 - 5 and points[-1].memory_mb == 3 * 3600 - 5
    assert [point.at for point in points] == sorted(point.at for point in points)
    recent = [point for point in points if point.at > 1e9 + 3 * 3600 - 600]
    assert len(recent) == 119
