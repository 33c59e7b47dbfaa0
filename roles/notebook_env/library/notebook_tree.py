#!/usr/bin/python
"""Versions of the notebook environment on one host: unpack, make current, remove old ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: notebook_tree
short_description: Versions of the notebook environment on one host
description:
  - Unpacks an archive as a version of its own, makes a version current by switching a link in one step, and removes
    versions that are neither current, nor among the last C(keep), nor in use by any process.
options:
  root:
    description: Folder that holds the versions and the link C(current).
    type: path
    required: true
  version:
    description: The version to make current.
    type: str
    required: true
  archive:
    description: Archive on this host with that version; removed afterwards. Not needed where the version is there.
    type: path
  keep:
    description: How many versions stay, the current one included. Versions in use stay besides.
    type: int
    default: 3
  must_exist:
    description: Fail, and name the versions that are there, where the version is neither there nor in an archive.
    type: bool
    default: false
"""

RETURN = """
absent:
  description: The version is not on this host and there was no archive; nothing was changed.
  type: bool
  returned: always
removed:
  description: Versions that were removed.
  type: list
  returned: always
version:
  description: The version that was asked for.
  type: str
  returned: always
versions:
  description: Versions on this host afterwards, the one made current last first.
  type: list
  returned: always
"""

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+]*-[0-9a-f]{12}")


class Refused(Exception):
    """What was asked for can't be done; the text is for the admin."""


class Tree:
    """The folder with the versions."""

    def __init__(self, root: Path, proc: Path = Path("/proc")) -> None:
        self.root = root
        self.link = root / "current"
        self.proc = proc

    def versions(self) -> list[str]:
        """Complete versions, the one made current last first."""
        if not self.root.is_dir():
            return []
        found = [entry for entry in self.root.iterdir() if VERSION.fullmatch(entry.name) and entry.is_dir()]
        found.sort(key=lambda entry: (entry.stat().st_mtime_ns, entry.name), reverse=True)
        return [entry.name for entry in found]

    def current(self) -> str | None:
        """The version `current` leads to."""
        try:
            return self.link.readlink().name
        except OSError:
            return None

    def in_use(self, candidates: list[str]) -> set[str]:
        """Those of the versions that a process runs from: by its command line, its libraries or its working directory.

        The interpreter itself says nothing: it belongs to the operating system and only the link to it is in a version.
        """
        paths = {version: os.fsencode(self.root / version) + b"/" for version in candidates}
        used: set[str] = set()
        for process in self.proc.iterdir():
            if not process.name.isdigit() or len(used) == len(paths):
                continue
            seen = b""
            for name in ("cmdline", "maps"):
                try:
                    seen += (process / name).read_bytes() + b"\n"
                except OSError:
                    continue
            with contextlib.suppress(OSError):
                seen += os.fsencode((process / "cwd").readlink()) + b"/"
            used.update(version for version, path in paths.items() if path in seen)
        return used

    def superfluous(self, keep: int, current: str) -> list[str]:
        """Versions that may go once `current` is current."""
        order = [current] + [version for version in self.versions() if version != current]
        old = order[max(keep, 1) :]
        used = self.in_use(old) if old else set()
        return [version for version in old if version not in used]

    def make_current(self, version: str) -> None:
        """Switch the link in one step: a job that starts at this moment gets the one version or the other."""
        fresh = self.root / ".current"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(version)
        fresh.replace(self.link)
        os.utime(self.root / version)

    def remove(self, version: str) -> None:
        """Remove a version; it vanishes from the list before its files go."""
        doomed = self.root / f".removed-{version}"
        (self.root / version).rename(doomed)
        shutil.rmtree(doomed)


def unpack(module: AnsibleModule, tree: Tree, version: str, archive: Path) -> None:
    """Unpack under another name, see that it runs on this host, then give it its name."""
    incoming = tree.root / f".incoming-{version}"
    if incoming.exists():
        shutil.rmtree(incoming)
    incoming.mkdir(mode=0o755)
    extract = ["tar", "--extract", "--gzip", "--no-same-owner", "--preserve-permissions"]
    code, _, errors = module.run_command([*extract, "--file", str(archive), "--directory", str(incoming)])
    if code != 0:
        raise Refused(f"{archive} does not unpack: {errors.strip()}; remove it from the cache")
    # Seen from its final place in the file system: scripts name it, so the interpreter is asked directly.
    code, _, errors = module.run_command(
        [str(incoming / "bin" / "python3"), "-I", "-m", "jupyter_afhub", "--version"]
    )
    if code != 0:
        built = json.loads((incoming / "environment.json").read_text(encoding="utf-8"))
        raise Refused(
            f"version {version}, built for {built['release']} with Python {built['python']}, does not run here: "
            f"{errors.strip()}"
        )
    incoming.rename(tree.root / version)


def wanted(module: AnsibleModule) -> dict[str, Any]:
    """Bring the host to what the parameters say; returns the result."""
    tree = Tree(Path(module.params["root"]))
    version: str = module.params["version"]
    if not VERSION.fullmatch(version):
        raise Refused(
            f"notebook_env_version {version!r} is no name of a version; they look like 0.1.0-0123456789ab"
        )
    before = tree.current()
    there = tree.versions()
    result: dict[str, Any] = {
        "changed": False,
        "absent": False,
        "removed": [],
        "version": version,
        "versions": there,
    }
    result["diff"] = {"before": f"current: {before}\n", "after": f"current: {version}\n"}
    if version not in there and not module.params["archive"]:
        if module.params["must_exist"]:
            raise Refused(
                f"notebook_env_version is {version}, which is not on this host; "
                f"versions here: {', '.join(there) or 'none'} (current: {before or 'none'})"
            )
        result.update(absent=True, changed=module.check_mode)
        return result
    if not module.check_mode:
        if version not in there:
            unpack(module, tree, version, Path(module.params["archive"]))
            result["changed"] = True
        if before != version:
            tree.make_current(version)
        if module.params["archive"]:
            Path(module.params["archive"]).unlink(missing_ok=True)
    result["changed"] = result["changed"] or before != version
    result["removed"] = tree.superfluous(module.params["keep"], version)
    if result["removed"]:
        result["changed"] = True
        if not module.check_mode:
            for old in result["removed"]:
                tree.remove(old)
    result["versions"] = tree.versions()
    return result


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "version": {"type": "str", "required": True},
            "archive": {"type": "path"},
            "keep": {"type": "int", "default": 3},
            "must_exist": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result = wanted(module)
    except Refused as problem:
        module.fail_json(msg=str(problem))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
