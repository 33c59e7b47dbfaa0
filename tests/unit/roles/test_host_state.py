"""One call brings packages, files and services of a host; nothing is half written, and a preview writes nothing."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[3] / "roles" / "host_state"
SECRET = "this is a secret"
ACCOUNT = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


@dataclass
class Host:
    """This machine as a host, with programs that stand for those of its distribution and a role that asks."""

    folder: Path
    last: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        (self.folder / "etc").mkdir()
        (self.folder / "role" / "templates").mkdir(parents=True)
        self.program("dpkg-query", "echo 'condor installed'; echo 'munge config-files'; exit 1")
        self.program(
            "systemctl",
            f"cat {self.folder}/units/$5 2>/dev/null || echo ActiveState=inactive LoadState=not-found",
        )
        (self.folder / "units").mkdir()

    def program(self, name: str, body: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def unit(self, name: str, **properties: str) -> None:
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (self.folder / "units" / name).write_text("".join(lines), encoding="utf-8")

    def path(self, name: str) -> Path:
        return self.folder / "etc" / name

    def module(self, *files: dict[str, Any], check: bool = False, **parameters: Any) -> dict[str, Any]:
        """Call the module as Ansible calls it on a host."""
        arguments = {
            "files": [{**ACCOUNT, **one} for one in files],
            **parameters,
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(self.folder),
        }
        run = subprocess.run(
            [sys.executable, ROLE / "library" / "host_state.py"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.stdout, run.stderr
        self.last = json.loads(run.stdout)
        return self.last

    def play(self, *arguments: str, tasks: list[dict[str, Any]], **variables: Any) -> str:
        """Play tasks and handlers of a role that depends on host_state; returns what Ansible says."""
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": variables,
            "tasks": tasks,
            "handlers": [{"name": "Tell it", "ansible.builtin.debug": {"msg": "the handler ran"}}],
        }
        playbook = self.folder / "role" / "play.yml"
        playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
        run = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", playbook, *arguments],
            env={
                **os.environ,
                "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
                "ANSIBLE_ACTION_PLUGINS": str(ROLE / "action_plugins"),
                "ANSIBLE_LIBRARY": str(ROLE / "library"),
                "ANSIBLE_HOME": str(self.folder / ".ansible"),
                "ANSIBLE_CONFIG": str(ROLE.parents[1] / "ansible.cfg"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return run.stdout + run.stderr


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def encoded(text: str) -> str:
    return subprocess.run(["base64", "-w0"], input=text, capture_output=True, text=True, check=True).stdout


def a_file(host: Host, name: str, text: str, **more: Any) -> dict[str, Any]:
    return {"path": str(host.path(name)), "encoded": encoded(text), "mode": "0640", **more}


def local(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"connection": "local", "vars": {"ansible_python_interpreter": sys.executable}, **one}
        for one in tasks
    ]


def test_folders_files_and_links_are_made_with_their_rights_and_a_second_run_changes_nothing(
    host: Host,
) -> None:
    wanted = (
        {"path": str(host.path("outer/inner")), "mode": "0750"},
        a_file(host, "outer/inner/settings", "a = 1\n"),
        {"path": str(host.path("current")), "link": "outer/inner"},
    )
    assert host.module(*wanted)["written"] == [one["path"] for one in wanted]
    assert host.path("outer/inner/settings").read_text(encoding="utf-8") == "a = 1\n"
    assert host.path("outer/inner/settings").stat().st_mode & 0o7777 == 0o640
    # What had to be made above it is as open as it is, whatever the umask.
    assert host.path("outer").stat().st_mode & 0o7777 == 0o750
    assert host.path("current").readlink() == Path("outer/inner")
    assert not host.module(*wanted)["changed"]


def test_a_preview_tells_the_same_and_writes_nothing(host: Host) -> None:
    host.path("there").write_text("before\n", encoding="utf-8")
    wanted = (
        {"path": str(host.path("new")), "mode": "0755"},
        a_file(host, "new/file", "after\n", validate="false %s"),
        a_file(host, "there", "after\n"),
        {"path": str(host.path("link")), "link": "nowhere yet"},
    )
    result = host.module(*wanted, check=True)
    assert result["changed"]
    assert result["written"] == [one["path"] for one in wanted]
    assert [path.name for path in host.folder.joinpath("etc").iterdir()] == ["there"]
    assert host.path("there").read_text(encoding="utf-8") == "before\n"


def test_rights_are_corrected_where_the_content_is_right(host: Host) -> None:
    host.path("key").write_text("x\n", encoding="utf-8")
    host.path("key").chmod(0o644)
    result = host.module(a_file(host, "key", "x\n", mode="0600"))
    assert result["written"] == [str(host.path("key"))]
    assert result["differences"][0]["after"]["mode"] == "0600"
    assert host.path("key").stat().st_mode & 0o777 == 0o600


def test_a_content_that_is_not_valid_leaves_all_files_as_they_were(host: Host) -> None:
    host.path("first").write_text("old\n", encoding="utf-8")
    result = host.module(
        a_file(host, "first", "new\n"),
        {"path": str(host.path("link")), "link": "first"},
        a_file(host, "second", "bad\n", validate="grep -q good %s"),
    )
    assert result["failed"]
    assert str(host.path("second")) in result["msg"]
    assert [path.name for path in host.folder.joinpath("etc").iterdir()] == ["first"]
    assert host.path("first").read_text(encoding="utf-8") == "old\n"


def test_what_is_validated_sees_the_other_files_as_they_were(host: Host) -> None:
    key = host.path("key")
    wanted = (
        a_file(host, "key", "x\n"),
        a_file(host, "settings", "y\n", validate=f"sh -c 'test -e {key}' %s"),
    )
    assert host.module(*wanted)["failed"]
    assert not key.exists()
    host.module(wanted[0])
    assert host.module(*wanted)["written"] == [wanted[1]["path"]]


@pytest.mark.parametrize("kind", ["link", "folder", "file"])
def test_what_is_in_the_way_is_named_and_kept(host: Host, kind: str) -> None:
    path = host.path("taken")
    if kind == "file":
        path.mkdir()
    else:
        path.write_text("somebody's\n", encoding="utf-8")
    wanted = {
        "link": {"path": str(path), "link": "elsewhere"},
        "folder": {"path": str(path), "mode": "0755"},
        "file": a_file(host, "taken", "ours\n"),
    }[kind]
    result = host.module(wanted)
    assert result["failed"]
    assert str(path) in result["msg"]
    assert path.exists()


def test_a_link_becomes_a_file_and_what_it_led_to_stays(host: Host) -> None:
    host.path("vendor").write_text("x\n", encoding="utf-8")
    host.path("ours").symlink_to("vendor")
    assert host.module(a_file(host, "ours", "x\n"))["changed"]
    assert not host.path("ours").is_symlink()
    assert host.path("vendor").read_text(encoding="utf-8") == "x\n"


def test_no_content_shows_in_the_result(host: Host) -> None:
    result = host.module(a_file(host, "token", SECRET, secret=True))
    assert result["changed"]
    assert SECRET not in json.dumps(result)
    assert encoded(SECRET) not in json.dumps(result)
    host.module(a_file(host, "token", "another", secret=True))
    assert SECRET not in json.dumps(host.last)


def test_packages_that_are_missing_come_before_files(host: Host) -> None:
    result = host.module(a_file(host, "file", "x\n"), packages=["condor", "munge"])
    assert result["missing"] == ["munge"]
    assert not result["changed"]
    assert not host.path("file").exists()


def test_services_that_run_and_start_at_boot_are_left_alone(host: Host) -> None:
    host.unit(
        "good", ActiveState="active", UnitFileState="enabled", LoadState="loaded", NeedDaemonReload="no"
    )
    host.unit(
        "off", ActiveState="active", UnitFileState="disabled", LoadState="loaded", NeedDaemonReload="no"
    )
    host.unit(
        "stale", ActiveState="active", UnitFileState="enabled", LoadState="loaded", NeedDaemonReload="yes"
    )
    result = host.module(services=["good", "off", "stale", "absent"])
    assert [one["name"] for one in result["mend"]] == ["off", "stale", "absent"]
    assert not result["mend"][2]["known"]


def test_what_was_there_before_is_known(host: Host) -> None:
    host.path("old").touch()
    wanted = a_file(host, "new", "x\n")
    result = host.module(wanted, look_for=[str(host.path("old")), wanted["path"]])
    assert result["found"] == [str(host.path("old"))]


def test_templates_are_rendered_and_differences_shown_except_those_of_secrets(host: Host) -> None:
    (host.folder / "role" / "templates" / "a.conf.j2").write_text("name = {{ name }}\n", encoding="utf-8")
    task = {
        "name": "Have the files",
        "notify": "Tell it",
        "host_state": {
            "files": [
                {"path": str(host.path("a.conf")), "template": "a.conf.j2", "mode": "0644", **ACCOUNT},
                {
                    "path": str(host.path("b")),
                    "content": "{{ word }}",
                    "mode": "0600",
                    "secret": True,
                    **ACCOUNT,
                },
            ]
        },
    }
    first = host.play("--check", "--diff", "-vvv", tasks=local([task]), name="afhub", word=SECRET)
    assert "+name = afhub" in first, first
    assert "changed=1" in first
    assert SECRET not in first.split("TASK [Have the files]")[1]
    assert not host.path("a.conf").exists()
    second = host.play(tasks=local([task]), name="afhub", word=SECRET)
    assert "the handler ran" in second, second
    assert host.path("a.conf").read_text(encoding="utf-8") == "name = afhub\n"
    assert host.path("b").read_text(encoding="utf-8") == SECRET
    third = host.play(tasks=local([task]), name="afhub", word=SECRET)
    assert "changed=0" in third, third
    assert "the handler ran" not in third


def test_a_preview_of_what_a_host_lacks_changes_nothing_and_fails_at_nothing(host: Host) -> None:
    task = {"name": "Have a service", "host_state": {"services": ["absent.service"]}}
    said = host.play("--check", tasks=local([task]))
    assert "changed=1" in said, said
    assert "failed=0" in said


def test_a_misspelt_key_of_a_file_is_refused(host: Host) -> None:
    wanted = {"path": str(host.path("a")), "contents": "x", "mode": "0644", **ACCOUNT}
    said = host.play(tasks=local([{"name": "Have a file", "host_state": {"files": [wanted]}}]))
    assert "not possible: contents" in said, said
    assert not host.path("a").exists()
