"""What the roles render for notebooks and for the batch pool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
FACTS = {
    "ansible_managed": "Managed by Ansible",
    "notebook_hub_name": "hub.example.org",
    "outsourcing_worker": {"cores": 2, "memory_mb": 4096, "disk_mb": 1000},
    "outsourcing_start_timeout_s": 90,
    "outsourcing_lost_timeout_s": 30,
    "outsourcing_hook_timeout_s": 20,
    "outsourcing_condor_config": "/etc/afhub/batch/condor_config",
    "outsourcing_when_notebook_ends": "remove",
}


def quote(text: object) -> str:
    return "'" + str(text).replace("'", "'\"'\"'") + "'"


def render(role: str, path: str, **values: Any) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["quote"] = quote
    source = (ROLES / role / "templates" / f"{path}.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(**{**FACTS, **values})


def test_dasks_defaults_come_from_the_site() -> None:
    settings = yaml.safe_load(render("outsourcing", "etc/afhub/batch/dask/afhub.yaml"))
    workers = settings["jobqueue"]["htcondor"]
    assert (workers["cores"], workers["memory"], workers["disk"]) == (2, "4096 MiB", "1000 MiB")
    assert workers["death-timeout"] == 30
    assert settings["distributed"]["scheduler"]["no-workers-timeout"] == "90s"


def test_nothing_of_dask_that_has_no_key_listens_for_other_hosts() -> None:
    settings = yaml.safe_load(render("outsourcing", "etc/afhub/batch/dask/afhub.yaml"))
    workers = settings["jobqueue"]["htcondor"]
    assert workers["scheduler-options"]["dashboard_address"] == "127.0.0.1:0"
    assert workers["worker-extra-args"] == ["--dashboard-address", "127.0.0.1:0"]


@pytest.fixture
def ended(tmp_path: Path) -> Any:
    """Runs what HTCondor runs when a notebook has ended; returns what it asked of the batch pool."""

    def run(ad: str, choice: str = "remove") -> str:
        asked = tmp_path / "asked"
        tool = tmp_path / "condor_rm"
        tool.write_text(f'#!/bin/sh\nprintf "%s " "$CONDOR_CONFIG" "$@" > {asked}\n')
        tool.chmod(0o755)
        script = render(
            "outsourcing", "usr/local/libexec/afhub/notebook-ended", outsourcing_when_notebook_ends=choice
        )
        done = subprocess.run(
            ["sh", "-c", script],
            input=ad,
            text=True,
            capture_output=True,
            timeout=20,
            check=False,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        )
        assert done.returncode == 0, done.stderr
        return asked.read_text() if asked.exists() else ""

    return run


def test_the_jobs_of_the_notebook_that_ended_are_removed(ended: Any) -> None:
    asked = ended('Owner = "alice"\nAfhubServer = "second"\nEnvironment = "A=1"\n')
    assert asked.startswith("/etc/afhub/batch/condor_config -constraint ")
    assert 'AfhubHub =?= "hub.example.org" && AfhubServer =?= "second" && QDate <= ' in asked
    assert "AfhubWorker" not in asked


def test_a_default_server_has_an_empty_name(ended: Any) -> None:
    assert 'AfhubServer =?= ""' in ended('AfhubServer = ""\n')


def test_a_site_may_keep_what_can_do_without_the_notebook(ended: Any) -> None:
    assert "AfhubWorker =!= undefined" in ended('AfhubServer = ""\n', "keep")


def test_a_name_that_is_none_is_asked_of_nobody(ended: Any) -> None:
    assert ended('AfhubServer = "x\\" || true || \\""\n') == ""


def batch_pool(**values: Any) -> str:
    host = "batch.example.org"
    facts = {
        "group_names": ["batch_manager", "batch_schedd"],
        "groups": {"batch_manager": [host]},
        "hostvars": {host: {"notebook_host_fqdn": host}},
        "notebook_host_fqdn": host,
        "notebook_uid_domain": "example.org",
        "batch_pool_trust_domain": "batch.example.org",
        "__batch_pool_accepted": "FS, IDTOKENS, MUNGE",
        "batch_pool_accounting_groups": ["higgs"],
        "batch_pool_other_accounting_group": "users",
        "batch_pool_groups_file": "/etc/condor/groups.map",
        "batch_pool_jobs_per_user": 100,
        "batch_pool_cores": 0,
        "batch_pool_cores_per_user": 0,
    }
    return render("batch_pool", "etc/condor/config.d/10-batch-pool.conf", **{**facts, **values})


def test_a_cap_on_a_users_cores_counts_what_each_job_asks_for_and_the_user_cannot_change_it() -> None:
    text = batch_pool(batch_pool_cores_per_user=6)
    assert "CONCURRENCY_LIMIT_DEFAULT_afhub_user = 6" in text
    assert '":", int(RequestCpus ?: 1))' in text
    assert "AccountingGroup ConcurrencyLimits\n" in text


def test_without_a_cap_no_job_has_a_concurrency_limit() -> None:
    assert "CONCURRENCY" not in batch_pool().upper()
