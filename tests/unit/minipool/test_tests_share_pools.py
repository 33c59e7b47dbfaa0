"""Tests on pools: spread by group, longest first; what one leaves behind is told by name, and its pool made anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pools import group_of, longest_first, needs_a_pool
from poolstate import Watch

from minipool import Minipool, NotYetError, wait_for

ROOT = Path(__file__).resolve().parents[3]

# In place of a pool: a file for each that tests may write into, and a note of each time it was made anew.
CONFTEST = """
import os, pathlib, sys
sys.path[:0] = [{tests!r}]
import pools
from minipool import Minipool, NotYetError

HERE = pathlib.Path({here!r})

class FakeWatch:
    def __init__(self, pool):
        self.pool, self.seen = pool, []
    def state(self):
        file = HERE / f"state-{{self.pool.instance}}"
        return set(file.read_text().splitlines()) if file.exists() else set()
    def begin(self):
        self.first = self.state()
    def close(self):
        pass
    def after(self, test):
        self.seen.append((test, self.state()))
    def hosts(self):
        return self.state()
    def jobs(self):
        return set()
    left_over = __import__("poolstate").Watch.left_over

def anew(self, watch):
    with (HERE / "anew").open("a") as file:
        file.write(watch.pool.instance + "\\n")
    (HERE / f"state-{{watch.pool.instance}}").unlink()
    watch.begin()

pools.Watch, pools.ready, pools.SETTLED_S = FakeWatch, lambda pool: None, 0.1
pools.DURATIONS, pools.RESULTS = HERE / "durations.json", HERE / "results"
pools.OnPools.anew = anew

def pytest_configure(config):
    config.pluginmanager.register(pools.OnPools(config), "pools")
"""
# What a test notes: where it ran, and when.
NOTE = """
import os, pathlib
from minipool import Minipool, wait_for
HERE = pathlib.Path({here!r})
def note(name):
    with (HERE / "order").open("a") as file:
        file.write(f"{{Minipool.from_environment().instance}} {{name}}\\n")
def write(text):
    (HERE / f"state-{{Minipool.from_environment().instance}}").write_text(text)
