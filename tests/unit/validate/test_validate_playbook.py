"""The playbook itself, run against this machine in the role of every host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fake_site import EXAMPLE, REPOSITORY, PemFiles

# Three kinds of hosts are enough: each of them gathers this machine's facts once more.
HOSTS = "jhub01,worker001,bigmem01"
# What stands for the rest of a deployment: it must not happen where validation fails.
DEPLOYMENT = f"""\
- name: Validate the inventory
  ansible.builtin.import_playbook: {REPOSITORY}/ansible/validate.yml
- name: Change something on every host
  hosts: all
  gather_facts: false
  tasks:
    - name: Leave a mark
      ansible.builtin.copy:
        content: changed
        dest: "{{{{ inventory_dir }}}}/mark-{{{{ inventory_hostname }}}}"
        mode: "0600"
"""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    code: int
    output: str
    marks: list[str]

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts together."""
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))


@dataclass(frozen=True)
class Inventory:
    """A copy of inventories/example that this machine can play."""

    folder: Path

    def overwrite(self, **variables: Any) -> None:
        """Give variables other values on all hosts."""
        path = self.folder / "group_vars" / "all" / "zz_test.yml"
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(yaml.safe_dump({**before, **variables}), encoding="utf-8")

    def deploy(self, *arguments: str) -> Result:
        """Run validation and then something that would change every host."""
        playbook = self.folder / "site.yml"
        playbook.write_text(DEPLOYMENT, encoding="utf-8")
        run = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "-i",
                self.folder / "hosts.yml",
                playbook,
                *arguments,
            ],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "ANSIBLE_HOME": str(self.folder / ".ansible"),
                "ANSIBLE_NOCOLOR": "1",
                # Long lines stay whole, so that messages can be compared.
                "COLUMNS": "1000",
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Result(
            run.returncode, run.stdout + run.stderr, sorted(path.name for path in self.folder.glob("mark-*"))
        )


@pytest.fixture
def inventory(tmp_path: Path, pem_files: PemFiles) -> Inventory:
    """The example with a certificate, a hub name that resolves everywhere, and hosts that claim to be big."""
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLE, folder)
    made = Inventory(folder)
    made.overwrite(
        ansible_connection="local",
        ansible_python_interpreter=sys.executable,
        notebook_hub_name="localhost",
        notebook_oversubscribe=True,
        notebook_allow_untested_os=True,
        notebook_host_cores=64,
        notebook_host_memory_mb=512000,
        hub_proxy_certificate_file=str(pem_files.certificate),
        hub_proxy_certificate_key_file=str(pem_files.key),
    )
    return made


def test_the_example_passes_and_a_limit_narrows_it(inventory: Inventory) -> None:
    result = inventory.deploy("--limit", HOSTS)
    assert result.code == 0, result.output
    assert result.marks == ["mark-bigmem01", "mark-jhub01", "mark-worker001"]
    assert result.changed == 3


def test_every_bad_input_is_told_before_anything_changes(inventory: Inventory) -> None:
    classes = yaml.safe_load((EXAMPLE / "group_vars" / "all" / "classes.yml").read_text(encoding="utf-8"))
    regular, large, xlarge = classes["notebook_classes"]
    regular["slots_per_host"] = 100
    large.update(default=True, memory_limit_mb=1024, runtime_s=0, run_on="gpu_servers")
    xlarge["runtime_s"] = -60
    xlarge["memory_limt_mb"] = xlarge.pop("memory_limit_mb")
    inventory.overwrite(
        notebook_classes=[regular, large, xlarge, {**regular, "default": False}],
        notebook_hub_name="hub.site.invalid",
        notebook_host_cores=4,
        notebook_host_memory_mb=512000,
        hub_proxy_certificate_file=str(inventory.folder / "hub.pem"),
        jupyterhub_admin_usrs="{{ missing_variable }}",
        jupyterhub_idle_timeout_s="{{ missing_variable }}",
    )
    hosts = yaml.safe_load((inventory.folder / "hosts.yml").read_text(encoding="utf-8"))
    hosts["all"]["children"]["gpu_servers"] = {"hosts": {}}
    (inventory.folder / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")

    result = inventory.deploy("--limit", HOSTS, "--check")
    assert result.code != 0
    for line in [
        "notebook_classes[].name — regular — 2 classes have this name; give each class a name of its own",
        "notebook_classes[].default — true in regular, large — write 'default: true' in exactly one class",
        "notebook_classes[large].run_on — gpu_servers — this group has no hosts; write one of the groups with notebook "
        "hosts: big_servers, workers",
        "notebook_classes[large].memory_limit_mb — 1024 — write at least slot_memory_mb, which is 20480",
        "notebook_classes[large].runtime_s — 0 — write a number above 0",
        "notebook_classes[xlarge].runtime_s — -60 — write a number above 0",
        "notebook_classes[xlarge].memory_limt_mb — 49152 — there is no such key; write memory_limit_mb",
        "notebook_classes[regular, regular].slots_per_host — 100 × 1 + 100 × 1 = 200 cores — the host offers 4 cores; "
        "write fewer or smaller slots, or raise notebook_host_cores [worker001]",
        f"hub_proxy_certificate_file — {inventory.folder}/hub.pem — there is no such file on the machine that runs",
        "notebook_hub_name — hub.site.invalid — this name does not resolve; correct it, or add it to the DNS or "
        "/etc/hosts of these hosts [bigmem01, jhub01, worker001]",
        "jupyterhub_idle_timeout_s — a template that fails — correct it: 'missing_variable' is undefined",
        "jupyterhub_admin_usrs — a template that fails — there is no such variable; write jupyterhub_admin_users",
    ]:
        assert line in result.output, result.output
    assert result.marks == []
    assert result.changed == 0


def test_faults_of_the_inventory_are_told_whatever_the_limit(inventory: Inventory) -> None:
    hosts = yaml.safe_load((inventory.folder / "hosts.yml").read_text(encoding="utf-8"))
    del hosts["all"]["children"]["hub"]
    hosts["all"]["children"]["notebook_manager"]["hosts"]["nbcm02"] = None
    (inventory.folder / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    (inventory.folder / "host_vars").mkdir()
    own = {"notebook_host_core": 8, "notebook_domain": "https://example.org", "notebook_uid_domain": 7}
    (inventory.folder / "host_vars" / "worker002.yml").write_text(yaml.safe_dump(own), encoding="utf-8")

    result = inventory.deploy("--limit", "worker001")
    assert result.code != 0
    for line in [
        "group hub — no host — put exactly one host into this group",
        "group notebook_manager — nbcm01, nbcm02 — put exactly one host into this group",
        "notebook_host_core — 8 — there is no such variable; write notebook_host_cores (docs/variables.md lists all) "
        "[worker002]",
        "notebook_domain — https://example.org — it is example.org on ",
        "notebook_uid_domain — 7 — write text, in quotes where it looks like a number",
    ]:
        assert line in result.output, result.output
    assert result.marks == []
    assert result.changed == 0
