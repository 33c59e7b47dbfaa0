"""make check: what can be said of a change within a minute. ruff, yamllint and mypy, and beside them unit tests.

A change is what differs from where this branch left the main one (SINCE=<commit> names another point), whatever is not
committed included. A changed test is run. For all else `READ_BY` says which folders of tests/unit import or read it
(tests/unit/tools holds it to that); what it does not know may be read by all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNIT = "tests/unit"

READ_BY: Mapping[str, tuple[str, ...]] = {
    "ansible/": ("docs", "validate"),
    "benchmarks/": ("bench",),
    "docker/": ("examples", "minipool"),
    "docs/": ("docs", "notebook"),
    "inventories/": ("docs", "minipool", "validate"),
    "python/afhub/": ("bench", "hub", "notebook"),
    "python/afhub-outsource/": ("bench", "outsource"),
    "python/jupyter-afhub/": ("notebook", "outsource"),
    "roles/": ("docs", "roles", "validate"),
    "tools/": ("docs", "minipool", "tools"),
    # Other tests and what they run on. The linters look at them.
    "molecule/": (),
    "tests/contract/": (), "tests/deployments/": (), "tests/e2e/": (), "tests/faults/": (), "tests/infra/": (),
    "tests/lab/": (), "tests/limits/": (), "tests/run.sh": (), "tests/molecule.sh": (),
    "tests/pools.py": ("minipool",), "tests/poolstate.py": ("minipool",), "tests/quietnet.py": (),
    "CHANGELOG.md": (), "CONTRIBUTING.md": (), "LICENSE": (), "README.md": (), "UPGRADING.md": (), ".ci/": (),
}  # fmt: skip
"""Folders of tests/unit by what they read."""


def read_by(path: str, folders: Iterable[str]) -> list[str] | None:
    """The tests that a changed file is read by; None where that may be all of them."""
    if path.startswith(f"{UNIT}/"):
        folder, _, name = path.removeprefix(f"{UNIT}/").partition("/")
        if folder not in folders:
            return None
        if name.startswith("test_"):
            # One that was removed can't be run.
            return [path] if (ROOT / path).exists() else []
        return [f"{UNIT}/{folder}"]
    for prefix in sorted(READ_BY, key=len, reverse=True):
        if path.startswith(prefix):
            return [f"{UNIT}/{folder}" for folder in READ_BY[prefix]]
    return None


def git(*arguments: str) -> str:
    """What git says, of this repository."""
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def known(revision: str) -> bool:
    """Whether there is such a commit."""
    return (
        subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}"], cwd=ROOT, capture_output=True,
        ).returncode == 0
    )  # fmt: skip


def since() -> str:
    """Where this branch left the main one."""
    wanted = os.environ.get("SINCE", "")
    if wanted:
        if not known(wanted):
            sys.exit(
                f"ERROR: SINCE={wanted} is no commit.\n       What to do: look for one with 'git log --oneline'"
            )
        return git("rev-parse", wanted)
    for main in ("origin/HEAD", "origin/main", "main"):
        if known(main):
            return git("merge-base", "HEAD", main)
    return git("rev-parse", "HEAD")


def changed(commit: str) -> list[str]:
    """Paths that differ from a commit, what is not committed or not even added included."""
    paths = git("diff", "--name-only", "--no-renames", commit).splitlines()
    return sorted({*paths, *git("ls-files", "--others", "--exclude-standard").splitlines()})


def touched(paths: Iterable[str], folders: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tests to run, and why in words."""
    chosen: dict[str, list[str]] = {}
    folders = set(folders)
    for path in paths:
        tests = read_by(path, folders)
        if tests is None:
            return [UNIT], [f"all of {UNIT}, as any of it may read {path}"]
        for test in tests:
            chosen.setdefault(test, []).append(path)
    if not chosen:
        return [], [f"none: nothing in {UNIT} reads what has changed"]
    chosen = {
        test: why
        for test, why in chosen.items()
        if test.count("/") < 3 or test.rpartition("/")[0] not in chosen
    }
    words = []
    for test, why in sorted(chosen.items()):
        more = f" and {len(why) - 1} more" if len(why) > 1 else ""
        words.append(test if why == [test] else f"{test}, which reads {why[0]}{more}")
    return sorted(chosen), words


@dataclass
class Step:
    """One program, and how it ended."""

    title: str
    command: list[str]
    output: str = ""
    code: int | None = None
    codes: set[int] = field(default_factory=lambda: {0})

    def run(self) -> None:
        begun = time.monotonic()
        done = subprocess.run(
            self.command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
        self.output, self.code = done.stdout, done.returncode
        verdict = "ok" if self.fine else "FAILED"
        print(f"  {self.title:<14}{verdict:<8}{time.monotonic() - begun:4.0f} s", flush=True)

    @property
    def fine(self) -> bool:
        return self.code in self.codes


def main() -> int:
    """All checks; 1 where one failed."""
    begun = time.monotonic()
    commit = since()
    paths = changed(commit)
    folders = [path.name for path in (ROOT / UNIT).iterdir() if path.is_dir()]
    if paths:
        tests, why = touched(paths, folders)
        print(f"{len(paths)} files differ from {commit[:10]}. Unit tests:")
    else:
        tests, why = [UNIT], [f"all of {UNIT}, as nothing differs from {commit[:10]}"]
        print("Unit tests:")
    for line in why:
        print(f"  {line}")
    print("Checks:", flush=True)
    linters = [
        Step("ruff", ["ruff", "check", "."]),
        Step("ruff format", ["ruff", "format", "--check", "."]),
        Step("yamllint", ["yamllint", "--strict", "."]),
        Step("mypy", ["mypy"]),
    ]

    def lint() -> None:
        for step in linters:
            step.run()

    beside = threading.Thread(target=lint)
    beside.start()
    steps = list(linters)
    if tests:
        options = ["--quiet", "--numprocesses", "logical", "--dist", "worksteal"]
        # A folder whose tests are all gone has none to run.
        unit = Step("unit tests", [sys.executable, "-m", "pytest", *options, *tests], codes={0, 5})
        unit.run()
        steps.append(unit)
    beside.join()
    failed = [step for step in steps if not step.fine]
    for step in failed:
        print(f"\n== {step.title}: {' '.join(step.command)}\n{step.output}")
    if tests and unit.fine:
        print(f"  {unit.output.strip().splitlines()[-1]}")
    print(
        f"{time.monotonic() - begun:.0f} s."
        + (f" FAILED: {', '.join(s.title for s in failed)}." if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
