"""htmap's waits, which never end by themselves, end with what they wait for or with the reason why it won't come."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from afhub_outsource import OutsourceError, maps, pool
from afhub_outsource.waiting import Watch as RealWatch


class MapTimeoutError(Exception):
    """htmap's own."""


class OutputNotFound(Exception):
    """htmap's own."""


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Map:
    """As htmap's: it reads a log, here the times at which its components get done."""

    clock = Clock()

    def __init__(self, *done_at: float) -> None:
        self.tag = "spectrum"
        self.done_at = done_at
        self.components = range(len(done_at))
        self._cluster_ids = [7]
        self.waits: list[float | None] = []

    def wait(
        self,
        timeout: float | None = None,
        show_progress_bar: bool = False,
        holds_ok: bool = False,
        errors_ok: bool = False,
    ) -> None:
        """Waits for all."""
        for component in self.components:
            self._wait_for_component(component, timeout)

    def _wait_for_component(self, component: int, timeout: float | None = None) -> None:
        begin = self.clock.now
        self.waits.append(timeout)
        while self.clock.now < self.done_at[component]:
            if timeout is not None and self.clock.now - begin >= timeout:
                raise OutputNotFound if timeout <= 0 else MapTimeoutError
            assert self.clock.now < 10_000, "it hangs"
            self.clock.sleep(1)

    def get(self, component: int) -> int:
        self._wait_for_component(component)
        return component * 10

    def _load_input(self, component: int) -> int:
        return component

    def iter_as_available(self, timeout: float | None = None) -> Iterator[int]:
        raise NotImplementedError

    def iter_as_available_with_inputs(self, timeout: float | None = None) -> Iterator[tuple[int, int]]:
        raise NotImplementedError


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[pool.Job]:
    """What the queue holds; the map is configured and time stands still unless somebody waits."""
    jobs = [pool.Job("7.0", pool.RUNNING)]
    clock = Clock()
    monkeypatch.setattr(Map, "clock", clock)
    for name in ("wait", "_wait_for_component", "iter_as_available", "iter_as_available_with_inputs"):
        monkeypatch.setattr(Map, name, Map.__dict__[name])
    monkeypatch.setattr(maps, "time", clock)
    monkeypatch.setattr(pool, "jobs", lambda ids: list(jobs))
    monkeypatch.setattr(
        maps,
        "Watch",
        lambda patience_s: RealWatch(
            patience_s, clock=clock.monotonic, why=lambda _: "Full.", tell=lambda _: None
        ),
    )
    htmap: Any = ModuleType("htmap")
    htmap.Map = Map
    htmap.exceptions = SimpleNamespace(TimeoutError=MapTimeoutError, OutputNotFound=OutputNotFound)
    htmap.utils = SimpleNamespace(timeout_to_seconds=lambda timeout: timeout)
    htmap.settings = {"WAIT_TIME": 1}
    maps.configure(htmap)
    return jobs


def test_what_gets_done_is_waited_for_however_long_it_runs(queue: list[pool.Job]) -> None:
    spectrum = Map(1000, 2000)
    spectrum.wait()
    assert spectrum.clock.now >= 2000
    assert spectrum.get(1) == 10


def test_jobs_without_a_slot_are_given_up(queue: list[pool.Job]) -> None:
    queue[:] = [pool.Job("7.0", pool.IDLE)]
    with pytest.raises(
        OutsourceError,
        match=r"None of 1 job started .* Full\. What is done is kept: htmap.load\('spectrum'\)",
    ):
        Map(9000).get(0)
    assert Map.clock.now < 200


def test_jobs_that_were_removed_are_given_up(queue: list[pool.Job]) -> None:
    queue.clear()
    with pytest.raises(OutsourceError, match="no longer in the queue and left no result: they were removed"):
        Map(9000).wait()
    assert Map.clock.now < 60


def test_a_log_that_comes_late_is_waited_for(queue: list[pool.Job]) -> None:
    queue.clear()
    assert Map(8).get(0) == 0


@pytest.mark.parametrize("timeout", [0, 3, 5, 12, 60])
def test_a_timeout_of_the_users_is_kept(queue: list[pool.Job], timeout: float) -> None:
    with pytest.raises(OutputNotFound if timeout == 0 else MapTimeoutError):
        Map(9000)._wait_for_component(0, timeout)
    assert timeout <= Map.clock.now <= timeout + 1


def test_components_come_as_they_get_done(queue: list[pool.Job]) -> None:
    assert list(Map(30, 10, 20).iter_as_available()) == [10, 20, 0]
    assert list(Map(0, 0).iter_as_available_with_inputs()) == [(0, 0), (1, 10)]


def test_those_that_never_get_done_end_the_iteration(queue: list[pool.Job]) -> None:
    queue.clear()
    outputs = Map(0, 9000).iter_as_available()
    assert next(outputs) == 0
    with pytest.raises(OutsourceError, match="they were removed"):
        next(outputs)


def test_an_iteration_keeps_its_timeout(queue: list[pool.Job]) -> None:
    with pytest.raises(MapTimeoutError):
        list(Map(9000).iter_as_available(timeout=20))
    assert Map.clock.now <= 22
