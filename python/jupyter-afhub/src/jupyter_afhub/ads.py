"""What HTCondor tells a job about itself: the job's and the machine's ad, in the files it leaves for the job.

The ads are read once. Nothing in them is needed to serve a notebook: what is absent, unreadable or of another form than
expected is unknown, and a problem in words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

JOB_AD = "_CONDOR_JOB_AD"
MACHINE_AD = "_CONDOR_MACHINE_AD"
SCRATCH = "_CONDOR_SCRATCH_DIR"
SLOT = "_CONDOR_SLOT"

LARGEST_AD = 4 * 1024 * 1024
"""Bytes of an ad that are read; real ones have some tens of thousands."""

_ATTRIBUTE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*?)\s*")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_REAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d{1,3})?")


def in_job(environ: Mapping[str, str]) -> bool:
    """Whether HTCondor started us: it gives every job a scratch folder and its ad."""
    return bool(environ.get(JOB_AD) or environ.get(SCRATCH))


def unquoted(text: str) -> str | None:
    """The string that a string literal stands for, or None where the text is none.

    HTCondor writes ads, and answers of its shadow, with a backslash before each quote and everything else as it is.
    """
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    return text[1:-1].replace('\\"', '"')


@dataclass(frozen=True)
class Ad:
    """Attributes by their names, which have no case. A value that is no literal counts as unknown."""

    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Ad:
        """Read the long form, one `Name = expression` a line; other lines are passed over."""
        values: dict[str, str] = {}
        for line in text.splitlines():
            found = _ATTRIBUTE.fullmatch(line)
            if found:
                values[found.group(1).lower()] = found.group(2)
        return cls(values)

    def text(self, name: str) -> str | None:
        """The attribute where it is a string."""
        value = self.values.get(name.lower())
        return None if value is None else unquoted(value)

    def integer(self, name: str) -> int | None:
        """The attribute where it is a number; one with a fraction loses it."""
        value = self.values.get(name.lower(), "")
        if _INTEGER.fullmatch(value):
            return int(value)
        if _REAL.fullmatch(value):
            number = float(value)
            return int(number) if abs(number) < 1e18 else None
        return None


@dataclass(frozen=True)
class Ads:
    """Both ads, and what was wrong with them."""

    job: Ad = field(default_factory=Ad)
    machine: Ad = field(default_factory=Ad)
    problems: tuple[str, ...] = ()


def read(environ: Mapping[str, str]) -> Ads:
    """Both ads of this job; outside of one they are empty."""
    if not in_job(environ):
        return Ads()
    problems: list[str] = []
    found: list[Ad] = []
    for variable, what in ((JOB_AD, "job"), (MACHINE_AD, "machine")):
        ad, problem = _read(environ.get(variable), what)
        found.append(ad)
        if problem:
            problems.append(problem)
    return Ads(found[0], found[1], tuple(problems))


def _read(path: str | None, what: str) -> tuple[Ad, str | None]:
    if not path:
        return Ad(), f"HTCondor names no file with the ad of the {what}."
    try:
        # A pipe or a device in place of the file must not be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(LARGEST_AD) or b""
    except OSError as error:
        return Ad(), f"The ad of the {what} can't be read ({Path(path).name}: {error.strerror})."
    ad = Ad.parse(content.decode(errors="replace"))
    if not ad.values:
        return ad, f"The ad of the {what} has no attribute ({Path(path).name})."
    return ad, None
