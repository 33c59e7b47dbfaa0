"""`make repeat` runs one test again and again and says how often it failed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import repeat


@pytest.fixture
def runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Repeats a test whose runs end with these codes; gives the exit code and what was said."""

    def run(*codes: int, times: int | None = None, stop: bool = False) -> tuple[int, str]:
        left = list(codes)

        def pytest_run(*arguments: str) -> subprocess.CompletedProcess[str]:
            if "--collect-only" in arguments:
                return subprocess.CompletedProcess(
                    (), 0, "tests/unit/x/test_x.py::test_a\n\n1 test collected\n"
                )
            assert arguments == ("tests/unit/x/test_x.py::test_a",)
            code = left.pop(0)
            return subprocess.CompletedProcess(
                (), code, "FAILED tests/x::test_a - AssertionError: no\n" * code
            )

        monkeypatch.setattr(repeat, "pytest", pytest_run)
        monkeypatch.setattr(repeat, "ROOT", tmp_path)
        monkeypatch.setattr(repeat, "RESULTS", tmp_path / "results")
        return repeat.main("test_a", str(times or len(codes)), stop=stop), capsys.readouterr().out

    return run


def test_failures_are_counted_and_what_they_said_is_kept(
    runs: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, said = runs(0, 1, 0, 1)
    assert code == 1 and said.endswith("2 of 4 failed.\n")
    assert said.count("AssertionError: no") == 2
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["2.log", "4.log"]


def test_with_none_it_ends_well(runs: Callable[..., tuple[int, str]]) -> None:
    code, said = runs(0, 0, 0)
    assert code == 0 and said.startswith("1 test, 3 times:\n  tests/unit/x/test_x.py::test_a\n")
    assert said.endswith("0 of 3 failed.\n")


def test_it_can_end_at_the_first(runs: Callable[..., tuple[int, str]]) -> None:
    code, said = runs(0, 1, times=20, stop=True)
    assert code == 1 and said.endswith("1 of 2 failed.\n")


def test_pytest_that_does_not_run_is_no_failure_of_the_test(runs: Callable[..., tuple[int, str]]) -> None:
    with pytest.raises(SystemExit, match="ended with 3 in run 2"):
        runs(0, 3)


@pytest.mark.parametrize("times", ["", "0", "-1", "many"])
def test_a_number_that_is_none_is_told(times: str) -> None:
    with pytest.raises(SystemExit, match="What to do: N=20"):
        repeat.main("test_a", times, stop=False)


def test_a_test_that_does_not_exist_is_told() -> None:
    with pytest.raises(SystemExit, match="no test is meant by T=tests/unit/tools/test_repeat"):
        repeat.main("tests/unit/tools/test_repeat_counts_failures.py::test_none", "1", stop=False)
