"""The errors that carry a text for the user through JupyterHub's pages and API."""

from __future__ import annotations

from jupyterhub.spawner import SpawnException

from afhub.outcomes import Outcome
from afhub.words import Words


class StartRefused(SpawnException):
    """A request that is refused before anything is started, with the reason in the user's words."""

    def __init__(self, text: str, reason: str, status_code: int, *, log_message: str = "") -> None:
        super().__init__(text, reason=reason, log_message=log_message or text, status_code=status_code)
        # Read by JupyterHub where it shows why the last start failed.
        self.jupyterhub_message = text


class StartFailed(StartRefused):
    """A start that came to nothing; ``outcome`` is kept with the server."""

    def __init__(self, words: Words, outcome: Outcome, status_code: int) -> None:
        what = words(f"outcome.{outcome.key}.what", **outcome.values)
        then = words(f"outcome.{outcome.key}.next", **outcome.values)
        super().__init__(f"{what} {then}", outcome.key, status_code, log_message=f"{what} {outcome.facts}")
        self.outcome = outcome
