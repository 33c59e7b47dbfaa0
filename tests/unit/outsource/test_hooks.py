"""Tools are told about the site when they are imported, keep their own loader, and work also where telling fails."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from afhub_outsource import hooks


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages that stand in for tools, and modules here that are told of them."""
    (tmp_path / "sometool.py").write_text("value = 1\n")
    (tmp_path / "othertool.py").write_text("value = 1\n")
    (tmp_path / "tells_some.py").write_text("def configure(module):\n    module.value += 1\n")
    (tmp_path / "tells_other.py").write_text(
        "def configure(module):\n    raise ValueError('no such setting')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(hooks, "TOOLS", {"sometool": "tells_some", "othertool": "tells_other"})
    before = list(sys.meta_path)
    hooks.install()
    yield
    sys.meta_path[:] = before
    for name in ("sometool", "othertool", "tells_some", "tells_other"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("tools")
def test_a_tool_is_told_once_it_is_imported() -> None:
    assert "tells_some" not in sys.modules
    assert importlib.import_module("sometool").value == 2


@pytest.mark.usefixtures("tools")
def test_nobody_sees_that_somebody_stood_in_between() -> None:
    module = importlib.import_module("sometool")
    assert module.__spec__ is not None
    assert not isinstance(module.__spec__.loader, hooks.ToldAfterwards)
    assert module.__loader__ is module.__spec__.loader


@pytest.mark.usefixtures("tools")
def test_a_tool_that_cannot_be_told_works_and_says_so() -> None:
    with pytest.warns(
        RuntimeWarning, match="othertool does not know this site's batch pool: no such setting"
    ):
        assert importlib.import_module("othertool").value == 1


@pytest.mark.usefixtures("tools")
def test_installing_twice_is_installing_once() -> None:
    hooks.install()
    assert sum(isinstance(finder, hooks.Finder) for finder in sys.meta_path) == 1
