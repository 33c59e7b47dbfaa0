"""What was measured is written, whatever ends the run; and it says what is missing, and why, in a line."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import machine, report, steps
from benchmarks.attempts import Failed
from benchmarks.burst import Burst
from benchmarks.click_to_lab import Click
from benchmarks.figures import BUSY, BY_HAND, OURS, QUICK, STOCK, STOCK_SETTINGS
from benchmarks.queue_cost import Cost, StockCost
from benchmarks.report import Figure, Series
from benchmarks.steps import BROKEN_OFF, State, Step
from minipool import Minipool

Keep = Callable[[], None]


class FakeRun:
    """Measures nothing and has samples all the same. `end`: what happens in the middle of the bursts."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.taken, self.sizes, self.stock_pool = bench.Taken(), QUICK, object()

    @staticmethod
    def end() -> None:
        """Nothing happens."""

    def say(self, text: str) -> None:
        sys.stdout.write(text)

    def starts(self, _: Keep) -> None:
        for starts in self.taken.starts.values():
            starts.add((1.0, 0.8))
            starts.add((1.1, 0.9))

    def clicks(self, keep: Keep) -> None:
        for name in (OURS, BY_HAND, OURS + BUSY, STOCK, STOCK + BUSY):
            for seconds in (4.0, 4.1) if not name.startswith(STOCK) else (9.0,):
                self.taken.of(name).append(Click({"begun": 0.0, "usable": seconds}))
        keep()

    def bursts(self, keep: Keep) -> None:
        self.taken.bursts.append((Burst(0.1, (1.0, 2.0, 3.0, 4.0)), {"hub": 1.0}))
        keep()
        self.end()

    def queue(self, keep: Keep) -> None:
        for size in QUICK.queues:
            self.taken.queues[size] = Cost((1.0,), 0.5, 0.5)
            self.taken.questions[size] = StockCost(5, 0.1, 0.1, 0.1, 0)
            keep()

    def stock_settings(self, keep: Keep) -> None:
        for name in (STOCK_SETTINGS, STOCK_SETTINGS + BUSY):
            self.taken.of(name).append(Click({"begun": 0.0, "usable": 17.0}))
            keep()


@pytest.fixture(name="out")
def _out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(bench, "Run", FakeRun)
    monkeypatch.setattr(bench, "FAULTS", tmp_path / "logs/fault.log")
    monkeypatch.setattr(Minipool, "from_environment", lambda: None)
    monkeypatch.setattr(machine, "versions", lambda _: {"HTCondor": "23.9.6", "Commit": "2222"})
    monkeypatch.setattr(machine, "commit", lambda: "2222")
    monkeypatch.setattr(FakeRun, "end", staticmethod(lambda: None))
    return out


