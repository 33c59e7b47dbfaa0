"""The parts of the Lab side that need no browser have tests in TypeScript, which Node.js runs as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LAB = Path(__file__).resolve().parents[3] / "python/jupyter-afhub/lab"


def test_the_front_ends_own_tests_pass() -> None:
    node = Path(sys.executable).parent / "node"
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", "tests/*.test.ts"],
        cwd=LAB,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^ℹ pass (\d+)$", done.stdout, re.MULTILINE)
    files = len(list(LAB.glob("tests/*.test.ts")))
    assert passed and int(passed[1]) > files, done.stdout
