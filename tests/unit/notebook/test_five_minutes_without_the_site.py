"""Whoever a notebook hears its site through may be away for five minutes: nothing is lost, and nobody is kept waiting.

The minutes are those of the clock that the notebook's way to its site goes by: here it is moved on (passing_time.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from absences import Absence, without_hub, without_shadow
from ready_python import ReadyPython

AWAY_S = 300.0
STEP_S = 0.5
"""By how much time is moved on at once. Between two steps the server is asked something: then its other threads had
their turn as well, and a notebook that asks too often is seen to."""


@pytest.fixture(params=["shadow", "hub"])
def absence(request: pytest.FixtureRequest, ready_python: ReadyPython, tmp_path: Path) -> Iterator[Absence]:
    """A notebook whose shadow, or hub, has just gone away."""
    with {"shadow": without_shadow, "hub": without_hub}[request.param](ready_python, tmp_path) as absence:
        yield absence


def answers_at_once(absence: Absence) -> None:
    begun = time.monotonic()
    assert absence.server.status("api/status") == 200
    assert time.monotonic() - begun < 3


def test_the_server_is_as_quick_as_ever_meanwhile(absence: Absence) -> None:
    for _ in range(20):
        answers_at_once(absence)


def test_who_is_back_after_five_minutes_is_heard_again(absence: Absence) -> None:
    gone = absence.clock.monotonic()
    while absence.clock.monotonic() - gone < AWAY_S:
        absence.clock.passes(STEP_S)
        answers_at_once(absence)
    away_s = absence.clock.monotonic() - gone
    (problem,) = absence.server.info()["problems"]
    said = re.search(r"has not answered for (\d+) minutes", problem)
    assert said and int(said[1]) >= 4, problem
    assert 3 < absence.asked() < away_s / 7.5, "asked again and again, but without a storm of questions"
    absence.come_back()
    back = absence.clock.monotonic()
    while not absence.asked():
        # After the longest pause between two attempts, at the latest.
        assert absence.clock.monotonic() - back < 100, absence.server.info()["problems"]
        absence.clock.passes(STEP_S)
        answers_at_once(absence)
    assert absence.tab.hears("notice")["notice"]["text"] == "Back again."
    told = absence.tab.hears("info")["info"]
    assert told["problems"] == [] and told["memory"]["used_mb"] > 10
    assert "Traceback" not in absence.server.log
