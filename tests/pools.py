"""Tests on running mini-pools: which comes when and where, what none may leave behind, what is known when one fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hubclient import HubUser, hub_answers
from poolstate import Watch

from minipool import ROOT, Minipool, NotYetError, wait_for

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

TESTS = ROOT / "tests"
RESULTS = ROOT / "test-results"
# Seconds by group, as a whole run left them: cp test-results/durations-pools.json tests/durations.json
DURATIONS = TESTS / "durations.json"
# Tests in these folders need a running pool.
FOLDERS = ("infra", "contract", "limits", "e2e", "deployments", "faults")
# Tests in these share what they deploy: one group for the whole folder, elsewhere one for each file.
WHOLE_FOLDERS = ("deployments",)
# What a test started may take so long to end: a notebook, its job, its processes, its slot.
SETTLED_S = 60


def group_of(nodeid: str) -> str:
    """The tests that run one after the other on one pool: a file, or a folder that shares what it deploys."""
    file = nodeid.partition("::")[0]
    parts = Path(file).parts
    return "/".join(parts[:-1]) if len(parts) > 2 and parts[1] in WHOLE_FOLDERS else file


def needs_a_pool(nodeid: str) -> bool:
    """Whether a test is one of those on a running pool."""
    parts = Path(nodeid.partition("::")[0]).parts
    return len(parts) > 2 and parts[0] == "tests" and parts[1] in FOLDERS


def kept_durations() -> dict[str, float]:
    """How long each group took in the run that is kept; one that is not there counts as the longest."""
    return dict(json.loads(DURATIONS.read_text())) if DURATIONS.exists() else {}


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts tests by the time of their group, and leaves their order within it."""
    durations = kept_durations()
    items.sort(key=lambda item: (-durations.get(group_of(item.nodeid), float("inf")), group_of(item.nodeid)))


def ready(pool: Minipool, timeout_s: float = 120) -> None:
    """Waits until a pool that was just booted can be worked with: its hub answers, all its slots are known."""
    machines = {
        f"{host}.{pool.host_vars(host)['notebook_domain']}"
        for row in pool.classes
        for host in pool.group(row["run_on"])
    }

    def offered() -> bool:
        return machines <= set(pool.inside("nbcm", "condor_status -af Machine || true").split())

    def batch() -> bool:
        cores: int = sum(pool.host_vars(host)["batch_pool_cores"] for host in pool.group("batch_workers"))
        known: list[str] = pool.inside("batch", "condor_status -af TotalSlotCpus || true").split()
        return sum(int(cpus) for cpus in known if cpus.isdigit()) >= cores

    wait_for(f"the hub of {pool.instance} answers", lambda: hub_answers(pool), timeout_s)
    wait_for(f"all hosts of {pool.instance} offer slots", offered, timeout_s)
    wait_for(f"the batch pool of {pool.instance} has its cores", batch, timeout_s)


