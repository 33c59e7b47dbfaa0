"""The Jupyter server of a notebook that is an HTCondor job, and its extension for any job's server."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "jupyter_afhub"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Jupyter Server calls this while it starts."""
    from jupyter_afhub.extension import Extension

    Extension(server).load()


async def _start_jupyter_server_extension(server: Any) -> None:
    """Jupyter Server calls this when it listens."""
    server.web_app.settings["afhub"].start()


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext jupyter_afhub` adds the magic `%afhub`."""
    from jupyter_afhub.magic import afhub

    shell.register_magic_function(afhub, "line", "afhub")
