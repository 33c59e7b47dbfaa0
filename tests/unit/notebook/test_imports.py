"""What waits at start is loaded when it is used, and nobody else notices that it waited."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_afhub import imports
from ready_python import ReadyPython


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `front_` that imports `heavy_`, and both gone afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "heavy_").mkdir()
    (tmp_path / "heavy_/__init__.py").write_text("ANSWER = 42\n")
    (tmp_path / "heavy_/part.py").write_text("def double(number):\n    return 2 * number\n")
    (tmp_path / "front_.py").write_text(
        "import heavy_\nfrom heavy_.part import double\n"
        "def answer():\n    return heavy_.ANSWER\ndef twice(number):\n    return double(number)\n"
    )
    yield tmp_path
    for name in ("front_", "heavy_", "heavy_.part"):
        sys.modules.pop(name, None)


WAITING: imports.Waiting = {
    "heavy_": {},
    "heavy_.part": {"double": imports.forward("heavy_.part", "double")},
}


def test_what_waits_is_loaded_by_its_first_use(packages: Path) -> None:
    front = imports.lean("front_", WAITING)
    assert "heavy_" not in sys.modules
    assert front.twice(4) == 8
    assert front.answer() == 42
    assert isinstance(sys.modules["heavy_"].__file__, str)


def test_others_import_the_real_module(packages: Path) -> None:
    imports.lean("front_", WAITING)
    part = importlib.import_module("heavy_.part")
    assert part.__file__ == str(packages / "heavy_/part.py")
    assert importlib.import_module("heavy_").part is part


def test_what_is_loaded_already_does_not_wait(packages: Path) -> None:
    heavy = importlib.import_module("heavy_")
    front = imports.lean("front_", WAITING)
    assert front.heavy_ is heavy
    assert sys.modules["heavy_"] is heavy


def test_a_release_that_needs_more_at_start_gets_it(packages: Path) -> None:
    (packages / "front_.py").write_text("from heavy_ import ANSWER\n")
    assert imports.lean("front_", WAITING).ANSWER == 42
    assert not isinstance(sys.modules["heavy_"], imports.Later)


def test_an_import_that_fails_anyhow_fails_with_its_own_reason(packages: Path) -> None:
    (packages / "front_.py").write_text("import heavy_\nimport not_there_\n")
    with pytest.raises(ModuleNotFoundError, match="not_there_"):
        imports.lean("front_", WAITING)
    assert "heavy_" not in sys.modules or not isinstance(sys.modules["heavy_"], imports.Later)


def test_what_is_absent_is_absent_for_one_import_only(packages: Path) -> None:
    with imports.absent("heavy_"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("heavy_")
    assert importlib.import_module("heavy_").ANSWER == 42


START = """
import sys
from jupyter_afhub import imports
imports.load()
import jupyter_afhub.hub.server
"""


@pytest.fixture(scope="module")
def started() -> Iterator[ReadyPython]:
    """A new Python that has imported what a server starts with, and no more."""
    python = ReadyPython(START)
    yield python
    python.close()


@pytest.fixture
def in_a_new_python(started: ReadyPython, tmp_path: Path) -> Callable[[str], str]:
    """What a program says that is run in a fork of it."""

    def run(code: str) -> str:
        log = tmp_path / "said"
        env = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
        child = started.start(code, [], env=env, cwd=Path("/"), log=log)
        assert child.wait(60) == 0, log.read_text()
        return log.read_text().strip()

    return run


def test_the_server_starts_without_what_only_a_hub_needs(in_a_new_python: Callable[[str], str]) -> None:
    """With the locked releases: a new one that needs more still starts, only later, and fails here."""
    unwanted = ("aiohttp", "alembic", "IPython", "isoduration", "nbconvert", "rfc3987_syntax", "sqlalchemy")
    assert in_a_new_python(f"print([name for name in {unwanted} if name in sys.modules])") == "[]"


def test_scopes_are_compared_as_the_hub_compares_them(in_a_new_python: Callable[[str], str]) -> None:
    code = """
from jupyterhub.services.auth import HubAuth
needed, owner, other = {"access:servers!server=ann/"}, {"access:servers!user=ann"}, {"access:servers!user=bob"}
check = HubAuth(access_scopes=needed, api_token="x").check_scopes
held = (owner, other, {"access:servers"}, {"read:users"}, set())
print([bool(check(needed, {"scopes": list(scopes)})) for scopes in held])
"""
    found = in_a_new_python(code)
    assert found == "[True, False, True, False, False]"


def test_the_hubs_database_is_there_for_who_asks(in_a_new_python: Callable[[str], str]) -> None:
    code = """
from jupyterhub import scopes
from jupyterhub.orm import User
assert scopes.orm.User is User
import sqlalchemy
assert sqlalchemy.exc.SQLAlchemyError.__module__ == "sqlalchemy.exc"
print(scopes.sa.inspect is sqlalchemy.inspect)
"""
    assert in_a_new_python(code) == "True"


def test_kernels_are_looked_for_where_jupyter_looks(in_a_new_python: Callable[[str], str]) -> None:
    code = """
import os
from jupyter_core.paths import jupyter_path
from jupyter_afhub.hub.server import KernelSpecs
os.environ.update(HOME="/home/ann", JUPYTER_PATH="/site/share/jupyter")
found = KernelSpecs().kernel_dirs
assert found[:-1] == jupyter_path("kernels") and "/site/share/jupyter/kernels" in found, found
os.environ["IPYTHONDIR"] = "/elsewhere"
print(found[-1], KernelSpecs().kernel_dirs[-1])
"""
    assert in_a_new_python(code) == "/home/ann/.ipython/kernels /elsewhere/kernels"
