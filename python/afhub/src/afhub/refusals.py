"""The error that carries a text for the user through JupyterHub's pages and API."""

from __future__ import annotations

from jupyterhub.spawner import SpawnException

from afhub.words import say


class StartRefused(SpawnException):
    """A start that can't happen, with the reason in the user's words and the HTTP status that fits."""

    def __init__(self, key: str, status_code: int, *, detail: str = "", **values: object) -> None:
        """``key`` is one of :data:`afhub.words.WORDS`; ``detail`` is for the hub's log only."""
        text = say(key, **values)
        super().__init__(
            text, reason=key, log_message=f"{text} ({detail})" if detail else text, status_code=status_code
        )
        # Read by JupyterHub where it shows why the last start failed.
        self.jupyterhub_message = text
