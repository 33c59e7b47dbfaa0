"""What cannot work is told before anything is made: the problem, and what to type next."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(
    *command: str, cwd: Path = ROOT, settings: dict[str, str] | None = None, **environment: str
) -> tuple[int, str]:
    """Runs a command of the repository with these settings in its environment; returns its code and its words."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", **(settings or {}), **environment},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the scripts and locks, where nothing is installed yet."""
    for name in ("tools", "docker", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def fake_docker(tmp_path: Path) -> Path:
    """A folder with a `docker` that answers as the real one does to somebody who may not use the engine."""
    folder = tmp_path / "fake-docker"
    folder.mkdir()
    script = folder / "docker"
    script.write_text(
        "#!/bin/sh\necho 'permission denied while trying to connect to the Docker daemon socket' >&2\nexit 1\n"
    )
    script.chmod(0o755)
    return folder


def test_an_engine_that_may_not_be_used_is_told_with_the_group_to_join(fake_docker: Path) -> None:
    code, output = run("docker/engine.sh", PATH=f"{fake_docker}:{os.environ['PATH']}")
    assert code == 1
    assert "may not use it" in output and "usermod -aG docker" in output


def test_a_missing_network_is_told_when_the_tools_are_installed(checkout: Path) -> None:
    code, output = run(
        "tools/venv.sh", "deploy", cwd=checkout,
        PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="", PIP_RETRIES="0",
        PIP_NO_CACHE_DIR="1", PIP_CONFIG_FILE=os.devnull,
    )  # fmt: skip
    assert code == 1
    assert "could not be installed" in output and "check the network" in output
    assert not list((checkout / ".venv").glob(".afhub-*")), (
        "a half-made environment must not pass for a whole one"
    )


def test_a_site_that_does_not_exist_is_told_with_those_that_do() -> None:
    code, output = run("tools/deploy.sh", SITE="inventories/nowhere")
    assert code == 1
    assert "SITE=inventories/nowhere does not exist" in output and "inventories/example" in output


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"INSTANCE": "Not/OK"}, ["INSTANCE=Not/OK", "lower-case letters", "INSTANCE=second"]),
        ({"INSTANCE": "unit", "PORT": "eighty"}, ["PORT=eighty", "1 to 65535"]),
    ],
)
def test_names_and_ports_that_are_none_are_refused(settings: dict[str, str], words: list[str]) -> None:
    code, output = run("docker/check.sh", settings=settings)
    assert code == 1
    assert all(word in output for word in words), output


def test_a_port_that_is_taken_is_told_with_another_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output = run("docker/check.sh", INSTANCE="unit", PORT=str(port))
    assert code == 1
    assert f"port {port} of this machine is taken" in output and f"PORT={port + 1}" in output


def test_a_disk_that_is_nearly_full_is_told_with_the_space_that_is_needed() -> None:
    code, output = run("docker/check.sh", INSTANCE="unit", PORT="8999", MINIPOOL_MIN_FREE_GB="999999")
    assert code == 1
    assert "GB are free" in output and "999999 GB" in output


def test_too_few_watchers_for_seven_hosts_more_are_told_with_the_command_that_helps() -> None:
    code, output = run("docker/check.sh", INSTANCE="unit", PORT="8999", MINIPOOL_INOTIFY_INSTANCES="20")
    assert code == 1
    assert "max_user_instances is 20" in output and "sysctl fs.inotify.max_user_instances=1024" in output
