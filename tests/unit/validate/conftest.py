"""A small site in which nothing is wrong, for tests to make something wrong in it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from fake_site import EXAMPLE, FakeSite, MakePemFiles, PemFiles, write_pem_files


@pytest.fixture(scope="session")
def make_pem_files(tmp_path_factory: pytest.TempPathFactory) -> MakePemFiles:
    """A function that makes a certificate for the names it is given."""

    def make(*names: str, days: int = 30) -> PemFiles:
        return write_pem_files(tmp_path_factory.mktemp("pem"), *names, days=days)

    return make


@pytest.fixture(scope="session")
def pem_files(make_pem_files: MakePemFiles) -> PemFiles:
    """A certificate for the name of the test site's hub, and for localhost."""
    return make_pem_files("notebooks.example.org", "localhost")


@pytest.fixture(scope="session")
def example_variables() -> dict[str, Any]:
    """What inventories/example says of all hosts."""
    variables: dict[str, Any] = {}
    for path in sorted((EXAMPLE / "group_vars" / "all").glob("*.yml")):
        variables.update(yaml.safe_load(path.read_text(encoding="utf-8")))
    return variables


@pytest.fixture
def site(pem_files: PemFiles, example_variables: dict[str, Any]) -> FakeSite:
    """The site of inventories/example with a certificate, its hosts being big enough."""
    common = copy.deepcopy(example_variables)
    common["hub_proxy_certificate_file"] = str(pem_files.certificate)
    common["hub_proxy_certificate_key_file"] = str(pem_files.key)
    groups = {
        "hub": ["jhub01"],
        "notebook_manager": ["nbcm01"],
        "workers": ["worker001", "worker002"],
        "big_servers": ["bigmem01"],
        "ungrouped": [],
    }
    system = {
        "distribution": "Debian",
        "distribution_version": "13.1",
        "distribution_major_version": "13",
        "os_family": "Debian",
    }
    small = {**system, "processor_vcpus": 8, "memtotal_mb": 16000}
    facts = {host: dict(small) for members in groups.values() for host in members}
    facts["bigmem01"] |= {"processor_vcpus": 64, "memtotal_mb": 512000}
    return FakeSite(common, groups, facts)
