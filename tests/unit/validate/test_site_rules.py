"""Each rule refuses what it should: one fault put into a good site is one line that names variable, value and cure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fake_site import EXAMPLE, REPOSITORY, FakeSite, MakePemFiles, PemFiles
from site_rules import Specs

Break = Callable[[FakeSite], object]


def test_a_good_site_has_no_violations(site: FakeSite) -> None:
    assert site.report() == ""


def row(index: int, **values: Any) -> Break:
    """Change one row of notebook_classes: 0 is regular, 1 large, 2 xlarge."""
    return lambda site: site.classes[index].update(values)


def common(**values: Any) -> Break:
    """Change variables of all hosts."""
    return lambda site: site.common.update(values)


def rename(index: int, old: str, new: str) -> Break:
    """Misspell a key of a class."""
    return lambda site: site.classes[index].update({new: site.classes[index].pop(old)})


def misspell(old: str, new: str) -> Break:
    """Misspell a variable."""
    return lambda site: site.common.update({new: site.common.pop(old)})


FAULTS: dict[str, tuple[Break, list[str]]] = {
    "two classes of one name": (
        row(2, name="large"),
        ["notebook_classes[].name — large — 2 classes have this name; give each class a name of its own"],
    ),
    "a class name with a capital": (
        row(2, name="XLarge"),
        ["notebook_classes[].name — XLarge — write a lower-case letter"],
    ),
    "two defaults": (
        row(1, default=True),
        ["notebook_classes[].default — true in regular, large — write 'default: true' in exactly one class"],
    ),
    "no default": (
        row(0, default=False),
        ["notebook_classes[].default — true in no class — write 'default: true' in exactly one class"],
    ),
    "no classes": (common(notebook_classes=[]), ["notebook_classes — [] — write at least one class"]),
    "run_on that is no group": (
        row(2, run_on="big_server"),
        [
            "notebook_classes[xlarge].run_on — big_server — there is no such group; "
            "write one of the groups with notebook hosts: big_servers, workers"
        ],
    ),
    "run_on a group that gets no notebook startd": (
        row(2, run_on="hub"),
        [
            "notebook_classes[xlarge].run_on — hub — hosts of this group are in neither of workers and big_servers"
        ],
    ),
    "a limit below the slot's memory": (
        row(0, memory_limit_mb=1024),
        ["notebook_classes[regular].memory_limit_mb — 1024 — write at least slot_memory_mb, which is 1536"],
    ),
    "no time to run": (
        row(1, runtime_s=0),
        ["notebook_classes[large].runtime_s — 0 — write a number above 0"],
    ),
    "negative cores": (row(1, cores=-2), ["notebook_classes[large].cores — -2 — write a number above 0"]),
    "no slots": (
        row(0, slots_per_host=0),
        ["notebook_classes[regular].slots_per_host — 0 — write a number above 0, or leave it out"],
    ),
    "a number in quotes": (
        row(1, runtime_s="12h"),
        ["notebook_classes[large].runtime_s — 12h — write a whole number, without quotes"],
    ),
    "an empty value": (
        row(0, slots_per_host=None),
        [
            "notebook_classes[regular].slots_per_host — empty — write a whole number, without quotes, or remove"
        ],
    ),
    "a misspelt key": (
        rename(0, "memory_limit_mb", "memory_limt_mb"),
        ["notebook_classes[regular].memory_limt_mb — 12288 — there is no such key; write memory_limit_mb"],
    ),
    "a key that resembles none": (
        row(0, colour="red"),
        ["notebook_classes[regular].colour — red — there is no such key; there are: name, title,"],
    ),
    "a class that is no dictionary": (
        lambda site: site.common["notebook_classes"].append("tiny"),
        ["notebook_classes[3] — tiny — write keys and values"],
    ),
    "a missing key": (
        lambda site: site.classes[0].pop("title"),
        ["notebook_classes[regular].title — not set — set it: What the spawn page calls the class"],
    ),
    "a misspelt variable": (
        misspell("jupyterhub_admin_users", "jupyterhub_admins_users"),
        ['jupyterhub_admins_users — ["adminuser"] — there is no such variable; write jupyterhub_admin_users'],
    ),
    "a misspelt and so missing fact": (
        misspell("notebook_uid_domain", "notbook_uid_domain"),
        [
            "notbook_uid_domain — example.org — there is no such variable; write notebook_uid_domain",
            "notebook_uid_domain — not set — set it: ",
        ],
    ),
    "a variable that resembles none": (
        common(batch_favourite_colour="red"),
        ["batch_favourite_colour — red — there is no such variable; remove it (docs/variables.md"],
    ),
    "a misspelt variable with a secret": (
        common(jupyterhub_databse_password="hunter2"),
        ["jupyterhub_databse_password — (hidden) — there is no such variable"],
    ),
    "truth in quotes": (
        common(jupyterhub_allow_all="false"),
        ["jupyterhub_allow_all — false — write true or false, without quotes"],
    ),
    "a choice that is none": (
        common(jupyterhub_database="mysql"),
        ["jupyterhub_database — mysql — write one of: sqlite, postgresql"],
    ),
    "one thing where a list belongs": (
        common(jupyterhub_admin_users="alice"),
        ["jupyterhub_admin_users — alice — write a list, one '- item' a line"],
    ),
    "a hub name that is an address": (
        common(notebook_hub_name="https://notebooks.example.org"),
        [
            "notebook_hub_name — https://notebooks.example.org — write a bare name such as notebooks.example.org",
            "get one for https://notebooks.example.org",
        ],
    ),
    "nobody may log in": (
        lambda site: site.common.pop("jupyterhub_allowed_groups"),
        [
            "jupyterhub_allow_all — not set — nobody could log in: write true, or fill jupyterhub_allowed_groups"
        ],
    ),
    "privileged ports": (
        common(notebook_port_range={"first": 80, "last": 90}),
        ["notebook_port_range — 80-90 — use ports between 1024 and 65535"],
    ),
    "ports the wrong way round": (
        common(notebook_port_range={"first": 40999, "last": 40000}),
        ["notebook_port_range — 40999-40000 — write a 'last' that is above 'first'"],
    ),
    "HTCondor's own port": (
        common(notebook_port_range={"first": 9000, "last": 9999}),
        ["notebook_port_range — 9000-9999 — leave out 9618"],
    ),
    "fewer ports than slots": (
        common(notebook_port_range={"first": 40000, "last": 40009}),
        [
            "notebook_port_range — 40000-40009 (10 ports) — a host has up to 25 notebooks at a time; "
            "write 'last: 40024'"
        ],
    ),
    "a hub port that is none": (
        common(notebook_hub_port=70000),
        ["notebook_hub_port — 70000 — write a port between 1 and 65535"],
    ),
    "no notebooks for anyone": (
        common(notebook_max_per_user=0),
        ["notebook_max_per_user — 0 — write a number above 0"],
    ),
    "a time below zero": (
        common(jupyterhub_idle_timeout_s=-1),
        ["jupyterhub_idle_timeout_s — -1 — write a number that is not below 0"],
    ),
    "more slots than cores": (
        row(0, slots_per_host=9),
        [
            "notebook_classes[regular].slots_per_host — 9 × 1 = 9 cores — the host offers 8 cores; write fewer or "
            "smaller slots, or set notebook_oversubscribe: true to let them share [worker001, worker002]"
        ],
    ),
    "more slots than memory": (
        row(0, slot_memory_mb=9000),
        ["notebook_classes[regular].slots_per_host — 2 × 9000 = 18000 MB — the host offers 16000 MB"],
    ),
    "more slots than the cores it offers": (
        lambda site: site.own.update(worker001={"notebook_host_cores": 1, "notebook_oversubscribe": True}),
        [
            "notebook_classes[regular].slots_per_host — 2 × 1 = 2 cores — the host offers 1 cores; "
            "write fewer or smaller slots, or raise notebook_host_cores [worker001]"
        ],
    ),
    "a host that offers more than it has": (
        lambda site: site.own.update(worker002={"notebook_host_cores": 16}),
        [
            "notebook_host_cores — 16 — the host has 8 cores; write that at most, or set "
            "notebook_oversubscribe: true [worker002]"
        ],
    ),
    "a class that no host is big enough for": (
        row(2, memory_limit_mb=600000, slot_memory_mb=600000),
        ["notebook_classes[xlarge].slot_memory_mb — 600000 — the host has 512000 MB left for this class"],
    ),
    "reserved slots that leave too little for the rest": (
        lambda site: site.classes.append(
            {
                **site.classes[0],
                "name": "tiny",
                "default": False,
                "run_on": "big_servers",
                "slots_per_host": 63,
            }
        ),
        [
            "notebook_classes[large].cores — 2 — the host has 1 cores left for this class",
            "notebook_classes[xlarge].cores — 2 — the host has 1 cores left for this class",
        ],
    ),
    "an operating system that nobody tried": (
        lambda site: site.facts["nbcm01"].update(
            distribution="Fedora", distribution_version="44", os_family="RedHat"
        ),
        ["operating system — Fedora 44 — use Debian 12 or 13, Ubuntu 22.04 or 24.04, or Enterprise Linux 9"],
    ),
    "a hub name that does not resolve": (
        lambda site: site.unresolved.update({"worker001", "jhub01"}),
        [
            "notebook_hub_name — notebooks.example.org — this name does not resolve; correct it, or add it to "
            "the DNS or /etc/hosts of these hosts [jhub01, worker001]"
        ],
    ),
    "two hubs": (
        lambda site: site.groups["hub"].append("nbcm01"),
        ["group hub — jhub01, nbcm01 — put exactly one host into this group"],
    ),
    "no notebook manager": (
        lambda site: site.groups.pop("notebook_manager"),
        ["group notebook_manager — no host — put exactly one host into this group"],
    ),
    "a fact that differs between hosts": (
        lambda site: site.own.update(worker001={"notebook_uid_domain": "example.com"}),
        [
            "notebook_uid_domain — example.com — it is example.org on bigmem01; set it once, in group_vars/all "
            "[worker001]"
        ],
    ),
    "a batch schedd without its collector": (
        common(notebook_batch_schedd="submit01.example.org"),
        ["notebook_batch_collector — not set — write it beside notebook_batch_schedd, or leave out both"],
    ),
    "half a batch pool": (
        lambda site: site.groups.update(batch_manager=["worker001"]),
        ["group batch_schedd — no host — put a host into it, or none into batch_manager"],
    ),
    "workers too small for Spark": (
        common(notebook_batch_worker={"cores": 1, "memory_mb": 512, "disk_mb": 2048}),
        ["notebook_batch_worker.memory_mb — 512 — write 960 or more"],
    ),
    "another way to show who one is": (
        common(notebook_batch_authentication="password"),
        ["notebook_batch_authentication — password — "],
    ),
    "a certificate that is not there": (
        common(hub_proxy_certificate_file="/nowhere/hub.pem"),
        ["hub_proxy_certificate_file — /nowhere/hub.pem — there is no such file on the machine that runs"],
    ),
    "a key that cannot be read": (
        common(hub_proxy_certificate_key_file="/"),
        ["hub_proxy_certificate_key_file — / — this file cannot be read here (Is a directory)"],
    ),
    "half a path": (
        common(hub_proxy_certificate_key_file="files/hub.key"),
        [
            'hub_proxy_certificate_key_file — files/hub.key — write the whole path, such as "{{ inventory_dir }}/f'
        ],
    ),
    "no certificate at all": (
        lambda site: site.common.pop("hub_proxy_certificate_file"),
        ["hub_proxy_certificate_file — not set — set it to the path of a PEM file"],
    ),
    "a CA file without a certificate": (
        common(hub_proxy_ca_file=__file__),
        ["hub_proxy_ca_file — ", "this file holds no certificate"],
    ),
}


@pytest.mark.parametrize(("fault", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_line_with_variable_value_and_cure(
    site: FakeSite, fault: Break, expected: list[str]
) -> None:
    fault(site)
    lines = site.lines()
    for text in expected:
        assert any(text in line for line in lines), f"{text!r} is not in {lines}"
    # Nothing else is reported: a cure for something that is fine would lead people astray.
    assert len([line for line in lines if not any(text in line for text in expected)]) == 0, lines


def test_all_faults_are_told_at_once(site: FakeSite) -> None:
    site.classes[0]["runtime_s"] = -1
    site.classes[1]["default"] = True
    site.common["notebook_hub_port"] = 0
    report = site.report()
    assert report.startswith("Nothing was changed. 3 things in the inventory have to be corrected first:")
    assert len(site.lines()) == 3


def test_a_run_on_without_hosts_names_the_groups_that_have_some(site: FakeSite) -> None:
    site.groups["gpu_servers"] = []
    site.classes[2]["run_on"] = "gpu_servers"
    (line,) = site.lines()
    assert (
        "gpu_servers — this group has no hosts; write one of the groups with notebook hosts: big_servers, workers"
        in line
    )


def test_a_group_inside_the_workers_may_run_a_class(site: FakeSite) -> None:
    site.groups["fast_workers"] = ["worker002"]
    site.classes.append({**site.classes[0], "name": "fast", "default": False, "run_on": "fast_workers"})
    assert site.report() == ""


def test_reserved_slots_and_a_partitionable_one_share_a_host(site: FakeSite) -> None:
    site.classes.append({**site.classes[0], "name": "tiny", "default": False, "run_on": "big_servers"})
    assert site.report() == ""


def test_oversubscription_is_the_sites_choice(site: FakeSite) -> None:
    site.classes[0]["slots_per_host"] = 20
    assert "notebook_oversubscribe" in site.report()
    site.common["notebook_oversubscribe"] = True
    assert site.report() == ""


def test_an_untested_system_is_the_sites_choice(site: FakeSite) -> None:
    site.facts["worker001"]["distribution_major_version"] = "99"
    site.facts["worker001"]["distribution_version"] = "99"
    assert "Debian 99" in site.report()
    site.own["worker001"] = {"notebook_allow_untested_os": True}
    assert site.report() == ""


@pytest.mark.parametrize(
    ("distribution", "version", "major", "family"),
    [
        ("Debian", "12.11", "12", "Debian"),
        ("Ubuntu", "22.04", "22", "Debian"),
        ("Ubuntu", "24.04", "24", "Debian"),
        ("AlmaLinux", "9.6", "9", "RedHat"),
        ("RedHat", "9.4", "9", "RedHat"),
    ],
)
def test_supported_systems_pass(
    site: FakeSite, distribution: str, version: str, major: str, family: str
) -> None:
    site.facts["worker001"] |= {
        "distribution": distribution,
        "distribution_version": version,
        "distribution_major_version": major,
        "os_family": family,
    }
    assert site.report() == ""


def test_a_limit_does_not_hide_faults_of_the_inventory(site: FakeSite) -> None:
    site.in_play = {"worker001"}
    site.classes[2]["run_on"] = "nowhere"
    site.common["hub_proxy_certificate_file"] = "/nowhere/hub.pem"
    assert len(site.lines()) == 2


def test_only_hosts_in_play_are_held_against_their_own_facts(site: FakeSite) -> None:
    site.classes[0]["slots_per_host"] = 9
    site.unresolved = {"worker002"}
    site.in_play = {"worker001"}
    (line,) = site.lines()
    assert line.endswith("[worker001]")


def test_many_hosts_with_one_fault_are_one_line(site: FakeSite) -> None:
    site.groups["workers"] = [f"worker{number:03}" for number in range(1, 31)]
    site.facts.update({host: {"processor_vcpus": 1, "memtotal_mb": 16000} for host in site.groups["workers"]})
    (line,) = site.lines()
    assert line.endswith("[worker001, worker002, worker003 and 27 more]")


def test_a_certificate_for_another_name_is_refused(site: FakeSite, make_pem_files: MakePemFiles) -> None:
    use(site, make_pem_files("www.example.com"))
    (line,) = site.lines()
    assert "this certificate is for www.example.com; get one for notebooks.example.org" in line


def test_a_wildcard_certificate_is_good_for_one_label(site: FakeSite, make_pem_files: MakePemFiles) -> None:
    use(site, make_pem_files("*.example.org"))
    assert site.report() == ""
    site.common["notebook_hub_name"] = "a.b.example.org"
    assert "get one for a.b.example.org" in site.report()


def test_an_old_certificate_is_refused(site: FakeSite, make_pem_files: MakePemFiles) -> None:
    use(site, make_pem_files("notebooks.example.org", days=-3))
    (line,) = site.lines()
    assert "this certificate ended on 20" in line


def test_a_key_of_another_certificate_is_refused(site: FakeSite, make_pem_files: MakePemFiles) -> None:
    site.common["hub_proxy_certificate_key_file"] = str(make_pem_files("other.example.org").key)
    (line,) = site.lines()
    assert "this key does not belong to hub_proxy_certificate_file" in line


def test_a_key_in_a_vault_is_taken_as_it_is(site: FakeSite, tmp_path: Path) -> None:
    vault = tmp_path / "hub.key"
    vault.write_text("$ANSIBLE_VAULT;1.1;AES256\n3361", encoding="ascii")
    site.common["hub_proxy_certificate_key_file"] = str(vault)
    assert site.report() == ""


def test_the_example_shows_the_default_of_every_line_that_is_commented_out() -> None:
    options = Specs.read(REPOSITORY).options
    shown = {
        name: yaml.safe_load(value)
        for path in sorted((EXAMPLE / "group_vars" / "all").glob("*.yml"))
        for name, value in re.findall(r"^# (\w+): (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if name.startswith(("notebook_", "jupyterhub_", "hub_proxy_", "cvmfs_"))
    }
    assert len(shown) > 10
    assert shown.keys() <= options.keys()
    for name, value in shown.items():
        if options[name].get("default") not in (None, ""):
            assert value == options[name]["default"], json.dumps([name, value])


def use(site: FakeSite, files: PemFiles) -> None:
    """Let a site have another certificate."""
    site.common["hub_proxy_certificate_file"] = str(files.certificate)
    site.common["hub_proxy_certificate_key_file"] = str(files.key)
