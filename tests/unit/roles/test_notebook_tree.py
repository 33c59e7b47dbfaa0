"""Versions of the environment on a host: switched in one step, removed only when nothing runs from them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[3] / "roles" / "notebook_env"
A, B, C, D = (f"0.1.0-{letter * 12}" for letter in "abcd")


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebook_tree = load(ROLE / "library" / "notebook_tree.py")
version_lookup = load(ROLE / "lookup_plugins" / "notebook_env_version.py")


@pytest.fixture
def tree(tmp_path: Path) -> Any:
    """Four versions, made current one after the other; the last one is current."""
    made = notebook_tree.Tree(tmp_path)
    for age, version in enumerate((A, B, C, D)):
        (tmp_path / version / "lib").mkdir(parents=True)
        made.make_current(version)
        os.utime(tmp_path / version, (1_700_000_000 + age, 1_700_000_000 + age))
    return made


@pytest.fixture
def running() -> Iterator[Callable[..., None]]:
    """Starts a process with the given arguments or working folder and waits until it runs."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, cwd: Path | None = None) -> None:
        code = "import sys; print(flush=True); sys.stdin.read()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        processes.append(process)
        assert process.stdout
        process.stdout.readline()

    yield run
    for process in processes:
        process.communicate()


def test_versions_come_in_the_order_they_were_current(tree: Any) -> None:
    (tree.root / ".incoming-0.1.0-eeeeeeeeeeee").mkdir()
    (tree.root / "notes").mkdir()
    assert tree.versions() == [D, C, B, A]
    assert tree.current() == D


def test_going_back_makes_a_version_the_most_recent(tree: Any) -> None:
    tree.make_current(A)
    assert tree.current() == A
    assert (tree.root / "current").resolve() == tree.root / A
    assert tree.versions() == [A, D, C, B]


def test_current_is_replaced_and_never_absent(tree: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append(str(tree.link.readlink()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    tree.make_current(B)
    assert seen == [D], "until the very step the old version was current"


@pytest.mark.parametrize(("keep", "gone"), [(1, [C, B, A]), (3, [A]), (4, []), (0, [C, B, A])])
def test_old_versions_go_and_the_current_one_stays(tree: Any, keep: int, gone: list[str]) -> None:
    assert tree.superfluous(keep, D) == gone


def test_the_version_that_becomes_current_counts_as_the_newest(tree: Any) -> None:
    assert tree.superfluous(2, A) == [C, B]


def test_a_version_on_a_command_line_is_in_use(tree: Any, running: Callable[..., None]) -> None:
    running(str(tree.root / A / "bin" / "afhub-notebook"))
    assert tree.superfluous(1, D) == [C, B]


def test_a_version_somebody_works_in_is_in_use(tree: Any, running: Callable[..., None]) -> None:
    running(cwd=tree.root / B / "lib")
    assert tree.superfluous(1, D) == [C, A]


def test_a_version_with_a_mapped_library_is_in_use(tree: Any, tmp_path: Path) -> None:
    process = tmp_path / "proc" / "17"
    process.mkdir(parents=True)
    (process / "cmdline").write_bytes(b"python3\0-m\0ipykernel_launcher\0")
    (process / "maps").write_text(f"7f00-7f01 r-xp 0 00:00 0  {tree.root}/{A}/lib/zmq.so\n", encoding="utf-8")
    assert notebook_tree.Tree(tree.root, tmp_path / "proc").superfluous(1, D) == [C, B]


def test_a_version_with_a_longer_name_is_another_one(tree: Any, running: Callable[..., None]) -> None:
    running(str(tree.root / (A + "0") / "bin"))
    assert A in tree.superfluous(1, D)


def test_removing_takes_the_whole_version(tree: Any) -> None:
    tree.remove(A)
    assert sorted(path.name for path in tree.root.iterdir()) == sorted([B, C, D, "current"])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "jupyter-afhub"
    (folder / "src" / "jupyter_afhub").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n', encoding="utf-8")
    (folder / "src" / "jupyter_afhub" / "__init__.py").write_text("x = 1\n", encoding="utf-8")
    return folder


def name(package: Path, platform: str = "Debian-13 3.13 x86_64") -> str:
    return str(version_lookup.version_name([package], package, platform))


def test_name_is_package_version_and_digest(package: Path) -> None:
    assert notebook_tree.VERSION.fullmatch(name(package))
    assert name(package).startswith("1.2.3-")


def test_name_stays_while_nothing_that_counts_changes(package: Path) -> None:
    before = name(package)
    for left_out in ("__pycache__", "node_modules", ".mypy_cache", "jupyter_afhub.egg-info"):
        (package / left_out).mkdir()
        (package / left_out / "file").touch()
    os.utime(package / "pyproject.toml", (1, 1))
    assert name(package) == before


@pytest.mark.parametrize("change", ["content", "new file", "rename", "platform"])
def test_name_follows_every_input(package: Path, change: str) -> None:
    before = name(package)
    source = package / "src" / "jupyter_afhub" / "__init__.py"
    platform = "Debian-13 3.13 x86_64"
    if change == "content":
        source.write_text("x = 2\n", encoding="utf-8")
    elif change == "new file":
        (package / "src" / "jupyter_afhub" / "empty.py").touch()
    elif change == "rename":
        source.rename(source.with_name("other.py"))
    else:
        platform = "Debian-12 3.11 x86_64"
    assert name(package, platform) != before


@pytest.mark.parametrize("plugin", [notebook_tree, version_lookup], ids=["module", "lookup"])
def test_documentation_is_what_ansible_reads(plugin: Any) -> None:
    documentation = yaml.safe_load(plugin.DOCUMENTATION)
    assert all("description" in option for option in documentation["options"].values())
