"""Our reading of argument specs accepts nothing that Ansible refuses, and no inventory breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fake_site import REPOSITORY, FakeSite
from site_rules import Specs, check_keys, check_value, nearest, report

SPECS = Specs.read(REPOSITORY)
CLASS_OPTIONS = SPECS.facts["notebook_classes"]["options"]

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
class_keys = st.sampled_from([*CLASS_OPTIONS, "memory_limt_mb"])
classes = st.dictionaries(class_keys, scalars, max_size=11)
good_classes = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"\A[a-z][a-z0-9_-]{0,31}\Z"),
        "title": st.text(min_size=1),
        "memory_limit_mb": st.integers(1000, 4000),
        "slot_memory_mb": st.integers(1, 1000),
        "cores": st.integers(1, 2),
        "runtime_s": st.integers(1, 10**6),
        "run_on": st.sampled_from(["workers", "big_servers"]),
    },
    optional={"slots_per_host": st.integers(1, 3), "description": st.text()},
)
unhurried = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@unhurried
@given(classes)
@example({"name": "x", "title": "X", "run_on": "w", "memory_limit_mb": True})
def test_a_class_that_passes_here_passes_ansibles_own_check(row: dict[str, Any]) -> None:
    if not list(check_keys("row", row, CLASS_OPTIONS)):
        assert not ArgumentSpecValidator(CLASS_OPTIONS).validate(row).error_messages


@unhurried
@given(good_classes)
def test_a_good_class_passes_here(row: dict[str, Any]) -> None:
    assert list(check_keys("row", row, CLASS_OPTIONS)) == []


@unhurried
@given(rows=st.lists(good_classes, min_size=1, max_size=4, unique_by=lambda row: row["name"]))
def test_a_good_table_passes_all_rules(site: FakeSite, rows: list[dict[str, Any]]) -> None:
    site.common["notebook_classes"] = [{**row, "default": index == 0} for index, row in enumerate(rows)]
    site.facts = {host: {"processor_vcpus": 100, "memtotal_mb": 100000} for host in site.facts}
    assert site.report() == ""


@unhurried
@given(name=st.sampled_from(sorted(SPECS.options)), value=anything)
def test_whatever_a_variable_holds_is_reported_and_not_a_traceback(
    site: FakeSite, name: str, value: object
) -> None:
    site.common[name] = value
    assert isinstance(site.report(), str)


@unhurried
@given(rows=st.lists(classes | anything, max_size=4), lookup=anything)
def test_whatever_the_classes_hold_is_reported_and_not_a_traceback(
    site: FakeSite, rows: list[object], lookup: object
) -> None:
    site.common["notebook_classes"] = rows
    site.own["worker001"] = {"__validate_hub_lookup": lookup}
    assert isinstance(site.report(), str)


@given(st.sampled_from(sorted(SPECS.known)))
def test_a_known_name_is_its_own_nearest(name: str) -> None:
    assert nearest(name, SPECS.known) == name


def test_a_secret_is_not_shown() -> None:
    (bad,) = check_value("jupyterhub_password", ["hunter2"], {"type": "str", "no_log": True})
    assert "hunter2" not in report([bad])


def test_every_option_of_every_role_has_type_and_description() -> None:
    for name, option in SPECS.options.items():
        assert option.get("description"), f"{name} has no description"
        assert option.get("type"), f"{name} has no type"


@pytest.mark.parametrize("name", sorted(SPECS.facts))
def test_site_facts_are_named_as_such(name: str) -> None:
    assert name.startswith("notebook_") or name == "hub_proxy_ca_file"
