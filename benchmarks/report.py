"""Samples, what is made of them, and how they are written down.

Everything here is arithmetic and text, without a pool: tests/unit/bench checks it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from benchmarks.attempts import Failed, counted

#: Where there is nothing to show.
NOTHING = "–"
BEFORE = "before"


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
    """The samples of one thing that was measured, in one unit.

    failed: attempts that gave no sample; wanted: how many there were to be of both.
    """

    name: str
    values: tuple[float, ...]
    unit: str = "s"
    failed: tuple[Failed, ...] = ()
    wanted: int = 0

    @classmethod
    def of(
        cls,
        name: str,
        values: Iterable[float | Failed],
        *,
        unit: str = "s",
        at_least: int = 1,
        whole: bool = True,
    ) -> Series:
        """A series of at least so many attempts. Those that failed are counted, the others are numbers.

        whole: nothing more will come; otherwise it may be too short, and then it is not `complete`.
        Raises TooFewSamplesError, and ValueError for a sample that is no finite number.
        """
        outcomes = tuple(values)
        taken = tuple(float(value) for value in outcomes if not isinstance(value, Failed))
        failed = tuple(value for value in outcomes if isinstance(value, Failed))
        if whole and len(outcomes) < at_least:
            raise TooFewSamplesError(f"{name}: {len(outcomes)} samples, {at_least} are needed")
        if not all(math.isfinite(value) for value in taken):
            raise ValueError(f"{name}: a sample is no finite number: {taken}")
        return cls(name, taken, unit, failed, max(at_least, len(outcomes)))

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def n_text(self) -> str:
        """How many there are, and of how many where that is not all."""
        return f"{self.n} of {self.wanted}" if self.n < self.wanted else str(self.n)

    @property
    def complete(self) -> bool:
        """Whether all attempts were made, whatever came of them."""
        return self.n + len(self.failed) >= self.wanted

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
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Target:
    """A ratio and the most it may be.

    ratio: None where there is nothing to make it of; failed: how many of our own attempts came to nothing; complete:
    whether all samples are there that it was to be made of.
    """

    what: str
    ratio: float | None
    at_most: float
    failed: int = 0
    complete: bool = True

    @classmethod
    def of(cls, what: str, ours: Series, base: Series, share: float, at_most: float) -> Self:
        """The same quantile of ours over another, made of the attempts that came to something."""
        found = ours.over(base, share) if ours.values and base.values else None
        return cls(what, found, at_most, len(ours.failed), ours.complete and base.complete)

    @property
    def reached(self) -> Reached:
        """A start of ours that fails takes longer than any limit: whatever the others took, it is not reached then."""
        if self.failed:
            return Reached.NO
        if self.ratio is None or not self.complete:
            return Reached.NOT_MEASURED
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
    def begun(self) -> bool:
        """Whether anything was tried for it."""
        return any(one.values or one.failed for one in self.series)

    @property
    def missed(self) -> list[Target]:
        return [target for target in self.targets if target.reached is Reached.NO]


@dataclass(frozen=True)
class Before:
    """The results of a former run. figures: as results.json has them, without what only explains."""

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    figures: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """From the content of a results.json."""
        return cls(
            data["date"],
            data["machine"],
            data["versions"],
            tuple({name: one[name] for name in ("key", "series", "targets")} for one in data["figures"]),
        )

    @property
    def commit(self) -> str:
        return str(self.versions.get("Commit", "unknown"))

    def _rows(self, key: str, kind: str) -> Iterable[Mapping[str, Any]]:
        return next((one[kind] for one in self.figures if one["key"] == key), ())

    def series(self, key: str, name: str) -> Series | None:
        """A series of the same name in the figure of the same key."""
        for one in self._rows(key, "series"):
            if one["name"] == name:
                return Series(name, tuple(one["values"]), one["unit"])
        return None

    def target(self, key: str, what: str) -> Mapping[str, Any] | None:
        """A target of the same words in the figure of the same key."""
        return next((one for one in self._rows(key, "targets") if one["what"] == what), None)


def read(path: Path) -> dict[str, Any]:
    """The content of a results.json. ValueError where that is no such file."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Before.of(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be shown beside new results: {error!r}") from error
    return data


