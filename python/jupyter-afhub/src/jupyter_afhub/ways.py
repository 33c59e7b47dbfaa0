"""How a notebook hears from its site and is heard there: through the hub that started it, or HTCondor's Chirp."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from jupyter_afhub.clock import CLOCK, Clock
from jupyter_afhub.notices import Notice

REPORT_EVERY_S = 60.0
"""How often a notebook reports where nobody says otherwise."""

Seen = Literal["delivered", "read"]
Received = Callable[[list[Notice], str | None], None]
"""Takes the notices that hold now, and what was wrong with them. Called in a thread of the way."""


@dataclass(frozen=True)
class Activity:
    """What the notebook does: seconds since it was used, 0 where it is at work, and when that was (epoch)."""

    idle_s: int
    last: int
    kernels: int
    busy_kernels: int
    memory_peak_mb: int


class Way(Protocol):
    """A way to the site. Its methods return at once, whatever the other side does."""

    problem: str | None
    """What does not work at the moment, in words."""
    report_every_s: float
    """How often the site wants to know what the notebook does."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def watch(self, somebody_looks: bool) -> None:
        """Whether the notebook is open somewhere: then notices are to arrive at once."""

    def report(self, activity: Activity) -> None:
        """Tell what the notebook does, some time within `report_every_s`."""

    def report_seen(self, seen: Mapping[str, Seen]) -> None:
        """Tell at once which notices were delivered and read."""


def choose(environ: Mapping[str, str], received: Received, clock: Clock = CLOCK) -> Way:
    """The way of this notebook: a hub of this stack has one of its own."""
    if (
        environ.get("JUPYTERHUB_API_URL")
        and environ.get("JUPYTERHUB_API_TOKEN")
        and environ.get("AFHUB_CLASS")
    ):
        from jupyter_afhub.hublink import HubLink

        return HubLink(environ["JUPYTERHUB_API_URL"], environ["JUPYTERHUB_API_TOKEN"], received, clock=clock)
    from jupyter_afhub.chirp import ChirpLink

    return ChirpLink(received, environ=environ, clock=clock)
