"""What was, and where it leads: the last hour of memory and CPU, and when growing memory meets its limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

MB = 1024 * 1024

KEPT_S = 3600.0
FINE_S = 600.0
"""History of this last while is kept as measured; of what is older, one point a minute."""

COARSE_S = 60.0

WINDOW_S = 120.0
"""What an estimate looks back on."""

STEADY_S = 45.0
"""Memory that has not grown for at least this long says nothing about the future."""

_FEWEST = 6
_STEADY = 0.8
_LEAST_MB_PER_MIN = 1.0


@dataclass(frozen=True)
class Point:
    """One measurement: when (epoch seconds), megabytes, percent of one core."""

    at: float
    memory_mb: float
    cpu_percent: float


class History:
    """The last hour, thinned where it is old: some two hundred points."""

    def __init__(self) -> None:
        self._fine: deque[tuple[float, Point]] = deque()
        self._coarse: deque[tuple[float, Point]] = deque()

    def add(self, now: float, point: Point) -> None:
        """Add a measurement; `now` is of a clock that nobody sets, so that a clock put right bends no curve."""
        self._fine.append((now, point))
        while self._fine and self._fine[0][0] < now - FINE_S:
            when, old = self._fine.popleft()
            if not self._coarse or when - self._coarse[-1][0] >= COARSE_S:
                self._coarse.append((when, old))
        while self._coarse and self._coarse[0][0] < now - KEPT_S:
            self._coarse.popleft()

    def points(self) -> list[Point]:
        return [point for _, point in (*self._coarse, *self._fine)]


def growth(points: Sequence[tuple[float, float]]) -> float | None:
    """Megabytes a minute of (seconds, megabytes), or None where memory does not grow steadily.

    A straight line through the last two minutes has to explain what was measured, and its later half has to grow too:
    a step up, however high, is no growth.
    """
    if len(points) < _FEWEST or points[-1][0] - points[0][0] < STEADY_S:
        return None
    slope, explained = _line(points)
    later, _ = _line(points[len(points) // 2 :])
    rate = slope * 60
    if rate < _LEAST_MB_PER_MIN or explained < _STEADY or later < slope / 3:
        return None
    return rate


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope of the line of least squares, and which part of the variance it explains."""
    count = len(points)
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    xx = sum((x - middle_x) ** 2 for x, _ in points)
    yy = sum((y - middle_y) ** 2 for _, y in points)
    xy = sum((x - middle_x) * (y - middle_y) for x, y in points)
    if xx <= 0 or yy <= 0:
        return 0.0, 0.0
    return xy / xx, xy * xy / (xx * yy)


@dataclass
class Growth:
    """The last two minutes of one quantity."""

    window_s: float = WINDOW_S
    _points: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, now: float, megabytes: float) -> None:
        self._points.append((now, megabytes))
        while self._points[0][0] < now - self.window_s:
            self._points.popleft()

    def mb_per_min(self) -> float | None:
        return growth(list(self._points))


def full_in_s(used_mb: float, limit_mb: float | None, mb_per_min: float | None) -> int | None:
    """Seconds until growing memory reaches its limit, or None where it does not grow, is there already or has none."""
    if limit_mb is None or mb_per_min is None or mb_per_min <= 0 or used_mb >= limit_mb:
        return None
    return max(1, round((limit_mb - used_mb) / mb_per_min * 60))
