"""Dask's panels in the Lab get what they ask the server for, and Dask stays out of the server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from job_server import TOKEN, JobServer

Start = Callable[..., JobServer]


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The variables of a server in whose environment the panels are; they can't be imported."""
    package = tmp_path / "site" / "dask_labextension"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "raise RuntimeError('Dask is loaded into the server')\n", encoding="utf-8"
    )
    return {"PYTHONPATH": ":".join([str(package.parent), *sys.path])}


def test_the_server_has_no_clusters_and_says_how_one_is_made(
    job_server: Start, installed: dict[str, str]
) -> None:
    server = job_server(environ=installed)
    assert server.get("dask/clusters") == []
    refused = requests.put(
        f"http://127.0.0.1:{server.port}/dask/clusters",
        headers={"Authorization": f"token {TOKEN}"},
        timeout=20,
    )
    assert refused.status_code == 409 and "HTCondorCluster()" in refused.json()["message"]
    assert server.status("dask/clusters", token="wrong") == 403


def test_where_there_are_no_panels_there_is_no_address(job_server: Start) -> None:
    assert job_server().status("dask/clusters") == 404


def test_a_site_that_wants_their_own_server_side_has_it(
    job_server: Start, installed: dict[str, str], tmp_path: Path
) -> None:
    package = tmp_path / "site" / "dask_labextension" / "__init__.py"
    package.write_text(
        "def _jupyter_server_extension_points():\n    return [{'module': 'dask_labextension'}]\n\n"
        "def _load_jupyter_server_extension(server):\n    pass\n",
        encoding="utf-8",
    )
    (tmp_path / "config").mkdir()
    more = tmp_path / "config" / "jupyter_server_config.d"
    more.mkdir()
    (more / "dask.json").write_text(
        json.dumps({"ServerApp": {"jpserver_extensions": {"dask_labextension": True}}}), encoding="utf-8"
    )
    assert job_server(environ=installed).status("dask/clusters") == 404
