"""What users read, from the table in ``words.yml`` and the site's own entries.

Entries are named by their path, as in ``outcome.memory.title``. A site replaces entries in its settings
(``words``); :func:`check` refuses what the table does not know, so that a misspelt name is not ignored.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

#: Names that every entry of a section may use.
_COMMON = {
    "outcome": frozenset({"title", "server", "job", "host", "log", "reason"}),
    "progress": frozenset({"title"}),
}


class WordsError(ValueError):
    """A site's entry that can't be used; the text says which and why."""


def _flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        where = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from _flat(value, where)
        else:
            yield where, value


@cache
def shipped() -> dict[str, str]:
    """The table as it is shipped, by path."""
    text = files("afhub").joinpath("words.yml").read_text(encoding="utf-8")
    return dict(_flat(yaml.safe_load(text)))


def _names(text: str) -> set[str]:
    found = set()
    for _, name, form, conversion in string.Formatter().parse(text):
        if name is None:
            continue
        if form or conversion or not name.isidentifier():
            raise ValueError(f"{{{name}}} is no plain name")
        found.add(name)
    return found


def check(own: Mapping[str, Any]) -> dict[str, str]:
    """A site's entries by path; raises :class:`WordsError` for an entry that the table does not know, one that is no
    text, and one that uses a name that is not filled in there."""
    entries = dict(_flat(own))
    table = shipped()
    for path, text in entries.items():
        if path not in table:
            near = [known for known in table if known.rpartition(".")[0] == path.rpartition(".")[0]]
            hint = f"; there are {', '.join(near)}" if near else ""
            raise WordsError(f"words has the entry {path!r}, which does not exist{hint}")
        if not isinstance(text, str) or not text.strip():
            raise WordsError(f"words entry {path!r} is {text!r}: write a text")
        allowed = _names(table[path]) | _COMMON.get(path.partition(".")[0], frozenset())
        try:
            strange = sorted(_names(text) - allowed)
        except ValueError as error:
            raise WordsError(f"words entry {path!r} can't be filled in: {error}") from error
        if strange:
            known = ", ".join(f"{{{name}}}" for name in sorted(allowed))
            raise WordsError(f"words entry {path!r} uses {{{strange[0]}}}: use {known or 'no names'} there")
    return entries


class Words:
    """The table with a site's entries in it."""

    def __init__(self, own: Mapping[str, Any] | None = None) -> None:
        self._table = {**shipped(), **check(own or {})}

    def __call__(self, path: str, /, **values: object) -> str:
        """The text of an entry with its names filled in."""
        return self._table[path].format(**values).strip()

    def get(self, path: str, default: str = "", /, **values: object) -> str:
        """Like a call; ``default`` where there is no such entry or a value for one of its names is missing."""
        try:
            return self(path, **values)
        except KeyError:
            return default

    def memory(self, megabytes: int) -> str:
        """Megabytes in the unit people use: ``12 GB``, ``1.5 GB``, ``512 MB``."""
        if megabytes >= 1024:
            return self("units.gigabytes", count=f"{megabytes / 1024:.3g}")
        return self("units.megabytes", count=megabytes)

    def _count(self, number: int, one: str, many: str) -> str:
        return self(f"units.{one if number == 1 else many}", count=number)

    def cores(self, number: int) -> str:
        """``1 core``, ``2 cores``."""
        return self._count(number, "core", "cores")

    def duration(self, seconds: int) -> str:
        """``12 hours``, ``1 hour``, ``90 minutes``, ``45 seconds``; whole minutes above one."""
        for size, word in ((3600, "hour"), (60, "minute")):
            if seconds >= size and seconds % size == 0:
                return self._count(seconds // size, word, f"{word}s")
        return (
            self.duration(seconds // 60 * 60) if seconds > 60 else self._count(seconds, "second", "seconds")
        )
