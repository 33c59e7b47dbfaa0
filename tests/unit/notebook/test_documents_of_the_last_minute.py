"""Saving what a Lab sends in the last minute, with Jupyter's own contents manager."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

from jupyter_afhub import documents


@pytest.fixture
def contents(tmp_path: Path) -> Any:
    return AsyncLargeFileManager(root_dir=str(tmp_path))


def modified(contents: Any, path: str) -> str:
    model = asyncio.run(contents.get(path, content=False))
    return str(model["last_modified"].isoformat())


def text(path: str, content: str, last_modified: str | None = None) -> dict[str, Any]:
    return {
        "path": path,
        "doc_type": "file",
        "format": "text",
        "content": content,
        "last_modified": last_modified,
    }


def notebook(path: str, source: str, last_modified: str | None = None) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return {
        "path": path,
        "doc_type": "notebook",
        "format": "json",
        "content": content,
        "last_modified": last_modified,
    }


def save(contents: Any, message: dict[str, Any]) -> documents.Saved:
    return asyncio.run(documents.save(contents, documents.Document.from_message(message)))


def source_of(path: Path) -> str:
    return "".join(json.loads(path.read_text())["cells"][0]["source"])


def test_a_document_goes_where_it_belongs(contents: Any, tmp_path: Path) -> None:
    for message in (text("a.txt", "old"), notebook("b.ipynb", "old")):
        assert save(contents, message).error is None
    first = save(contents, text("a.txt", "typed", modified(contents, "a.txt")))
    second = save(contents, notebook("b.ipynb", "typed", modified(contents, "b.ipynb")))
    assert (first.saved_as, second.saved_as) == ("a.txt", "b.ipynb")
    assert (tmp_path / "a.txt").read_text() == "typed" and source_of(tmp_path / "b.ipynb") == "typed"


def test_javascripts_times_are_understood(contents: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    when = modified(contents, "a.txt").replace("+00:00", "Z")
    assert save(contents, text("a.txt", "typed", when)).saved_as == "a.txt"


@pytest.mark.parametrize("last_modified", ["2020-01-01T00:00:00Z", None, "yesterday"])
def test_a_file_that_has_changed_is_left_alone(
    contents: Any, tmp_path: Path, last_modified: str | None
) -> None:
    (tmp_path / "a.txt").write_text("written by something else")
    saved = save(contents, text("a.txt", "typed", last_modified))
    assert saved.saved_as == "a-recovered.txt" and saved.error is None
    assert (tmp_path / "a.txt").read_text() == "written by something else"
    assert (tmp_path / "a-recovered.txt").read_text() == "typed"
    again = save(contents, text("a.txt", "typed once more", last_modified))
    assert again.saved_as == "a-recovered-2.txt"


def test_two_tabs_with_the_same_text_make_one_file(contents: Any, tmp_path: Path) -> None:
    save(contents, notebook("b.ipynb", "typed"))
    for _ in range(2):
        assert save(contents, notebook("b.ipynb", "typed", "2020-01-01T00:00:00Z")).saved_as == "b.ipynb"
    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["b.ipynb"]


def test_a_document_whose_folder_is_gone_is_saved_in_the_first_one(contents: Any, tmp_path: Path) -> None:
    saved = save(contents, text("gone/a.txt", "typed"))
    assert saved.saved_as == "a-recovered.txt" and (tmp_path / "a-recovered.txt").read_text() == "typed"


@pytest.mark.parametrize("path", ["../outside.txt", "/../../outside.txt", "a/../../outside.txt"])
def test_nothing_is_written_outside_of_the_servers_folder(contents: Any, tmp_path: Path, path: str) -> None:
    save(contents, text(path, "typed"))
    assert not (tmp_path.parent / "outside.txt").exists()
    assert not (tmp_path.parent / "outside-recovered.txt").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"path": ""}, {"path": None}, {"path": "/"}, {"doc_type": "directory"}, {"doc_type": None}, {"doc_type": []},
        {"format": "json"}, {"format": None}, {"content": None}, {"content": {}}, {"doc_type": "notebook"},
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(documents.BadDocumentError):
        documents.Document.from_message({**text("a.txt", "x"), **change})


def test_a_notebook_that_is_none_is_an_error_and_no_end(contents: Any, tmp_path: Path) -> None:
    message = notebook("b.ipynb", "x")
    message["content"] = {"cells": "none"}
    saved = save(contents, message)
    assert saved.saved_as is None and saved.error


def test_an_error_says_what_was_wrong(contents: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(contents, "save", full)
    saved = save(contents, text("a.txt", "typed"))
    assert saved.saved_as is None and saved.error == "No space left on device"
