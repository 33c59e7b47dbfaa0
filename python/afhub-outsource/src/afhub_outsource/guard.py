"""Keep the web pages of Dask's schedulers and workers to their owner.

They have no log-in. On a host that many users share, a page on the loopback interface is everybody's, and
Dask's default is all interfaces. Loaded into every scheduler of the notebook as one of Dask's preloads, this
closes each connection that does not come from a process of the same user on the same host, such as the
notebook's own proxy.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from afhub_outsource import tls
from afhub_outsource.peers import peer_uid


def configure(_distributed: ModuleType) -> None:
    """Have every scheduler of this process load this module, and its connections be independent of each other."""
    import dask

    name = "distributed.scheduler.preload"
    loaded = list(dask.config.get(name, []) or [])
    if __name__ not in loaded:
        dask.config.set({name: [*loaded, __name__]})
    tls.mend()


def dask_setup(node: Any) -> None:
    """Called by Dask with a scheduler or worker that starts."""
    tls.mend()
    keep_to_owner(node.http_server)


def keep_to_owner(server: Any) -> None:
    """Close connections of others to one of tornado's servers."""
    handle = server.handle_stream

    def handle_own(stream: Any, address: Any) -> Any:
        if peer_uid(stream.socket) != os.getuid():
            stream.close()
            return None
        return handle(stream, address)

    server.handle_stream = handle_own