def measured(out: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[int, dict[str, Any], str]:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--out", str(out), *more])
    try:
        code = bench.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    path = out / "results.json"
    data = json.loads(path.read_text()) if path.exists() else {}
    return code, data, (out / "results.md").read_text() if path.exists() else ""


def figure(data: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in data["figures"] if one["key"] == key)


def raises(error: BaseException) -> Any:
    def end() -> None:
        raise error

    return staticmethod(end)


def test_a_run_that_comes_to_its_end_has_every_figure_and_nothing_missing(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, data, text = measured(out, monkeypatch)
    assert code == 0
    assert tuple(one["key"] for one in data["figures"]) == bench.ORDER
    assert "missing" not in data and "Not in this run" not in text and "not measured" not in text
    assert not list(out.parent.glob("logs/*")) and sorted(path.name for path in out.iterdir()) == [
        "results.json",
        "results.md",
    ]


@pytest.mark.parametrize("error", [KeyError("a bug in the third measurement"), KeyboardInterrupt()])
def test_what_was_measured_before_a_fault_in_the_third_measurement_is_written_and_the_rest_named(
    error: BaseException, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeRun, "end", raises(error))
    code, data, text = measured(out, monkeypatch)
    assert code == BROKEN_OFF
    missing = ["bursts", "queues", "clicks with stock HTCondor settings"]
    assert data["missing"] == missing
    assert [one["key"] for one in data["figures"]] == list(bench.ORDER[:4])
    assert figure(data, "click_to_lab")["series"][0]["values"] == [4.0, 4.1]
    # The burst that was done before is there as well.
    assert figure(data, "burst")["series"][0]["values"] == [4.0]
    assert f"**Not in this run, or not to the end: {', '.join(missing)}.**" in text
    said = capsys.readouterr().err
    assert f"Missing: {', '.join(missing)}." in said and "Traceback (" not in said
    log = (out.parent / "logs/fault.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert json.loads(log.splitlines()[-1])["bursts"][0][1] == {"hub": 1.0}


def test_a_request_to_end_is_an_interruption_and_not_the_end_of_what_was_measured(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeRun, "end", staticmethod(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    code, data, _ = measured(out, monkeypatch)
    assert code == BROKEN_OFF and data["fault"] == "bursts: interrupted"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_after_each_measurement_the_files_say_what_is_still_to_come(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        FakeRun, "end", staticmethod(lambda: seen.update(json.loads((out / "results.json").read_text())))
    )
    assert measured(out, monkeypatch)[0] == 0
    assert seen["missing"] == ["bursts", "queues", "clicks with stock HTCondor settings"]
    assert "fault" not in seen


def test_a_measurement_that_broke_off_is_not_reached(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clicks(self: FakeRun, keep: Keep) -> None:
        self.taken.of(OURS).append(Click({"begun": 0.0, "usable": 1.0}))
        self.taken.of(BY_HAND).append(Click({"begun": 0.0, "usable": 4.0}))
        raise RuntimeError("the agent on worker1 ended")

    monkeypatch.setattr(FakeRun, "clicks", clicks)
    _, data, text = measured(out, monkeypatch)
    assert [target["reached"] for target in figure(data, "click_to_lab")["targets"]] == [None, None]
    assert "| p50, over by hand | 0.250× | 1.150× | not measured |" in text
    assert f"| {OURS} | 1 of 2 | 1.00 s | 1.00 s |  |" in text
    assert f"{OURS}: 1 of 2 are missing: the run did not get so far." in text


def test_a_run_without_a_sample_leaves_the_former_results_alone(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(out, monkeypatch)
    earlier = (out / "results.json").read_text()

    def nothing(*_: Any, **__: Any) -> None:
        raise RuntimeError("alice cannot log in")

    monkeypatch.setattr(FakeRun, "starts", nothing)
    capsys.readouterr()
    assert measured(out, monkeypatch)[0] == BROKEN_OFF
    assert (out / "results.json").read_text() == earlier
    assert "nothing is written" in capsys.readouterr().out
    monkeypatch.setattr(bench, "Run", nothing)
    assert measured(out, monkeypatch)[0] == BROKEN_OFF
    assert (out / "results.json").read_text() == earlier
    assert "The run broke off: alice cannot log in" in capsys.readouterr().err


def test_figures_that_were_not_asked_for_are_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, data, _ = measured(out, monkeypatch, "--only", "burst", "queue")
    assert code == 0 and data["missing"] == ["clicks", "starts"]
    assert [one["key"] for one in data["figures"]] == ["burst", "queue_cost"]
    assert measured(out, monkeypatch, "--without-stock")[1]["missing"] == ["stock batchspawner"]


def test_the_last_results_of_another_commit_stand_beside_those_of_this_one_and_stay_there(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "versions", lambda _: {"HTCondor": "23.0.0", "Commit": "1111, with changes"})
    _, former, text = measured(out, monkeypatch)
    assert "before" not in former and "before" not in text
    monkeypatch.setattr(machine, "versions", lambda _: {"HTCondor": "23.9.6", "Commit": "2222"})
    # The second run of this commit takes the place of its first.
    for _ in range(2):
        _, data, text = measured(out, monkeypatch)
        assert data["before"]["versions"]["Commit"] == "1111, with changes"
        assert "| HTCondor | 23.9.6 | 23.0.0 |" in text
        assert "|  | n | median | median, before | p95 | p95, before | median, over the first row |" in text
    # And one that broke off is nothing to compare with, for any commit.
    monkeypatch.setattr(FakeRun, "end", raises(RuntimeError("the pool died")))
    measured(out, monkeypatch)
    monkeypatch.setattr(machine, "commit", lambda: "3333")
    monkeypatch.setattr(FakeRun, "end", staticmethod(lambda: None))
    assert measured(out, monkeypatch)[1]["before"]["versions"]["Commit"] == "1111, with changes"


def test_a_file_of_former_results_can_be_named_and_one_that_is_none_is_told_at_once(
    out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(out, monkeypatch)
    kept = tmp_path / "kept.json"
    (out / "results.json").rename(kept)
    assert measured(out, monkeypatch, "--before", str(kept))[1]["before"]["versions"]["Commit"] == "2222"
    kept.write_text("{")
    assert measured(out, monkeypatch, "--before", str(kept))[0] == BROKEN_OFF
    assert "kept.json cannot be shown beside new results" in capsys.readouterr().err


def test_figures_that_cannot_be_made_do_not_take_the_others_along(tmp_path: Path) -> None:
    def broken() -> list[Figure]:
        raise ZeroDivisionError("no figure")

    good = Figure("good", "Good", "", (Series.of("ours", [1.0]),))
    written: list[State] = []
    code = steps.run(
        [Step("one", lambda _: None, lambda: [good]), Step("two", lambda _: None, broken)],
        written.append,
        raw=lambda: {"two": [1, Failed("why", 0.0)]},
        log=tmp_path / "log",
    )
    assert code == BROKEN_OFF
    assert written[-1] == State((good,), ("two",), "two: no figure")
    assert '"reason": "why"' in (tmp_path / "log").read_text()


def test_files_are_replaced_together_and_a_disk_that_is_full_leaves_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    report.replace({one: "old", two: "old"})

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        report.replace({one: "new", two: "new"})
    assert one.read_text() == two.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
