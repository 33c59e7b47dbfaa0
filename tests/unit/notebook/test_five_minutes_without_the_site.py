"""Whoever a notebook hears its site through may be away for five minutes: nothing is lost, and nobody is kept waiting.

These minutes are real. They begin with the first test of this folder and pass beside the others (see conftest.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import pytest

from absences import Absence


@pytest.mark.parametrize("who", ["shadow", "hub"])
def test_the_server_is_as_quick_as_ever_meanwhile(absences: Mapping[str, Absence], who: str) -> None:
    for _ in range(20):
        begun = time.monotonic()
        assert absences[who].server.status("api/status") == 200
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("who", ["shadow", "hub"])
def test_who_is_back_after_five_minutes_is_heard_again(
    absences_over: Mapping[str, Absence], who: str
) -> None:
    absence = absences_over[who]
    (problem,) = absence.problems
    said = re.search(r"has not answered for (\d+) minutes", problem)
    # More where the other tests take longer than five minutes.
    assert said and int(said[1]) >= 4, problem
    assert 3 < absence.asked < absence.away_s / 7.5, "asked again and again, but without a storm of questions"
    # After the longest pause between two attempts, at the latest.
    assert absence.tab.hears("notice", within_s=100)["notice"]["text"] == "Back again."
    told = absence.tab.hears("info")["info"]
    assert told["problems"] == [] and told["memory"]["used_mb"] > 10
    assert "Traceback" not in absence.server.log
