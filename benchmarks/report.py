"""Samples, what is made of them, and how they are written down.

Everything here is arithmetic and text, without a pool: tests/unit/bench checks it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class TooFewSamplesError(ValueError):
    """A figure was to be made of fewer samples than were promised for it."""


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the samples lie, interpolated between the two nearest."""
    if not values:
        raise TooFewSamplesError("no samples")
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not {share}")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True)
class Series:
    """The samples of one thing that was measured, in one unit."""

    name: str
    values: tuple[float, ...]
    unit: str = "s"

    @classmethod
    def of(cls, name: str, values: Iterable[float], *, unit: str = "s", at_least: int = 1) -> Series:
        """A series of at least so many samples, all of them numbers.

        Raises TooFewSamplesError, and ValueError for a sample that is no finite number.
        """
        taken = tuple(float(value) for value in values)
        if len(taken) < at_least:
            raise TooFewSamplesError(f"{name}: {len(taken)} samples, {at_least} are needed")
        if not all(math.isfinite(value) for value in taken):
            raise ValueError(f"{name}: a sample is no finite number: {taken}")
        return cls(name, taken, unit)

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def median(self) -> float:
        return quantile(self.values, 0.5)

    @property
    def p95(self) -> float:
        return quantile(self.values, 0.95)

    def over(self, base: Series, share: float) -> float:
        """This series' quantile over the same quantile of another one in the same unit."""
        if self.unit != base.unit:
            raise ValueError(f"{self.name} is in {self.unit}, {base.name} in {base.unit}")
        below = quantile(base.values, share)
        if below <= 0:
            raise ValueError(f"{base.name} is {below}: nothing can be a multiple of it")
        return quantile(self.values, share) / below


class Reached(StrEnum):
    """Whether a figure is what it was to be."""

    YES = "yes"
    NO = "no"


@dataclass(frozen=True)
class Target:
    """A ratio and the most it may be."""

    what: str
    ratio: float
    at_most: float

    @property
    def reached(self) -> Reached:
        return Reached.YES if self.ratio <= self.at_most else Reached.NO


@dataclass(frozen=True)
class Figure:
    """One figure: what was measured, beside what, and what it was to reach.

    title: its heading; about: how it was measured; series: all series, the first is ours;
    targets: none where a figure is only shown; tables: further tables as (title, head, rows);
    notes: where time goes, and what was out of the ordinary.
    """

    key: str
    title: str
    about: str
    series: tuple[Series, ...]
    targets: tuple[Target, ...] = ()
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def missed(self) -> list[Target]:
        return [target for target in self.targets if target.reached is Reached.NO]


@dataclass(frozen=True)
class Results:
    """All figures of one run, with what they were measured on."""

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    figures: tuple[Figure, ...]
    remarks: tuple[str, ...] = field(default=())


def number(value: float, unit: str = "") -> str:
    """A number with three figures that count, and no more decimals than help."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{decimals}f}" + (f" {unit}" if unit else "")


def ratio(value: float) -> str:
    """A ratio with the digits that tell it from a limit."""
    return f"{value:.3f}×" if value >= 0.1 else f"{value:.4f}×"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown. A bar inside a cell is escaped."""
    lines: list[Sequence[str]] = [head, ["---"] * len(head), *rows]
    for row in lines:
        if len(row) != len(head):
            raise ValueError(f"{len(row)} cells under {len(head)} headings: {row}")
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )


def figure_text(figure: Figure) -> str:
    """One figure in Markdown."""
    parts = [f"## {figure.title}", figure.about]
    if figure.series:
        base = figure.series[0]
        lines: list[Sequence[str]] = []
        for one in figure.series:
            compared = "" if one is base or one.unit != base.unit else ratio(one.over(base, 0.5))
            lines.append(
                (one.name, str(one.n), number(one.median, one.unit), number(one.p95, one.unit), compared)
            )
        parts.append(table(("", "n", "median", "p95", "median, over the first row"), lines))
    if figure.targets:
        parts.append(
            table(
                ("to reach", "ratio", "at most", "reached"),
                [
                    (target.what, ratio(target.ratio), ratio(target.at_most), target.reached.value)
                    for target in figure.targets
                ],
            )
        )
    for title, head, rows in figure.tables:
        parts += [f"{title}:", table(head, rows)]
    parts += figure.notes
    return "\n\n".join(parts)


def summary(figures: Iterable[Figure]) -> str:
    """One line for each target of all figures."""
    rows = [
        (figure.title, target.what, ratio(target.ratio), ratio(target.at_most), target.reached.value)
        for figure in figures
        for target in figure.targets
    ]
    return table(("figure", "to reach", "ratio", "at most", "reached"), rows)


def results_text(results: Results) -> str:
    """The whole of results.md."""
    facts = [(name, value) for name, value in (*results.machine.items(), *results.versions.items())]
    parts = [
        "# Results of make bench",
        f"Written by `make bench` on {results.date}. How each figure is measured: [README.md](README.md). "
        "All samples: [results.json](results.json).",
        table(("machine and versions", ""), facts),
        *results.remarks,
        summary(results.figures),
        *(figure_text(figure) for figure in results.figures),
    ]
    return "\n\n".join(parts) + "\n"


def results_json(results: Results) -> dict[str, Any]:
    """The same with every sample, for programs."""
    data = asdict(results)
    for figure, shown in zip(results.figures, data["figures"], strict=True):
        for one, series in zip(figure.series, shown["series"], strict=True):
            series.update(n=one.n, median=one.median, p95=one.p95)
        for target, row in zip(figure.targets, shown["targets"], strict=True):
            row["reached"] = target.reached is Reached.YES
    return data


def write(results: Results, folder: Path) -> None:
    """Writes results.md and results.json into a folder; both or, when something is wrong, neither."""
    text = results_text(results)
    data = json.dumps(results_json(results), indent=1, ensure_ascii=False) + "\n"
    (folder / "results.md").write_text(text, encoding="utf-8")
    (folder / "results.json").write_text(data, encoding="utf-8")