def before(path: Path, commit: str) -> Before | None:
    """The last whole results of another commit: those in the file, or those that it keeps beside its own.

    A run of the same commit takes the place of the last one, and one that broke off is nothing to compare with.
    """
    if not path.is_file():
        return None
    data = read(path)
    found = Before.of(data)
    same = found.commit.partition(",")[0] == commit.partition(",")[0]
    if same or data.get("missing"):
        return Before.of(data["before"]) if data.get("before") else None
    return found


@dataclass(frozen=True)
class Results:
    """All figures of one run, with what they were measured on.

    before: what is shown beside them; missing: measurements that this run did not take to their end; fault: why.
    """

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    figures: tuple[Figure, ...]
    remarks: tuple[str, ...] = field(default=())
    before: Before | None = None
    missing: tuple[str, ...] = ()
    fault: str = ""


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


def _medians(series: Series, base: Series | None) -> tuple[str, str, str]:
    """Median, p95, and the median over that of the first row."""
    if not series.values:
        return NOTHING, NOTHING, ""
    compared = ""
    if base is not None and base.values and base.unit == series.unit:
        compared = ratio(series.over(base, 0.5))
    return number(series.median, series.unit), number(series.p95, series.unit), compared


def _series_table(figure: Figure, former: Before | None) -> str:
    base = figure.series[0]
    head = ["", "n", "median", "p95", "median, over the first row"]
    lines = []
    base_before = former.series(figure.key, base.name) if former else None
    for one in figure.series:
        now = _medians(one, None if one is base else base)
        if former is None:
            lines.append([one.name, one.n_text, *now])
            continue
        then = former.series(figure.key, one.name)
        old = _medians(then, None if one is base else base_before) if then else (NOTHING, NOTHING, "")
        pairs = [cell for pair in zip(now, old, strict=True) for cell in pair]
        lines.append([one.name, one.n_text, *pairs])
    return table(_with_before(head, (2, 3, 4)) if former else head, lines)


def _with_before(head: Sequence[str], columns: Sequence[int]) -> list[str]:
    """Headings with one for the former run behind some of them."""
    return [
        cell
        for place, name in enumerate(head)
        for cell in ((name, f"{name}, {BEFORE}") if place in columns else (name,))
    ]


def _target_cells(figure: Figure, target: Target, former: Before | None) -> list[str]:
    found = NOTHING if target.ratio is None else ratio(target.ratio)
    cells = [target.what, found, ratio(target.at_most), target.reached.value]
    if former is None:
        return cells
    then = former.target(figure.key, target.what)
    if then is None:
        return [target.what, found, NOTHING, *cells[2:], NOTHING]
    old = NOTHING if then["ratio"] is None else ratio(then["ratio"])
    reached = {True: Reached.YES, False: Reached.NO, None: Reached.NOT_MEASURED}[then["reached"]]
    return [target.what, found, old, *cells[2:], reached.value]


def _target_head(former: Before | None) -> list[str]:
    head = ["to reach", "ratio", "at most", "reached"]
    return _with_before(head, (1, 3)) if former else head


def failed_lines(figure: Figure) -> list[str]:
    """What was counted as failed, and what is not there: a line for each way of each series."""
    lines, told = [], set()
    for one in figure.series:
        # Wall and CPU time come from the same starts.
        if one.failed and one.failed not in told:
            told.add(one.failed)
            lines += [f"{one.name}: {line}" for line in counted(one.failed, one.wanted)]
        if not one.complete:
            rest = one.wanted - one.n - len(one.failed)
            lines.append(f"{one.name}: {rest} of {one.wanted} are missing: the run did not get so far.")
    return lines


