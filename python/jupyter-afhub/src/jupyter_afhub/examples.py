"""Example notebooks of the site: which there are, and a copy of one in the user's own folder.

They are where kernels are: a folder `afhub-examples` on Jupyter's data path (`JUPYTER_PATH`) with the notebooks and an
index `examples.json`: `{"examples": [{"file": "zmumu.ipynb", "title": "...", "text": "..."}]}`. A software tree under
`/cvmfs` can be read only, so the Lab opens a copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_path
from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

FOLDER = "afhub-examples"
INDEX = "examples.json"
HOME_FOLDER = "examples"
"""Folder of the copies, in the folder that the Lab shows."""
MOST = 100
LONGEST_TEXT = 300
LARGEST_FILE = 5 * 1024 * 1024
LARGEST_INDEX = 200 * 1024
MOST_COPIES = 100


@dataclass(frozen=True)
class Example:
    """One notebook: its file name, which is also its name here, and what a card says of it."""

    file: str
    title: str
    text: str
    path: Path


def _text(value: Any) -> str:
    return " ".join(value.split())[:LONGEST_TEXT] if isinstance(value, str) else ""


def _read(folder: Path) -> list[Example]:
    """The examples of one folder; none where its index is absent or unusable. What is wrong in a row loses that row."""
    index = folder / INDEX
    try:
        if index.stat().st_size > LARGEST_INDEX:
            return []
        rows = json.loads(index.read_text(encoding="utf-8"))["examples"][:MOST]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    found = []
    for row in rows:
        name = row.get("file") if isinstance(row, dict) else None
        # A plain name: an index leads to no other folder.
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".ipynb"):
            continue
        path = folder / name
        if path.is_file():
            found.append(Example(name, _text(row.get("title")) or name, _text(row.get("text")), path))
    return found


def found(folders: Iterable[str | Path] | None = None) -> dict[str, Example]:
    """All examples by file name, in the order of their indexes. The first folder that has a name wins."""
    examples: dict[str, Example] = {}
    for folder in jupyter_path(FOLDER) if folders is None else folders:
        for example in _read(Path(folder)):
            examples.setdefault(example.file, example)
    return examples


class UnreadableError(Exception):
    """An example that its index names and that is no notebook."""


def _notebook(example: Example) -> dict[str, Any]:
    try:
        if example.path.stat().st_size > LARGEST_FILE:
            raise UnreadableError(f"{example.path} is larger than {LARGEST_FILE // 2**20} MB")
        content = json.loads(example.path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{example.path} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableError(f"{example.path} is no notebook")
    return content


async def copy(contents: Any, example: Example, *, fresh: bool) -> tuple[str, bool]:
    """Copy an example to where the user works; returns the copy's path and whether it is new.

    A copy that is there is opened again, with what its owner changed; fresh asks for another one beside it.
    Raises UnreadableError, and what the contents manager raises where the user can't write.
    """
    stem = example.file.removesuffix(".ipynb")
    names = [example.file, *(f"{stem}-{number}.ipynb" for number in range(1, MOST_COPIES))]
    for name in names:
        path = f"{HOME_FOLDER}/{name}"
        if not await ensure_async(contents.file_exists(path)):
            break
        if not fresh:
            return path, False
    else:
        raise HTTPError(
            409, f"The folder {HOME_FOLDER} holds {MOST_COPIES} copies of {example.file}; remove some."
        )
    model = {"type": "notebook", "format": "json", "content": _notebook(example)}
    if not await ensure_async(contents.dir_exists(HOME_FOLDER)):
        await ensure_async(contents.save({"type": "directory"}, HOME_FOLDER))
    await ensure_async(contents.save(model, path))
    return path, True


class ExamplesHandler(APIHandler):
    """GET examples: the list. POST examples `{"file": NAME, "fresh": false}`: a copy, and its path."""

    auth_resource = "contents"

    @authenticated
    @authorized
    async def get(self) -> None:
        rows = [{"file": one.file, "title": one.title, "text": one.text} for one in found().values()]
        self.finish(json.dumps({"examples": rows}))

    @authenticated
    @authorized
    async def post(self) -> None:
        body = self.get_json_body()
        name = body.get("file") if isinstance(body, dict) else None
        example = found().get(name) if isinstance(name, str) else None
        if example is None:
            raise HTTPError(404, "There is no such example. GET this address lists them.")
        try:
            path, new = await copy(self.contents_manager, example, fresh=body.get("fresh") is True)
        except UnreadableError as error:
            raise HTTPError(500, str(error)) from error
        self.set_status(201 if new else 200)
        self.finish(json.dumps({"path": path, "copied": new}))


def routes(base_url: str) -> list[tuple[str, type]]:
    """The address of the examples."""
    return [(url_path_join(base_url, "api/afhub/v1", "examples"), ExamplesHandler)]
