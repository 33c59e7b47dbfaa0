"""Kernel limits of notebook slots: above the soft limit where the worker has a memory controller, none elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

TEMPLATE = (
    Path(__file__).resolve().parents[3]
    / "roles/notebook_startd/templates/etc/condor/config.d/61-afhub-notebook-slots.conf.j2"
)
REGULAR = {
    "name": "regular",
    "cores": 1,
    "slot_memory_mb": 1536,
    "memory_limit_mb": 12288,
    "slots_per_host": 2,
}
LARGE = {"name": "large", "cores": 2, "slot_memory_mb": 20480, "memory_limit_mb": 20480}
XLARGE = {"name": "xlarge", "cores": 2, "slot_memory_mb": 49152, "memory_limit_mb": 49152}


def render(*, cgroups: bool, static: list[dict[str, Any]], shared: list[dict[str, Any]]) -> dict[str, str]:
    """The settings that a worker with these classes gets, by name."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        ansible_managed="Managed by Ansible",
        ansible_facts={"processor_vcpus": 8, "memtotal_mb": 32000},
        notebook_uid_domain="example.org",
        notebook_startd_first_slot_type=42,
        notebook_startd_update_interval_s=5,
        notebook_startd_execute_folder="/var/lib/condor/afhub-execute",
        notebook_startd_hard_memory_factor=1.2,
        __notebook_startd_static=static,
        __notebook_startd_shared=shared,
        __notebook_startd_cgroups=cgroups,
    )
    settings = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            settings[name.strip()] = value.strip()
    return settings


WORKERS = {"static": [REGULAR], "shared": []}
BIG_SERVERS = {"static": [], "shared": [LARGE, XLARGE]}


@pytest.mark.parametrize(
    ("kind", "slot_type"), [(WORKERS, 43), (BIG_SERVERS, 42)], ids=["reserved", "shared"]
)
def test_with_a_memory_controller_the_kernels_limit_stands_above_the_soft_one(
    kind: dict[str, Any], slot_type: int
) -> None:
    settings = render(cgroups=True, **kind)
    prefix = f"SLOT_TYPE_{slot_type}"
    assert settings[f"{prefix}.CGROUP_MEMORY_LIMIT_POLICY"] == "custom"
    factor = re.fullmatch(
        r"int\(TARGET\.AfhubMemoryLimitMb \* ([\d.]+)\)", settings[f"{prefix}.CGROUP_HARD_MEMORY_LIMIT_EXPR"]
    )
    assert factor is not None and float(factor[1]) > 1
    # Under pressure the kernel takes first what is above the slot's reservation.
    assert settings[f"{prefix}.CGROUP_SOFT_MEMORY_LIMIT_EXPR"] == "TARGET.RequestMemory"
    assert not any("BASE_CGROUP" in name for name in settings)


@pytest.mark.parametrize(
    ("kind", "slot_type"), [(WORKERS, 43), (BIG_SERVERS, 42)], ids=["reserved", "shared"]
)
def test_without_one_memory_is_measured_by_processes_and_the_kernel_has_no_limit(
    kind: dict[str, Any], slot_type: int
) -> None:
    settings = render(cgroups=False, **kind)
    assert settings[f"SLOT_TYPE_{slot_type}.BASE_CGROUP"] == ""
    assert not any("CGROUP_MEMORY" in name or "MEMORY_LIMIT" in name for name in settings)


@pytest.mark.parametrize("cgroups", [True, False], ids=["with", "without"])
def test_the_slots_are_the_same_either_way(cgroups: bool) -> None:
    workers = render(cgroups=cgroups, **WORKERS)
    assert workers["NB.SLOT_TYPE_43"].startswith("cpus=1, memory=1536,")
    assert workers["NB.NUM_SLOTS_TYPE_43"] == "2"
    assert workers["SLOT_TYPE_43_AfhubClasses"] == '"regular"'
    assert workers["SLOT_TYPE_43.STARTER_UPDATE_INTERVAL"] == "5"
    assert int(workers["NB.MAX_SLOT_TYPES"]) >= 43
    big = render(cgroups=cgroups, **BIG_SERVERS)
    assert big["NB.NUM_SLOTS_TYPE_42"] == "1"
    assert big["SLOT_TYPE_42_AfhubClasses"] == '"large,xlarge"'
    assert big["SLOT_TYPE_42_PARTITIONABLE"] == "True"