"""


class Ran:
    """A run of pytest in a folder with tests of its own, and what it left."""

    def __init__(self, here: Path, files: dict[str, str], durations: dict[str, float], pools: int) -> None:
        (here / "pytest.ini").write_text("[pytest]\n")
        (here / "durations.json").write_text(json.dumps(durations))
        tests = here / "tests"
        tests.mkdir()
        (tests / "conftest.py").write_text(CONFTEST.format(tests=str(ROOT / "tests"), here=str(here)))
        for name, text in files.items():
            (tests / name).parent.mkdir(exist_ok=True)
            (tests / name).write_text(NOTE.format(here=str(here)) + textwrap.dedent(text))
        names = " ".join(f"pool{number}" for number in range(1, pools + 1))
        options = ["-p", "no:cacheprovider", "--import-mode=importlib", "-n", str(pools)]
        self.done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "tests"],
            cwd=here, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "INSTANCES": names, "PATH": f"{here}:{os.environ['PATH']}"},
        )  # fmt: skip
        self.out = self.done.stdout
        order = here / "order"
        self.order = [line.split() for line in order.read_text().splitlines()] if order.exists() else []
        anew = here / "anew"
        self.anew = anew.read_text().split() if anew.exists() else []


def test_a_file_runs_on_one_pool_and_the_longest_begin(tmp_path: Path) -> None:
    files = {
        f"e2e/test_{name}.py": f"""
            import pytest, time
            @pytest.mark.parametrize("n", [1, 2, 3])
            def test_it(n):
                note("{name}")
            """
        for name in "abcd"
    }
    seconds = {"a": 1.0, "b": 30.0, "c": 2.0, "d": 20.0}
    durations = {f"tests/e2e/test_{name}.py": number for name, number in seconds.items()}
    ran = Ran(tmp_path, files, durations, pools=2)
    assert ran.done.returncode == 0, ran.out
    assert len(ran.order) == 12
    pools_of = {name: {pool for pool, test in ran.order if test == name} for name in "abcd"}
    assert all(len(pools) == 1 for pools in pools_of.values()), pools_of
    assert pools_of["b"] != pools_of["d"], "the two longest begin, one on each pool"
    first = {pool: next(test for where, test in ran.order if where == pool) for pool in ("pool1", "pool2")}
    assert set(first.values()) == {"b", "d"}, ran.order


LEAVES = """
    def test_is_innocent():
        note("innocent")
    def test_leaves_a_mess():
        write("worker1: mess")
    def test_comes_after():
        note("after")
    """


def test_who_leaves_its_pool_in_another_state_is_named_and_the_pool_is_made_anew(tmp_path: Path) -> None:
    other = """
        def test_finds_a_clean_pool():
            assert not (HERE / f"state-{Minipool.from_environment().instance}").exists()
            note("other")
        """
    files = {"e2e/test_mess.py": LEAVES, "e2e/test_other.py": other}
    durations = {"tests/e2e/test_mess.py": 2.0, "tests/e2e/test_other.py": 1.0}
    ran = Ran(tmp_path, files, durations, pools=1)
    assert ran.done.returncode == 1
    assert "tests/e2e/test_mess.py::test_leaves_a_mess left the pool pool1 in another state" in ran.out
    assert "worker1: mess is new (since tests/e2e/test_mess.py::test_leaves_a_mess)" in ran.out
    assert ran.anew == ["pool1"]
    assert ["pool1", "other"] in ran.order, "the next file found a clean pool"


def test_what_is_put_back_is_no_fault(tmp_path: Path) -> None:
    cleans = (
        LEAVES
        + """
    def test_cleans_up():
        write("")
    """
    )
    ran = Ran(tmp_path, {"faults/test_clean.py": cleans}, {}, pools=1)
    assert ran.done.returncode == 0, ran.out
    assert not ran.anew


def test_a_failure_says_which_test_on_which_pool_waited_for_what_and_where_the_logs_are(
    tmp_path: Path,
) -> None:
    waits = """
        def test_waits_in_vain():
            wait_for("the moon is full", lambda: ["half"] and [], timeout_s=0)
        """
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 0\n")
    docker.chmod(0o755)
    ran = Ran(tmp_path, {"faults/test_waits.py": waits}, {}, pools=1)
    assert ran.done.returncode == 1
    # Once when it happens, and once at the end.
    for part in (ran.out.split("FAILURES")[0], ran.out.split("where to look")[1]):
        assert "tests/faults/test_waits.py::test_waits_in_vain (call)" in part, ran.out
        assert "the moon is full, 0 s" in part and "[]" in part
        assert "pool1" in part
        assert "logs/faults-test_waits.py-test_waits_in_vain-call" in part
    kept = json.loads((tmp_path / "results/durations-tests.json").read_text())
    assert list(kept) == ["tests/faults/test_waits.py"]


def test_a_worker_that_breaks_down_is_no_success(tmp_path: Path) -> None:
    dies = """
        import os
        def test_dies():
            os._exit(0)
        """
    ran = Ran(tmp_path, {"e2e/test_dies.py": dies}, {}, pools=1)
    assert ran.done.returncode != 0, ran.out
    assert "test_dies" in ran.out


def test_tests_that_share_what_they_deploy_are_one_group() -> None:
    assert group_of("tests/deployments/test_a.py::test_x[1::2]") == "tests/deployments"
    assert group_of("tests/e2e/test_a.py::test_x") == "tests/e2e/test_a.py"


def test_unit_tests_need_no_pool() -> None:
    assert needs_a_pool("tests/faults/test_a.py::test_x")
    assert not needs_a_pool("tests/unit/hub/test_a.py::test_x")
    assert not needs_a_pool("tests/lab/test_a.py::test_x")


class Item:
    """An item as far as sorting goes."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid = nodeid


def test_a_group_that_nobody_has_timed_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "durations.json"
    kept.write_text(json.dumps({"tests/e2e/test_long.py": 100, "tests/e2e/test_short.py": 1}))
    monkeypatch.setattr("pools.DURATIONS", kept)
    names = [
        "tests/e2e/test_short.py::b",
        "tests/e2e/test_short.py::a",
        "tests/e2e/test_long.py::a",
        "tests/e2e/test_new.py::a",
    ]
    items = [Item(name) for name in names]
    longest_first(items)  # type: ignore[arg-type]
    assert [item.nodeid for item in items] == [names[3], names[2], names[0], names[1]]


def test_each_worker_has_the_pool_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTANCES", "test test-2")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    assert Minipool.from_environment().instance == "test-2"
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw2")
    with pytest.raises(RuntimeError, match="2 pools .*too few"):
        Minipool.from_environment()


def test_what_was_waited_for_and_seen_last_is_kept() -> None:
    with pytest.raises(NotYetError) as caught:
        wait_for("rain", lambda: None, timeout_s=0)
    assert (caught.value.what, caught.value.timeout_s, caught.value.last) == ("rain", 0, "None")


class Scripted(Watch):
    """A watch that sees what it is told."""

    looks: list[set[str]]

    def hosts(self) -> set[str]:
        return self.looks.pop(0)

    def jobs(self) -> set[str]:
        return set()


def test_the_test_since_which_something_differs_is_the_one_named(tmp_path: Path) -> None:
    watch = Scripted(Minipool("none", tmp_path))
    watch.first = {"a", "b"}
    # "c" comes, goes and comes again; "b" goes for good.
    watch.looks = [{"a", "b", "c"}, {"a", "b"}, {"a"}, {"a", "c"}, {"a", "c"}]
    for number in range(1, 5):
        watch.after(f"test{number}")
    assert watch.left_over() == {"c is new": "test4", "b is missing": "test3"}
