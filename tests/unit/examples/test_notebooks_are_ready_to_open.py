"""The example notebooks as they are shipped: listed, without output, and with words for somebody who is new."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from minipool import ROOT

FOLDER = ROOT / "docker/cvmfs/examples"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
OUTSOURCED = [name for name in NOTEBOOKS if name != "zmumu.ipynb"]


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def text(name: str, kind: str) -> str:
    return "\n\n".join("".join(cell["source"]) for cell in load(name)["cells"] if cell["cell_type"] == kind)


def test_the_index_lists_every_notebook_once_and_says_what_it_is() -> None:
    rows = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))["examples"]
    assert sorted(row["file"] for row in rows) == NOTEBOOKS
    assert all(
        row["title"] and row["text"].endswith(".") and set(row) == {"file", "title", "text"} for row in rows
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_valid_and_holds_no_output(name: str) -> None:
    notebook = load(name)
    nbformat.validate(notebook)
    assert notebook["metadata"]["kernelspec"]["name"] == "analysis"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]
            ast.parse("".join(cell["source"]))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_words_come_before_code_and_the_last_cell_cleans_up(name: str) -> None:
    cells = load(name)["cells"]
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"][0].startswith("# ")
    assert "zmumu.clean_up(" in "".join(cells[-1]["source"])
    assert "## Clean up" in "".join(cells[-2]["source"])


@pytest.mark.parametrize("name", OUTSOURCED)
def test_it_says_what_to_do_when_the_pool_is_full(name: str) -> None:
    assert "**The pool is full:**" in text(name, "markdown")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_writes_nowhere_but_in_the_users_folder(name: str) -> None:
    """Files are made by zmumu.make_files, with a name of this notebook's own."""
    code = text(name, "code")
    own = name.removesuffix(".ipynb").removeprefix("zmumu").lstrip("-") or "notebook"
    assert f'zmumu.make_files("{own}")' in code and f'zmumu.clean_up("{own}")' in code
    assert "open(" not in code and "/tmp" not in code  # noqa: S108


def test_the_overview_holds_the_same_lines_as_the_notebooks_for_each_way() -> None:
    overview = text("zmumu-overview.ipynb", "code")
    for line in (
        'itemdata=iter([{"file": file} for file in files])',
        "htmap.map(zmumu.count, files)",
        "client.gather(client.map(zmumu.count, files))",
        "session.sparkContext.parallelize(files, len(files)).map(zmumu.count).collect()",
    ):
        assert line in overview and any(
            line in text(name, "code") for name in OUTSOURCED if "overview" not in name
        )


def test_the_folder_holds_nothing_else() -> None:
    """All of it is in every site's software tree."""
    known = {*NOTEBOOKS, "examples.json", "zmumu.py"}
    assert {path.name for path in Path(FOLDER).iterdir() if path.name != "__pycache__"} == known
