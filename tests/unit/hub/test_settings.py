"""Bad settings are refused with a text that names variable, value and cure; good ones are frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from afhub.settings import Settings, SettingsError, load, parse


def test_the_default_class_is_the_one_marked(settings: Settings) -> None:
    assert settings.default_class.name == "regular"
    assert settings.public_url == "https://hub.example.org"


def test_a_single_class_is_the_default_unmarked(data: dict[str, Any]) -> None:
    data["classes"] = data["classes"][1:]
    assert parse(data).default_class.name == "large"


def test_another_port_is_part_of_the_address(data: dict[str, Any]) -> None:
    assert parse({**data, "hub_port": 8443}).public_url == "https://hub.example.org:8443"


def test_settings_are_frozen(settings: Settings) -> None:
    with pytest.raises(ValidationError):
        settings.hub_name = "other"


def _set(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split("/")
    target: Any = data
    for part in parents:
        target = target[int(part) if part.isdigit() else part]
    target[last] = value


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("classes/1/name", "regular", ["classes", "regular", "more than once", "name of its own"]),
        ("classes/1/default", True, ["default: true", "regular, large", "leave it in one"]),
        ("classes/0/default", False, ["no default", "write default: true"]),
        ("classes/0/memory_limit_mb", 1000, ["memory_limit_mb", "1000", "1536 or more"]),
        ("classes/0/runtime_s", 0, ["runtime_s", "is 0", "greater than 0"]),
        ("classes/0/runtime_s", -5, ["runtime_s", "is -5", "greater than 0"]),
        ("classes/0/cores", "2", ["cores", "'2'", "valid integer"]),
        ("classes/0/memroy_limit_mb", 1, ["memroy_limit_mb", "no such key", "spelling"]),
        ("classes/0/name", "Regular", ["name is 'Regular'", "a-z"]),
        ("classes/0/name", "x" * 33, ["1 to 32"]),
        ("classes/0/name", "regular\n", ["name is 'regular\\n'"]),
        ("classes/0/title", "two\nlines", ["one line"]),
        ("hub_name", "hub example", ["hub_name", "'hub example'", "host name"]),
        ("condor/schedd", "a b", ["schedd", "'a b'", "host name"]),
        ("condor/collector", "nbcm:none", ["collector", "host:port"]),
        ("notebook/command", "bin/x", ["command", "full path"]),
        ("notebook/port_range", {"first": 41000, "last": 40000}, ["last is 40000", "41000 or more"]),
        ("notebook/environment", {"JUPYTERHUB_API_URL": "x"}, ["JUPYTERHUB_API_URL", "leave it out"]),
        ("notebook/environment", {"A B": "x"}, ["'A B'", "letters, digits"]),
        ("notebook/environment", {"A": "x\ny"}, ["one line"]),
        ("notebook/environment", {"A": "$$(B)"}, ["'$$'"]),
        ("hub_prot", 443, ["hub_prot", "no such key"]),
    ],
)
def test_a_fault_is_named_with_its_cure(
    data: dict[str, Any], path: str, value: Any, words: list[str]
) -> None:
    _set(data, path, value)
    with pytest.raises(SettingsError) as caught:
        parse(data)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_key_is_named(data: dict[str, Any]) -> None:
    del data["condor"]["schedd"]
    with pytest.raises(SettingsError, match=r"^condor\.schedd: missing: add it$"):
        parse(data)


def test_file_faults_name_the_file(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "settings.json"
    with pytest.raises(SettingsError, match=r"settings\.json: can't be read: No such file"):
        load(path)
    path.write_text("{")
    with pytest.raises(SettingsError, match=r"settings\.json: is not valid JSON"):
        load(path)
    path.write_text(json.dumps({**data, "hub_name": 3}))
    with pytest.raises(SettingsError, match=r"settings\.json: hub_name: is 3"):
        load(path)
    path.write_text(json.dumps(data))
    assert load(path) == parse(data)
