"""What the notebook's extension costs: a server that does not start is counted, and the page is kept round by round."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import extension_cost
from benchmarks.attempts import DidNotStartError
from benchmarks.steps import BROKEN_OFF


def test_an_extension_whose_server_does_not_start_is_counted_and_compared_by_the_other_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = 0

    @contextmanager
    def server(_: str, extensions: tuple[str, ...], *__: int) -> Iterator[tuple[int, float, float]]:
        nonlocal number
        number += 1
        # The last of the three rounds of starts.
        if extensions == ("jupyter_afhub",) and 8 < number <= 12:
            raise DidNotStartError("ended with 1")
        yield 0, 1.5 if extensions else 1.0, 0.5

    monkeypatch.setattr(extension_cost, "server", server)
    monkeypatch.setattr(extension_cost, "cpu_s", lambda _: 1.0)
    monkeypatch.setattr(extension_cost, "private_mb", lambda _: 90.0)
    found = {name: extension_cost.Samples() for name in extension_cost.VARIANTS}
    kept: list[int] = []
    extension_cost.measure(sys.executable, 2, 1, 0, 0.01, found, lambda: kept.append(1))
    page = extension_cost.table(found, sys.executable, 0.01, (2, 1))
    assert "jupyter_afhub: 1 of 2 did not start: ended with 1" in page
    assert "| jupyter_afhub | 1.50 s | +500 ms |" in page and "did not come to its end" not in page
    assert "did not come to its end" in extension_cost.table(found, sys.executable, 0.01, (2, 2))
    assert len(kept) == 4


def test_the_extension_s_page_is_written_round_by_round_and_says_where_it_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*given: Any) -> None:
        found, keep = given[-2:]
        for samples in found.values():
            samples.starts.append((1.0, 0.5))
        keep()
        raise KeyboardInterrupt

    page = tmp_path / "page.md"
    monkeypatch.setattr(extension_cost, "measure", measure)
    monkeypatch.setattr(extension_cost, "FAULTS", tmp_path / "fault.log")
    monkeypatch.setattr(sys, "argv", ["extension_cost", "--out", str(page)])
    with pytest.raises(SystemExit) as ended:
        extension_cost.main()
    assert ended.value.code == BROKEN_OFF and "Traceback (" not in capsys.readouterr().err
    text = page.read_text()
    assert "Medians of 1 starts" in text and "**The run did not come to its end:** 24 starts" in text
    assert "nan" not in text
