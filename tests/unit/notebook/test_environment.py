"""A notebook's environment comes from the account it runs as, whatever HTCondor handed over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_afhub import environment

ALICE = environment.Account("alice", "/home/alice", "/bin/zsh")
HUB = {
    "JUPYTERHUB_API_URL": "https://hub.example.org/hub/api",
    "JUPYTERHUB_API_TOKEN": "secret",
    "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/",
    "AFHUB_PORT_RANGE": "40000-40999",
}


def test_account_replaces_what_the_job_brought() -> None:
    brought = {"HOME": "/root", "USER": "root", "LOGNAME": "condor", "SHELL": "/usr/sbin/nologin"}
    result = environment.for_account(brought, ALICE, "/opt/afhub/env/1/bin")
    assert (result["HOME"], result["USER"], result["LOGNAME"], result["SHELL"]) == (
        "/home/alice",
        "alice",
        "alice",
        "/bin/zsh",
    )
    assert brought["HOME"] == "/root", "the caller's mapping stays as it was"


def test_account_without_a_shell_gets_sh() -> None:
    account = environment.Account("alice", "/home/alice", "")
    assert environment.for_account({}, account, "/bin")["SHELL"] == "/bin/sh"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "/env/bin:/usr/local/bin:/usr/bin:/bin"),
        ("", "/env/bin:/usr/local/bin:/usr/bin:/bin"),
        ("/usr/bin", "/env/bin:/usr/bin"),
        ("/env/bin:/usr/bin", "/env/bin:/usr/bin"),
    ],
)
def test_own_programs_come_first_in_path(before: str | None, after: str) -> None:
    brought = {} if before is None else {"PATH": before}
    assert environment.for_account(brought, ALICE, "/env/bin")["PATH"] == after


def test_connection_files_go_to_the_scratch_folder_of_a_job() -> None:
    in_job = environment.for_account({"_CONDOR_SCRATCH_DIR": "/execute/dir_1"}, ALICE, "/bin")
    assert in_job["JUPYTER_RUNTIME_DIR"] == "/execute/dir_1/.jupyter-runtime"
    assert "JUPYTER_RUNTIME_DIR" not in environment.for_account({}, ALICE, "/bin")


@pytest.mark.parametrize("name", environment.REQUIRED)
@pytest.mark.parametrize("empty", [True, False])
def test_each_variable_of_the_hub_is_needed(name: str, empty: bool) -> None:
    environ = dict(HUB)
    if empty:
        environ[name] = ""
    else:
        del environ[name]
    assert environment.missing(environ) == [name]


@pytest.mark.parametrize(
    "from_hub", ["", "http://127.0.0.1:0/user/alice/", "http://10.0.0.1:8888/user/alice/"]
)
def test_our_port_wins_over_the_one_of_the_hub(from_hub: str) -> None:
    url = environment.service_url({**HUB, "JUPYTERHUB_SERVICE_URL": from_hub}, 40123)
    assert url == "http://:40123/user/alice/"


def test_job_number_is_read_from_the_job_ad(tmp_path: Path) -> None:
    ad = tmp_path / ".job.ad"
    ad.write_text('AutoClusterId = 3\nClusterId = 4711\nJobBatchName = "ClusterId = 1"\n', encoding="utf-8")
    assert environment.job_number({"_CONDOR_JOB_AD": str(ad)}) == "4711"


@pytest.mark.parametrize("content", [None, "", "ClusterId = undefined\n"])
def test_no_job_number_without_a_readable_ad(tmp_path: Path, content: str | None) -> None:
    ad = tmp_path / ".job.ad"
    if content is not None:
        ad.write_text(content, encoding="utf-8")
    assert environment.job_number({"_CONDOR_JOB_AD": str(ad)}) is None
    assert environment.job_number({}) is None


def test_without_a_hub_the_command_says_what_it_is_for_and_ends_with_2() -> None:
    source = str(Path(environment.__file__).parents[1])
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "AFHUB"))}
    environ.update(PYTHONPATH=source, JUPYTERHUB_API_URL="https://hub.example.org/hub/api")
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_afhub"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "JUPYTERHUB_API_TOKEN, JUPYTERHUB_SERVICE_PREFIX, AFHUB_PORT_RANGE not set" in done.stderr
    assert "log in to the hub" in done.stderr