def figure_text(figure: Figure, former: Before | None = None) -> str:
    """One figure in Markdown, with the former run's numbers beside it."""
    parts = [f"## {figure.title}", figure.about]
    if figure.series:
        parts.append(_series_table(figure, former))
    if figure.targets:
        parts.append(
            table(_target_head(former), [_target_cells(figure, one, former) for one in figure.targets])
        )
    for title, head, rows in figure.tables:
        parts += [f"{title}:", table(head, rows)]
    parts += failed_lines(figure)
    parts += figure.notes
    return "\n\n".join(parts)


def summary(figures: Iterable[Figure], former: Before | None = None) -> str:
    """One line for each target of all figures."""
    rows = [
        [figure.title, *_target_cells(figure, target, former)]
        for figure in figures
        for target in figure.targets
    ]
    return table(["figure", *_target_head(former)], rows)


def facts_table(facts: Mapping[str, str], former: Before | None = None) -> str:
    """What was measured on, and what the former run was measured on."""
    if former is None:
        return table(("machine and versions", ""), facts.items())
    then = {**former.machine, **former.versions}
    rows = [(name, value, then.get(name, NOTHING)) for name, value in facts.items()]
    return table(("machine and versions", "", BEFORE), rows)


def beside(former: Before | None) -> list[str]:
    """What the columns of the former run are."""
    if former is None:
        return []
    return [
        f"*{BEFORE.capitalize()}*: the run of {former.date} on commit {former.commit}, with the machine of that day."
    ]


def unfinished(missing: Sequence[str], fault: str) -> list[str]:
    """What a run did not take to its end, and why."""
    if not missing:
        return []
    why = f" The run broke off in {fault}." if fault else ""
    return [f"**Not in this run, or not to the end: {', '.join(missing)}.**{why}"]


def results_text(results: Results) -> str:
    """The whole of results.md."""
    parts = [
        "# Results of make bench",
        f"Written by `make bench` on {results.date}. How each figure is measured: [README.md](README.md). "
        "All samples: [results.json](results.json).",
        facts_table({**results.machine, **results.versions}, results.before),
        *beside(results.before),
        *unfinished(results.missing, results.fault),
        *results.remarks,
        summary(results.figures, results.before),
        *(figure_text(figure, results.before) for figure in results.figures),
    ]
    return "\n\n".join(parts) + "\n"


def results_json(results: Results) -> dict[str, Any]:
    """The same with every sample, for programs. What is not the case has no entry."""
    data = asdict(results)
    for figure, shown in zip(results.figures, data["figures"], strict=True):
        for one, series in zip(figure.series, shown["series"], strict=True):
            series.update(n=one.n, median=None, p95=None)
            if one.values:
                series.update(median=one.median, p95=one.p95)
            if one.n >= one.wanted:
                del series["failed"], series["wanted"]
        for target, row in zip(figure.targets, shown["targets"], strict=True):
            row["reached"] = {Reached.YES: True, Reached.NO: False}.get(target.reached)
            if not target.failed:
                del row["failed"]
            if target.complete:
                del row["complete"]
    for name in ("before", "missing", "fault"):
        if not data[name]:
            del data[name]
    return data


def write(results: Results, folder: Path) -> None:
    """Writes results.md and results.json into a folder; both or, when something is wrong, neither."""
    text = results_text(results)
    data = json.dumps(results_json(results), indent=1, ensure_ascii=False) + "\n"
    replace({folder / "results.md": text, folder / "results.json": data})


def replace(files: Mapping[Path, str]) -> None:
    """Writes files that belong together. Each is the old or the new one at any moment, never a half of it."""
    new = {path: path.with_name(f".{path.name}.new") for path in files}
    try:
        for path, text in files.items():
            with new[path].open("w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
        for path, written in new.items():
            written.replace(path)
    finally:
        for written in new.values():
            written.unlink(missing_ok=True)
