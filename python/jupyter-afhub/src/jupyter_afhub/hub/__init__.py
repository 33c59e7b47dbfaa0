"""JupyterHub's single-user server, on sockets that are already open.

Jupyter Server finds the extension that a server is started from by its package, so this one is a package of
its own: the rest of `jupyter_afhub` can be an extension of a plain Jupyter Server, where no hub asks for a
login.
"""

from __future__ import annotations


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    from jupyter_afhub.hub.server import HubExtension

    return [{"module": "jupyter_afhub.hub", "app": HubExtension}]
