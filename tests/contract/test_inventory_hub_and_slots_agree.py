"""notebook_classes of the inventory, the hub's table, the advertised slots and the schedd's limits are one thing."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from minipool import Minipool, wait_for


@pytest.fixture(scope="module")
def classes(pool: Minipool) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in pool.classes}


def test_every_host_advertises_the_slots_of_its_classes_and_no_other(
    pool: Minipool, classes: dict[str, dict[str, Any]]
) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    for host in sorted({host for row in classes.values() for host in pool.group(row["run_on"])}):
        mine = [row for row in classes.values() if host in pool.group(row["run_on"])]
        for row in mine:
            if "slots_per_host" in row:
                expected[(f"{host}.af.test", row["name"], "Static")] = row["slots_per_host"]
        shared = [row["name"] for row in mine if "slots_per_host" not in row]
        if shared:
            expected[(f"{host}.af.test", ",".join(shared), "Partitionable")] = 1

    def advertised() -> Counter[tuple[str, str, str]]:
        slots = [ad for ad in pool.slots() if ad["SlotType"] != "Dynamic"]
        return Counter((ad["Machine"], ad["AfhubClasses"], ad["SlotType"]) for ad in slots)

    wait_for("all slots are advertised", lambda: advertised() == expected, timeout_s=90)
    assert advertised() == expected


def test_a_reserved_slot_has_the_memory_and_cores_of_its_class(
    pool: Minipool, classes: dict[str, dict[str, Any]]
) -> None:
    static = [ad for ad in pool.slots() if ad["SlotType"] == "Static"]
    assert static
    for ad in static:
        row = classes[ad["AfhubClasses"]]
        assert (ad["Cpus"], ad["Memory"]) == (row["cores"], row["slot_memory_mb"]), ad["Name"]


def test_a_big_server_has_room_for_each_class_it_serves(
    pool: Minipool, classes: dict[str, dict[str, Any]]
) -> None:
    for ad in pool.slots():
        if ad["SlotType"] == "Partitionable":
            for name in ad["AfhubClasses"].split(","):
                assert ad["TotalSlotCpus"] >= classes[name]["cores"]
                assert ad["TotalSlotMemory"] >= classes[name]["slot_memory_mb"]


def test_the_hub_knows_the_same_table(pool: Minipool, classes: dict[str, dict[str, Any]]) -> None:
    settings = json.loads(pool.check("hub", "cat /etc/afhub/hub/settings.json"))
    assert {row["name"]: row for row in settings["classes"]} == classes


def test_the_schedd_has_one_transform_for_each_class_with_its_limits(
    pool: Minipool, classes: dict[str, dict[str, Any]]
) -> None:
    names = pool.check("hub", "condor_config_val JOB_TRANSFORM_NAMES").split()
    assert names == ["AfhubPlain", *(f"Afhub_{name}" for name in classes)]
    for name, row in classes.items():
        text = pool.check("hub", f"condor_config_val JOB_TRANSFORM_Afhub_{name}")
        found = dict(re.findall(r"SET (\w+) (.*)", text))
        assert found["RequestCpus"] == str(row["cores"])
        assert found["RequestMemory"] == str(row["slot_memory_mb"])
        assert found["AfhubMemoryLimitMb"] == str(row["memory_limit_mb"])
        assert found["AllowedJobDuration"] == str(row["runtime_s"])
