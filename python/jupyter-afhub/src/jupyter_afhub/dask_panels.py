"""What the Lab's Dask panels (dask-labextension) need of the server, without Dask in the server.

Their own server extension imports Dask at start and makes clusters inside the server: without the keys that kernels
make for themselves, and within the notebook's memory. Its panels need none of that. They show the dashboard of a
cluster that a kernel has made, through the notebook's proxy, and ask here for a list of clusters that the server has.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

MODULE = "dask_labextension"


class ClustersHandler(APIHandler):
    """GET dask/clusters: none are the server's. PUT, which would make one, says how one is made."""

    auth_resource = "afhub"
    # The panels ask every few seconds.
    _track_activity = False

    @authenticated
    @authorized
    async def get(self) -> None:
        self.finish("[]")

    @authenticated
    @authorized
    async def put(self) -> None:
        raise HTTPError(
            409,
            "Make the cluster in a notebook: from dask_jobqueue import HTCondorCluster; cluster = HTCondorCluster()."
            " Its dashboard is in the panels then.",
        )


def routes(base_url: str, server: Any) -> list[tuple[str, type]]:
    """The address, where the panels are installed and their own server extension is off."""
    own = dict(getattr(server, "jpserver_extensions", {})).get(MODULE, False)
    if own or importlib.util.find_spec(MODULE) is None:
        return []
    return [(url_path_join(base_url, "dask/clusters") + "/?", ClustersHandler)]
