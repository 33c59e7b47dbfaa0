"""Waits of htmap that end: by itself it waits for ever for components that are removed or never get a slot.

htmap learns from a log file what became of its jobs, and never asks the pool. Here each of its waits is cut into short
ones, and between them the queue is looked at. What is done stays in the map; so do its jobs, until it is removed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from afhub_outsource import OutsourceError, facts, pool
from afhub_outsource.waiting import Watch

SLICE_S = 5.0
GONE_LOOKS = 3
"""So many looks at a queue without its jobs before a map that is not done is given up: its log may come late."""


class Guard:
    """One wait for one map."""

    def __init__(self, waiting_for: Any) -> None:
        self._map = waiting_for
        self._watch = Watch(facts.read().start_timeout_s)
        self._empty = 0

    def look(self) -> None:
        """Raises OutsourceError where the map can't get done."""
        clusters = [str(cluster) for cluster in self._map._cluster_ids]  # noqa: SLF001
        try:
            found = self._watch.look(lambda: pool.jobs(clusters))
        except OutsourceError as error:
            raise OutsourceError(f"{error} {self._rest()}") from error
        if found is None:
            return
        self._empty = 0 if found else self._empty + 1
        if self._empty >= GONE_LOOKS:
            raise OutsourceError(
                f"The jobs of map {self._map.tag} are no longer in the queue and left no result: they were removed. "
                f"{self._rest()}"
            )

    def _rest(self) -> str:
        tag = self._map.tag
        return f"What is done is kept: htmap.load({tag!r}) has it, and its remove() ends the map with all its jobs."


def configure(htmap: ModuleType) -> None:
    """Put waits that end in the place of htmap's own."""
    timeouts = htmap.exceptions.TimeoutError
    plain_wait = htmap.Map.wait
    plain_component = htmap.Map._wait_for_component  # noqa: SLF001
    seconds = htmap.utils.timeout_to_seconds

    def in_slices(self: Any, timeout: Any, once: Any) -> Any:
        limit_s = seconds(timeout)
        guard: Guard | None = None
        begin = time.monotonic()
        while True:
            left_s = None if limit_s is None else limit_s - (time.monotonic() - begin)
            last = left_s is not None and left_s <= SLICE_S
            try:
                return once(max(left_s, 0.0) if last and left_s is not None else SLICE_S)
            except timeouts:
                if last:
                    raise
                guard = guard or Guard(self)
                guard.look()

    def wait(
        self: Any,
        timeout: Any = None,
        show_progress_bar: bool = False,
        holds_ok: bool = False,
        errors_ok: bool = False,
    ) -> None:
        in_slices(self, timeout, lambda left: plain_wait(self, left, show_progress_bar, holds_ok, errors_ok))

    def wait_for_component(self: Any, component: int, timeout: Any = None) -> None:
        in_slices(self, timeout, lambda left: plain_component(self, component, left))

    def as_available(self: Any, timeout: Any) -> Iterator[int]:
        limit_s = seconds(timeout)
        begin = time.monotonic()
        guard, looked = Guard(self), begin
        left = set(self.components)
        while left:
            for component in sorted(left):
                try:
                    plain_component(self, component, 0)
                except htmap.exceptions.OutputNotFound:
                    continue
                left.discard(component)
                yield component
            now = time.monotonic()
            if left and limit_s is not None and now - begin > limit_s:
                raise timeouts("Timed out while waiting for more output")
            if left and now - looked >= SLICE_S:
                looked = now
                guard.look()
            if left:
                time.sleep(htmap.settings["WAIT_TIME"])

    def iter_as_available(self: Any, timeout: Any = None) -> Iterator[Any]:
        for component in as_available(self, timeout):
            yield self.get(component)

    def iter_as_available_with_inputs(self: Any, timeout: Any = None) -> Iterator[Any]:
        for component in as_available(self, timeout):
            yield self._load_input(component), self.get(component)

    wait.__doc__ = plain_wait.__doc__
    for name, function in (
        ("wait", wait),
        ("_wait_for_component", wait_for_component),
        ("iter_as_available", iter_as_available),
        ("iter_as_available_with_inputs", iter_as_available_with_inputs),
    ):
        setattr(htmap.Map, name, function)
