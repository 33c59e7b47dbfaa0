"""make repeat: runs one test again and again, in a new process each time, and counts how often it fails.

T is what pytest takes: a file, a test in it (file::test), or else an expression for names (-k), looked for in all of
them. Tests of a running pool find it by INSTANCE, as ever. STOP=1 ends at the first failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "test-results" / "repeat"


def pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of pytest."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", *arguments], cwd=ROOT, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def chosen(wanted: str) -> list[str]:
    """The tests that are meant, by their ids; ends the program where there are none."""
    by_name = not (ROOT / wanted.partition("::")[0]).exists()
    found = pytest("--collect-only", *(("-k", wanted, "tests") if by_name else (wanted,)))
    tests = [line for line in found.stdout.splitlines() if line.startswith("tests/") and "::" in line]
    if not tests or found.returncode != 0:
        said = "\n".join(found.stdout.strip().splitlines()[-5:])
        sys.exit(
            f"ERROR: no test is meant by T={wanted}\n{said}\n       What to do: T=<file>::<test>, or a part of its name"
        )
    return tests


def words(count: int) -> str:
    """So many tests, in words."""
    return f"{count} test{'s' * (count != 1)}"


def main(wanted: str, times: str, *, stop: bool) -> int:
    """Runs and counts; 1 where a run failed."""
    if not times.isdigit() or int(times) < 1:
        sys.exit(f"ERROR: N={times} is no number of runs.\n       What to do: N=20")
    if not wanted:
        sys.exit(
            "ERROR: which test?\n       What to do: make repeat T=tests/unit/hub/test_form.py::<test> N=20"
        )
    tests = chosen(wanted)
    print(f"{words(len(tests))}, {times} times:")
    for test in tests[:10]:
        print(f"  {test}")
    if len(tests) > 10:
        print(f"  and {len(tests) - 10} more")
    RESULTS.mkdir(parents=True, exist_ok=True)
    failed = runs = 0
    while runs < int(times) and not (failed and stop):
        runs += 1
        begun = time.monotonic()
        done = pytest(*tests)
        took_s = time.monotonic() - begun
        if done.returncode == 0:
            print(f"{runs:4} of {times}  passed  {took_s:6.1f} s", flush=True)
            continue
        if done.returncode != 1:
            # Not the test, but what is around it.
            sys.exit(f"{done.stdout}\nERROR: pytest itself ended with {done.returncode} in run {runs}.")
        failed += 1
        log = RESULTS / f"{runs}.log"
        log.write_text(done.stdout, encoding="utf-8")
        reasons = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        print(f"{runs:4} of {times}  FAILED  {took_s:6.1f} s  {log.relative_to(ROOT)}", flush=True)
        for reason in reasons:
            print(f"      {reason}", flush=True)
    print(f"{failed} of {runs} failed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(os.environ.get("T", ""), os.environ.get("N") or "20", stop=os.environ.get("STOP") == "1"))
