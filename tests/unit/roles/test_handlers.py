"""A role that is read in to run once brings its handlers, which then run on one host for all that notified them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"


def handlers(role: str) -> set[str]:
    path = ROLES / role / "handlers" / "main.yml"
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
    return {handler["name"] for handler in listed}


def tasks(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in listed or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []))


def test_a_role_that_is_read_in_to_run_once_has_no_handler_of_a_name_that_others_notify() -> None:
    run_once = {
        task["ansible.builtin.import_role"]["name"]
        for path in ROLES.glob("*/tasks/*.yml")
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8")))
        if task.get("run_once") and "ansible.builtin.import_role" in task
    }
    assert run_once == {"condor_tokens"}
    for role in run_once:
        others = {name for path in ROLES.iterdir() if path.name != role for name in handlers(path.name)}
        assert handlers(role).isdisjoint(others)
