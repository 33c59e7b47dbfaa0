"""Which limit is near: warnings that come once for each crossing of a threshold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from jupyter_afhub.words import amount, duration, iso

Kind = Literal["memory", "time", "growth"]
Level = Literal["warning", "error"]

MEMORY_PERCENT: dict[int, Level] = {80: "warning", 95: "error"}
BACK_PERCENT = 5
"""How far memory has to fall below a threshold before the same threshold warns again."""

TIME_LEFT_S: dict[int, Level] = {1800: "warning", 600: "warning", 120: "error"}
SHORT_S = 600
"""A notebook that has less than this from the beginning is told at its start."""

FULL_IN_S = 600
"""Growing memory warns when it is full in less than this, and is forgotten when it is twice as long."""


@dataclass(frozen=True)
class Kernel:
    """The kernel a warning is about."""

    id: str
    name: str
    path: str | None
    memory_mb: float
    growth_mb_per_min: float | None = None

    def as_json(self) -> dict[str, object]:
        return {"id": self.id, "name": self.name, "path": self.path, "memory_mb": round(self.memory_mb, 1)}

    @property
    def title(self) -> str:
        """What its user calls it: the notebook's file, else the kernel's kind."""
        return self.path.rpartition("/")[2] if self.path else self.name


@dataclass(frozen=True)
class Crossing:
    """A threshold that was crossed. `at` is in epoch seconds; the schema calls this a warning."""

    id: str
    kind: Kind
    level: Level
    title: str
    text: str
    at: float
    threshold: int | None
    kernel: Kernel | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id, "kind": self.kind, "level": self.level, "title": self.title, "text": self.text,
            "at": iso(self.at), "kernel": self.kernel.as_json() if self.kernel else None, "threshold": self.threshold,
        }  # fmt: skip


@dataclass(frozen=True)
class State:
    """What the thresholds are compared with; None is unknown."""

    at: float
    used_mb: float
    limit_mb: float | None
    mb_per_min: float | None = None
    full_in_s: int | None = None
    time_left_s: int | None = None
    runtime_s: int | None = None
    kernels: tuple[Kernel, ...] = ()


@dataclass(frozen=True)
class Change:
    """What a look at the state has brought: what began, and the ids of what is over."""

    began: tuple[Crossing, ...] = ()
    over: tuple[str, ...] = ()


@dataclass
class Crossings:
    """Which thresholds are crossed now."""

    active: dict[tuple[Kind, int | None], Crossing] = field(default_factory=dict)
    _count: int = 0
    _time_seen: set[int] | None = None

    def look(self, state: State) -> Change:
        """Compare with the thresholds. Of several that are crossed at once only the most urgent warns."""
        over = [*self._memory_over(state), *self._growth_over(state)]
        began = [*self._memory_began(state), *self._time_began(state)]
        if not self._of("memory"):
            began += self._growth_began(state)
        return Change(tuple(began), tuple(over))

    def warnings(self) -> list[Crossing]:
        """What is crossed now, the latest last; of one kind only the most urgent."""
        shown: dict[Kind, Crossing] = {}
        for crossing in sorted(self.active.values(), key=_urgency):
            shown[crossing.kind] = crossing
        return sorted(shown.values(), key=lambda crossing: crossing.at)

    def _of(self, kind: Kind) -> list[Crossing]:
        return [crossing for crossing in self.active.values() if crossing.kind == kind]

    def _memory_over(self, state: State) -> Iterable[str]:
        percent = _percent(state)
        for threshold in MEMORY_PERCENT:
            if percent is not None and percent < threshold - BACK_PERCENT:
                gone = self.active.pop(("memory", threshold), None)
                if gone:
                    yield gone.id

    def _memory_began(self, state: State) -> list[Crossing]:
        percent = _percent(state)
        if percent is None or state.limit_mb is None:
            return []
        crossed = [
            threshold
            for threshold in MEMORY_PERCENT
            if percent >= threshold and ("memory", threshold) not in self.active
        ]
        kernel = _culprit(state.kernels)
        text = f"{amount(state.used_mb)} of {amount(state.limit_mb)} are used."
        if kernel:
            text += f" {kernel.title} has {amount(kernel.memory_mb)}"
            text += (
                f" and grows by {amount(kernel.growth_mb_per_min)} a minute."
                if kernel.growth_mb_per_min
                else "."
            )
        if state.full_in_s is not None:
            text += f" At this rate it is full in {duration(state.full_in_s)}."
        text += f" Above {amount(state.limit_mb)} the notebook is stopped."
        made = [
            self._begin(
                state,
                "memory",
                MEMORY_PERCENT[threshold],
                f"Memory is {percent:.0f} % full",
                text,
                threshold,
                kernel,
            )
            for threshold in crossed
        ]
        # Whoever jumps over both hears of the higher one.
        return made[-1:]

    def _time_began(self, state: State) -> list[Crossing]:
        if state.time_left_s is None:
            return []
        if self._time_seen is None:
            runtime_s = state.runtime_s or 0
            self._time_seen = {threshold for threshold in TIME_LEFT_S if threshold >= runtime_s}
            if self._time_seen and min(self._time_seen) <= SHORT_S:
                self._time_seen.discard(min(self._time_seen))
        crossed = [
            threshold
            for threshold in TIME_LEFT_S
            if state.time_left_s <= threshold and threshold not in self._time_seen
        ]
        if not crossed:
            return []
        self._time_seen.update(crossed)
        threshold = min(crossed)
        for key in [key for key in self.active if key[0] == "time"]:
            del self.active[key]
        left = duration(state.time_left_s)
        text = f"The time of this notebook is over in {left}: then it is stopped. Save what you need."
        return [self._begin(state, "time", TIME_LEFT_S[threshold], f"{left} left", text, threshold, None)]

    def _growth_over(self, state: State) -> Iterable[str]:
        if self._of("growth") and (
            self._of("memory") or state.full_in_s is None or state.full_in_s > 2 * FULL_IN_S
        ):
            yield self.active.pop(("growth", None)).id

    def _growth_began(self, state: State) -> list[Crossing]:
        if self._of("growth") or state.full_in_s is None or state.full_in_s > FULL_IN_S or not state.limit_mb:
            return []
        kernel = _culprit(state.kernels)
        what = kernel.title if kernel else "The notebook"
        text = (
            f"{what} grows by {amount(state.mb_per_min or 0)} a minute. "
            f"{amount(state.used_mb)} of {amount(state.limit_mb)} are used."
        )
        title = f"Memory will be full in about {duration(state.full_in_s)}"
        return [self._begin(state, "growth", "warning", title, text, None, kernel)]

    def _begin(
        self,
        state: State,
        kind: Kind,
        level: Level,
        title: str,
        text: str,
        threshold: int | None,
        kernel: Kernel | None,
    ) -> Crossing:
        self._count += 1
        name = kind if threshold is None else f"{kind}-{threshold}"
        crossing = Crossing(f"{name}-{self._count}", kind, level, title, text, state.at, threshold, kernel)
        self.active[kind, threshold] = crossing
        return crossing


def _percent(state: State) -> float | None:
    return state.used_mb / state.limit_mb * 100 if state.limit_mb else None


def _urgency(crossing: Crossing) -> tuple[bool, float]:
    return (crossing.level == "error", crossing.at)


def _culprit(kernels: Iterable[Kernel]) -> Kernel | None:
    """The kernel that grows fastest, or, where none grows, the largest."""
    return max(kernels, key=lambda kernel: (kernel.growth_mb_per_min or 0, kernel.memory_mb), default=None)