class OnPools:
    """The plugin: a worker of pytest-xdist watches one pool; where the results come together it tells of failures."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.users: list[HubUser] = []
        self.watch: Watch | None = None
        self.seconds: dict[str, float] = defaultdict(float)
        self.scheduler: Any = None
        self.reported: set[str] = set()

    # -- which test comes when and where

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if any(needs_a_pool(item.nodeid) for item in items):
            longest_first(items)

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> Any:
        if os.environ.get("INSTANCES") is None:
            return None
        from xdist.scheduler import LoadScopeScheduling

        class ByGroup(LoadScopeScheduling):
            """One group after the other to whoever is free, in the order in which they were collected."""

            def _split_scope(self, nodeid: str) -> str:
                return group_of(nodeid)

            def _reschedule(self, node: WorkerController) -> None:
                # A worker begins a test when it knows the next: a group is given away no earlier than that.
                if not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
                    super()._reschedule(node)

        config.option.loadscopereorder = False
        self.scheduler = ByGroup(config, log)
        return self.scheduler

    # -- what a test may not leave behind

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        if needs_a_pool(item.nodeid) and self.watch is None:
            pool = Minipool.from_environment()
            try:
                ready(pool)
            except NotYetError as error:
                # Else it would eat up the tests of all others.
                item.session.shouldstop = f"the pool {pool.instance} is not whole: {error}"
                raise
            self.watch = Watch(pool)
            self.watch.begin()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
        try:
            return (yield)
        finally:
            if self.watch is not None and needs_a_pool(item.nodeid):
                self.watch.after(item.nodeid)
                if nextitem is None or group_of(nextitem.nodeid) != group_of(item.nodeid):
                    self.end_of_group(item, last=nextitem is None)

    def end_of_group(self, item: pytest.Item, *, last: bool) -> None:
        """Fails when the tests of a group left the pool in another state than they found it, and makes it anew."""
        watch = self.watch
        assert watch is not None
        if group_of(item.nodeid).removeprefix("tests/") in WHOLE_FOLDERS:
            # What a deployment brought to a host stays there, a database server for example.
            watch.close()
            if not last:
                self.anew(watch)
            return
        found: dict[str, str] = {}

        def as_before() -> bool:
            nonlocal found
            found = watch.left_over()
            return not found

        try:
            wait_for("the pool is as it was before", as_before, SETTLED_S, every_s=2)
        except NotYetError:
            names = sorted({test for test in found.values() if test}) or [group_of(item.nodeid)]
            text = "\n".join(
                f"  {line}" + (f" (since {test})" if test else "") for line, test in sorted(found.items())
            )
            if not last:
                self.anew(watch)
            raise AssertionError(
                f"{', '.join(names)} left the pool {watch.pool.instance} in another state:\n{text}"
            ) from None
        finally:
            watch.seen.clear()
            if last:
                watch.close()

    def anew(self, watch: Watch) -> None:
        """Makes the pool of this worker anew from the snapshot, where there is one, and logs its users in again."""
        pool = watch.pool
        of = os.environ.get("SNAPSHOT", "")
        watch.close()
        if of:
            subprocess.run(
                [str(ROOT / "docker/snapshot.sh"), "run", of, pool.instance, str(pool.port)],
                check=True, timeout=300, stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip
            ready(pool)
            for user in self.users:
                user.session = requests.Session()
                user.login()
        watch.begin()

    # -- what is known when one fails

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and needs_a_pool(item.nodeid):
            pool = Minipool.from_environment()
            report.user_properties.append(("pool", pool.instance))
            error = call.excinfo.value if call.excinfo else None
            if isinstance(error, NotYetError):
                report.user_properties.append(("waited for", f"{error.what}, {error.timeout_s:.0f} s"))
                report.user_properties.append(("last seen", error.last))
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", item.nodeid.removeprefix("tests/"))[:150]
            folder = RESULTS / "logs" / f"{name}-{report.when}"
            subprocess.run(
                [str(ROOT / "docker/collect-logs.sh"), pool.prefix, str(folder)],
                check=False, timeout=120, stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip
            report.user_properties.append(("logs", os.path.relpath(folder, ROOT)))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reported.add(report.nodeid)
        if not needs_a_pool(report.nodeid):
            return
        self.seconds[group_of(report.nodeid)] += report.duration
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None and not hasattr(self.config, "workerinput"):
            # At once: what follows may take half an hour.
            reporter.ensure_newline()
            self.where(reporter, report)

    @staticmethod
    def where(reporter: Any, report: pytest.TestReport) -> None:
        """Writes which test failed, on which pool, what was waited for, and where its logs are."""
        reporter.write_line(f"{report.nodeid} ({report.when})", red=True)
        crash = getattr(report.longrepr, "reprcrash", None)
        for key, value in [("error", crash.message if crash else ""), *report.user_properties]:
            reporter.write_line(f"    {key + ':':12} {str(value)[:2000]}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # A worker that breaks down takes its tests with it, and pytest-xdist may call that a success.
        missing = set(self.scheduler.collection or ["all tests"]) - self.reported if self.scheduler else set()
        if missing and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            print(f"\n{len(missing)} tests were never run, among them {min(missing)}")
        if self.seconds and not hasattr(self.config, "workerinput"):
            RESULTS.mkdir(exist_ok=True)
            kept = {
                group: round(seconds, 1)
                for group, seconds in sorted(self.seconds.items(), key=lambda row: -row[1])
            }
            stage = os.environ.get("STAGE", "tests")
            (RESULTS / f"durations-{stage}.json").write_text(json.dumps(kept, indent=1) + "\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        failed = [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]
        rows = [report for report in failed if dict(getattr(report, "user_properties", ())).get("pool")]
        if not rows:
            return
        terminalreporter.section("where to look")
        for report in rows:
            self.where(terminalreporter, report)
