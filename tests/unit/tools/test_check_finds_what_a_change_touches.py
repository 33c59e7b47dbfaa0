"""Which unit tests `make check` runs: those that import or read what has changed, and never silently none."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import check

FOLDERS = sorted(path.name for path in (check.ROOT / check.UNIT).iterdir() if any(path.glob("test_*.py")))
# What tests import, by where it lies.
PACKAGES = {
    "afhub": "python/afhub/src/afhub/",
    "afhub_outsource": "python/afhub-outsource/src/afhub_outsource/",
    "benchmarks": "benchmarks/",
    "jupyter_afhub": "python/jupyter-afhub/src/jupyter_afhub/",
    "site_rules": "ansible/filter_plugins/site_rules.py",
    **{path.stem: f"tools/{path.name}" for path in (check.ROOT / "tools").glob("*.py")},
}
TOP = re.compile(r'"(ansible|benchmarks|docker|docs|inventories|molecule|python|requirements|roles)[/"]')


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def packages_of(paths: Iterator[Path] | list[Path]) -> set[str]:
    return set(itertools.chain.from_iterable(map(imported, paths))) & PACKAGES.keys()


def run_after(*paths: str) -> list[str]:
    return check.touched(paths, FOLDERS)[0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_a_folder_imports_is_known_to_be_read_by_it(folder: str) -> None:
    found: set[str] = set()
    more = packages_of(list((check.ROOT / check.UNIT / folder).rglob("*.py")))
    while more:
        found |= more
        sources = [check.ROOT / PACKAGES[name] for name in more]
        more = packages_of([
            path for source in sources for path in (source.rglob("*.py") if source.is_dir() else [source])
        ]) - found  # fmt: skip
    for name in sorted(found):
        assert f"{check.UNIT}/{folder}" in run_after(PACKAGES[name] + "x.py"), f"{name} is imported"


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "tools"])
def test_the_folders_of_the_repository_that_a_test_names_are_known_to_be_read_by_it(folder: str) -> None:
    for path in (check.ROOT / check.UNIT / folder).rglob("*.py"):
        for name in set(TOP.findall(path.read_text(encoding="utf-8"))):
            # The packages have their own test above.
            if name not in {"python", "benchmarks"}:
                found = run_after(f"{name}/x")
                assert check.UNIT in found or f"{check.UNIT}/{folder}" in found, f"{path.name} names {name}"


def test_a_changed_test_is_run_alone_and_with_what_its_folder_shares() -> None:
    test = "tests/unit/tools/test_check_finds_what_a_change_touches.py"
    assert run_after(test) == [test]
    assert run_after(test, "tests/unit/tools/conftest.py") == ["tests/unit/tools"]
    assert run_after("tests/unit/tools/test_that_was_removed.py") == []


@pytest.mark.parametrize(
    "path",
    ["pyproject.toml", "Makefile", "requirements/test.txt", "tests/minipool.py", "tests/conftest.py",
     "tests/unit/conftest.py", "tests/unit/a-folder-that-is-gone/test_x.py", "something/new.py", "new.md"],
)  # fmt: skip
def test_what_is_not_known_may_be_read_by_all(path: str) -> None:
    tests, why = check.touched(["python/afhub/src/afhub/form.py", path], FOLDERS)
    assert tests == ["tests/unit"] and path in why[0]


def test_it_says_why() -> None:
    changed = ["roles/cvmfs/tasks/main.yml", "roles/condor/tasks/main.yml", "tests/e2e/test_login.py"]
    tests, why = check.touched(changed, FOLDERS)
    assert tests == ["tests/unit/docs", "tests/unit/roles", "tests/unit/validate"]
    assert why[0] == "tests/unit/docs, which reads roles/cvmfs/tasks/main.yml and 1 more"
    tests, why = check.touched(["tests/e2e/test_login.py"], FOLDERS)
    assert tests == [] and "none" in why[0]
