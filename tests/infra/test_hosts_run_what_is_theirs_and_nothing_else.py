"""Daemons, open ports and hardening of each host."""

from __future__ import annotations

import re

import pytest

from minipool import Minipool

DAEMONS = {
    "hub": {"SCHEDD"},
    "notebook_manager": {"COLLECTOR", "NEGOTIATOR"},
    "workers": {"STARTD", "STARTD_NB"},
    "big_servers": {"STARTD_NB"},
    "batch_manager": {"COLLECTOR", "NEGOTIATOR", "SCHEDD"},
}


def test_no_host_has_a_failed_unit(pool: Minipool) -> None:
    for name in pool.hosts:
        failed = pool.check(name, "systemctl --failed --plain --no-legend")
        assert not failed.strip(), f"{name}: {failed}"


@pytest.mark.parametrize("group", sorted(DAEMONS))
def test_the_master_runs_the_daemons_of_its_group(pool: Minipool, group: str) -> None:
    for name in pool.group(group):
        listed = pool.check(name, "condor_config_val DAEMON_LIST")
        assert set(re.split(r"[ ,]+", listed.strip())) - {"MASTER", "SHARED_PORT"} == DAEMONS[group], name


def listening(pool: Minipool, host: str) -> set[int]:
    """Ports on which a host listens for other machines.

    A schedd and a collector open ports of their own for their shadows and for root's tools, at random; nothing but the
    shared port has to be reachable, and all of them ask for the same authentication.
    """
    lines = [line for line in pool.check(host, "ss -Hltnp").splitlines() if "condor_schedd" not in line]
    addresses = [line.split()[3] for line in lines if "condor_collecto" not in line]
    open_to_others = [address for address in addresses if not address.startswith(("127.", "[::1]"))]
    return {int(address.rpartition(":")[2]) for address in open_to_others}


def test_the_hub_listens_for_https_condor_and_ssh_alone(pool: Minipool) -> None:
    assert listening(pool, "hub") == {22, 80, 443, 9618}


def test_the_other_hosts_listen_for_condor_and_ssh_alone_while_no_notebook_runs(pool: Minipool) -> None:
    first, last = (pool.host_vars("hub")["notebook_port_range"][key] for key in ("first", "last"))
    for name in pool.hosts:
        if name != "hub":
            assert {port for port in listening(pool, name) if not first <= port <= last} == {22, 9618}, name


@pytest.mark.parametrize("unit", ["afhub-hub", "afhub-proxy"])
def test_a_unit_is_hardened_and_unprivileged(pool: Minipool, unit: str) -> None:
    hub = pool.host("hub")
    assert hub.service(unit).is_running and hub.service(unit).is_enabled
    report = pool.check("hub", f"systemd-analyze security --no-pager {unit}")
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", report)
    assert match and float(match[1]) < 4, report
    pid = pool.check("hub", f"systemctl show -P MainPID {unit}").strip()
    assert pool.check("hub", f"stat -c %U /proc/{pid}").strip() in ("afhub", "afhub-proxy")


def test_the_notebook_environment_is_one_read_only_tree_with_a_link(pool: Minipool) -> None:
    versions = set()
    for name in pool.group("workers") + pool.group("big_servers"):
        versions.add(pool.check(name, "readlink -f /opt/afhub/env/current").strip())
        assert not pool.check(
            name, "find -H /opt/afhub/env/current/ \\( ! -user root -o -perm /022 \\) ! -type l | head -3"
        )
        assert pool.run(name, "touch /opt/afhub/env/current/x", user="alice").returncode != 0
    assert len(versions) == 1
