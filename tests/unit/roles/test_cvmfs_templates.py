"""The CVMFS client sources its configuration with a shell: what the role writes must be read back unchanged."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest

TEMPLATES = Path(__file__).resolve().parents[3] / "roles" / "cvmfs" / "templates" / "etc" / "cvmfs"
HOSTILE = "http://a:3128';touch /tmp/x;$(id)`id`\"|\\"


def render(template: str, **facts: Any) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["quote"] = shlex.quote
    source = (TEMPLATES / template).read_text(encoding="utf-8")
    return environment.from_string(source).render(ansible_managed="Managed by Ansible", **facts)


def read_by_shell(path: Path, *names: str) -> list[str]:
    subprocess.run(["sh", "-n", str(path)], check=True)
    script = '. "$0"; for name; do eval "printf \'%s\\0\' \\"\\$$name\\""; done'
    done = subprocess.run(
        ["sh", "-eu", "-c", script, str(path), *names], check=True, capture_output=True, text=True
    )
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("proxy", ["DIRECT", "http://squid1:3128|http://squid2:3128;DIRECT", HOSTILE])
def test_client_configuration_is_read_back_unchanged(tmp_path: Path, proxy: str) -> None:
    path = tmp_path / "60-afhub.conf"
    path.write_text(
        render(
            "default.d/60-afhub.conf.j2",
            cvmfs_repositories=["sw.example.org", "data.example.org"],
            cvmfs_http_proxy=proxy,
            cvmfs_quota_limit_mb=20000,
        ),
        encoding="utf-8",
    )
    values = read_by_shell(path, "CVMFS_REPOSITORIES", "CVMFS_HTTP_PROXY", "CVMFS_QUOTA_LIMIT")
    assert values == ["sw.example.org,data.example.org", proxy, "20000"]


def test_further_repository_has_its_servers_and_its_key(tmp_path: Path) -> None:
    servers = ["http://one.example.org/cvmfs/@fqrn@", "http://two.example.org/cvmfs/@fqrn@"]
    path = tmp_path / "sw.example.org.conf"
    path.write_text(
        render(
            "config.d/repository.conf.j2",
            item={"key": "sw.example.org", "value": {"server_urls": servers, "public_key_file": "sw.pub"}},
        ),
        encoding="utf-8",
    )
    values = read_by_shell(path, "CVMFS_SERVER_URL", "CVMFS_PUBLIC_KEY")
    assert values == [";".join(servers), "/etc/cvmfs/keys/sw.example.org.pub"]
