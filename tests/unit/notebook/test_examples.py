"""The site's example notebooks: an index that may be wrong in any way, and copies that never lose a user's work."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from jupyter_afhub import examples

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of examples with one notebook, and a secret beside it."""
    place = tmp_path / "tree" / "afhub-examples"
    place.mkdir(parents=True)
    (place / "one.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    (tmp_path / "tree" / "secret.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    write_index(place, {"file": "one.ipynb", "title": "One", "text": "The first."})
    return place


@pytest.fixture
def contents(tmp_path: Path) -> AsyncLargeFileManager:
    """The contents manager of a server whose folder is empty."""
    home = tmp_path / "home"
    home.mkdir()
    return AsyncLargeFileManager(root_dir=str(home))


def write_index(folder: Path, *rows: Any) -> None:
    (folder / "examples.json").write_text(json.dumps({"examples": rows}), encoding="utf-8")


def copy(contents: AsyncLargeFileManager, folder: Path, *, fresh: bool = False) -> tuple[str, bool]:
    return asyncio.run(examples.copy(contents, examples.found([folder])["one.ipynb"], fresh=fresh))


def test_the_index_says_which_there_are(folder: Path) -> None:
    assert [(one.file, one.title, one.text) for one in examples.found([folder]).values()] == [
        ("one.ipynb", "One", "The first.")
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"file": "../secret.ipynb"}, {"file": "/etc/passwd"}, {"file": "examples.json"}, {"file": "absent.ipynb"},
        {"file": 7}, {"file": None}, {}, None, "one.ipynb", [], {"title": "no file"},
    ],
)  # fmt: skip
def test_a_row_that_names_no_notebook_beside_the_index_is_left_out(folder: Path, row: Any) -> None:
    write_index(folder, row, {"file": "one.ipynb"})
    assert list(examples.found([folder])) == ["one.ipynb"]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"examples": 7}', '{"examples": {}}', "[" * 100_000])
def test_an_index_that_is_none_means_no_examples(folder: Path, text: str) -> None:
    (folder / "examples.json").write_text(text, encoding="utf-8")
    assert examples.found([folder, folder.parent / "absent"]) == {}


def test_texts_are_short_and_of_one_line(folder: Path) -> None:
    write_index(folder, {"file": "one.ipynb", "title": 7, "text": "a\n  b" + "c" * 1000})
    one = examples.found([folder])["one.ipynb"]
    assert one.title == "one.ipynb" and one.text.startswith("a bc") and len(one.text) == 300


def test_the_first_folder_with_a_name_wins(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "one.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    write_index(other, {"file": "one.ipynb", "title": "Another"})
    assert examples.found([other, folder])["one.ipynb"].title == "Another"


def test_a_copy_is_made_once_and_then_opened_again(
    folder: Path, contents: AsyncLargeFileManager, tmp_path: Path
) -> None:
    (folder / "one.ipynb").chmod(0o444)
    assert copy(contents, folder) == ("examples/one.ipynb", True)
    mine = tmp_path / "home/examples/one.ipynb"
    assert mine.stat().st_mode & 0o200, "a copy that its owner can't write"
    changed = json.dumps({**NOTEBOOK, "metadata": {"changed": True}})
    mine.write_text(changed, encoding="utf-8")
    assert copy(contents, folder) == ("examples/one.ipynb", False)
    assert mine.read_text(encoding="utf-8") == changed


def test_a_fresh_copy_lies_beside_the_others(folder: Path, contents: AsyncLargeFileManager) -> None:
    paths = [copy(contents, folder, fresh=True)[0] for _ in range(3)]
    assert paths == ["examples/one.ipynb", "examples/one-1.ipynb", "examples/one-2.ipynb"]


def test_copies_have_an_end(
    folder: Path, contents: AsyncLargeFileManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "MOST_COPIES", 2)
    for _ in range(2):
        copy(contents, folder, fresh=True)
    with pytest.raises(HTTPError, match="2 copies of one.ipynb; remove some"):
        copy(contents, folder, fresh=True)


@pytest.mark.parametrize("text", ["", "no JSON", "[]"])
def test_an_example_that_is_no_notebook_is_named(
    folder: Path, contents: AsyncLargeFileManager, text: str
) -> None:
    (folder / "one.ipynb").write_text(text, encoding="utf-8")
    with pytest.raises(examples.UnreadableError, match="one.ipynb"):
        copy(contents, folder)
