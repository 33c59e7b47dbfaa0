"""Name of the notebook environment that a set of inputs gives."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: notebook_env_version
short_description: Name of the notebook environment that a set of inputs gives
description:
  - Returns C(<package version>-<12 hexadecimal digits>). The digits are those of a SHA-256 over names and contents of
    all inputs and over the platform the environment is built for, so equal inputs give an equal name everywhere.
options:
  _terms:
    description: Files and folders on the control node that go into the environment.
    required: true
  package:
    description: The one of them that is the package's source folder; its C(pyproject.toml) has the version.
    type: str
    required: true
  release:
    description: Operating system release of the host, for example C(Debian-13).
    type: str
    required: true
  python:
    description: Version of its Python, for example C(3.13); empty where the release is not supported.
    type: str
    required: true
  machine:
    description: Its architecture, for example C(x86_64).
    type: str
    required: true
"""

_LEFT_OUT = {"__pycache__", "build", "dist", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_VERSION = re.compile(r'^version\s*=\s*"([0-9A-Za-z.+]+)"', re.MULTILINE)


def inputs(root: Path) -> Iterator[tuple[str, Path]]:
    """Files below a folder, or the file itself, with names relative to it, in the same order on every machine."""
    if root.is_file():
        yield root.name, root
        return
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        left_out = any(part in _LEFT_OUT or part.endswith(".egg-info") for part in parts)
        if path.is_file() and not left_out:
            yield f"{root.name}/{'/'.join(parts)}", path


def version_name(roots: list[Path], package: Path, platform: str) -> str:
    """The name; raises AnsibleError where an input is missing."""
    digest = hashlib.sha256(platform.encode() + b"\0")
    for root in roots:
        if not root.exists():
            raise AnsibleError(f"notebook environment: {root} does not exist on the control node")
        for name, path in inputs(root):
            content = path.read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    found = _VERSION.search((package / "pyproject.toml").read_text(encoding="utf-8"))
    if not found:
        raise AnsibleError(f"notebook environment: no version in {package}/pyproject.toml")
    return f"{found.group(1)}-{digest.hexdigest()[:12]}"


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        release, python, machine = (str(self.get_option(name)) for name in ("release", "python", "machine"))
        if not python:
            raise AnsibleError(
                f"notebook environment: {release} is not supported; "
                "use Debian 12 or 13, Ubuntu 22.04 or 24.04, or Enterprise Linux 9"
            )
        roots = [Path(str(term)) for term in terms]
        package = Path(str(self.get_option("package")))
        return [version_name(roots, package, f"{release} {python} {machine}")]
