"""Builds the notebook environment on this host and packs it into an archive.

Runs as an ordinary user in a folder that is thrown away. A virtual environment knows its own path, and this one is to
live under another one: what holds the path is written anew, and the archive is refused if anything was missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

UNUSED = (
    "share/jupyterhub/static/components",  # of the hub's own pages
    "lib/python3*/site-packages/jedi/third_party/django-stubs",
)
"""Folders no notebook needs; together they are almost half of all files."""


def run(*command: str | Path) -> None:
    """Run a command; its output goes to the log of the deployment only where it fails."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")


def release() -> str:
    """This host's release in the words of the role, for example Debian-13, Ubuntu-24.04 or EL-9."""
    facts = {}
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        facts[name] = value.strip('"')
    kind, number = facts.get("ID", ""), facts.get("VERSION_ID", "")
    if kind in ("debian", "ubuntu"):
        return f"{kind.capitalize()}-{number}"
    return f"EL-{number.split('.')[0]}"


def build(source: Path, work: Path, lock: str) -> Path:
    """Make the environment in `work` and return its folder; nothing in it was compiled yet."""
    tools = work / "tools"
    tree = work / "tree"
    package = source / "jupyter-afhub"
    run(sys.executable, "-m", "venv", tools)
    # The pip of older releases can't install into another environment: this one is locked as well.
    run(tools / "bin/pip", "install", "--require-hashes", "-r", package / "build-requirements.txt")
    pip = tools / "bin/pip"
    # Every folder with a pyproject.toml is a package of the project.
    packages = sorted(path.parent for path in source.glob("*/pyproject.toml"))
    run(
        pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        work / "wheels",
        *packages,
    )
    run(sys.executable, "-m", "venv", "--without-pip", tree)
    install = (pip, "--python", tree / "bin/python3", "install", "--no-compile")
    run(*install, "--require-hashes", "--only-binary", ":all:", "-r", source / lock)
    run(*install, "--no-deps", "--no-index", *(work / "wheels").glob("*.whl"))
    run(pip, "--python", tree / "bin/python3", "check")
    for pattern in UNUSED:
        for folder in tree.glob(pattern):
            shutil.rmtree(folder)
    shutil.copytree(source / "overlay", tree, dirs_exist_ok=True)
    return tree


def move(tree: Path, home: Path) -> None:
    """Write the path the environment will live under wherever it names the one it was built in, and compile it."""
    old, new = os.fsencode(tree), os.fsencode(home)
    for path in [tree / "pyvenv.cfg", *(tree / "bin").iterdir()]:
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if old in content:
                path.write_bytes(content.replace(old, new))
    # Nobody writes into the tree, so no import needs to compare dates of source and compiled file.
    compiled = ["-m", "compileall", "-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    run(sys.executable, *compiled, "-s", tree, "-p", home, tree / "lib")
    left = [
        path
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink() and old in path.read_bytes()
    ]
    if left:
        sys.exit("these files still name the folder they were built in: " + ", ".join(map(str, left)))


def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Readable by all, writable by root, whatever the umask of the build was."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    if not member.issym():
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def main() -> None:
    """Command line of the role."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True, help="name of the version")
    parser.add_argument("--home", required=True, type=Path, help="folder it will live in on the hosts")
    parser.add_argument("--release", required=True, help="release of those hosts")
    parser.add_argument("--machine", required=True, help="architecture of those hosts")
    parser.add_argument(
        "--lock", required=True, help="file name of the locked requirements, beside this script"
    )
    parser.add_argument("--archive", required=True, type=Path, help="archive to write")
    wanted = parser.parse_args()

    here = (release(), platform.machine())
    if here != (wanted.release, wanted.machine):
        sys.exit(
            f"notebook_env_build_host {platform.node()} runs {here[0]} on {here[1]}, the notebook hosts run"
            f" {wanted.release} on {wanted.machine}: set notebook_env_build_host for these hosts to one of their kind"
        )
    source = Path(__file__).resolve().parent
    work = source / "build"
    work.mkdir()
    os.umask(0o022)
    tree = build(source, work, wanted.lock)
    facts = {
        "version": wanted.version,
        "release": here[0],
        "machine": here[1],
        "python": platform.python_version(),
    }
    (tree / "environment.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    move(tree, wanted.home)
    with (
        gzip.open(wanted.archive, "wb", compresslevel=5) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        archive.add(tree, arcname=".", filter=owned_by_root)
    wanted.archive.chmod(0o644)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
