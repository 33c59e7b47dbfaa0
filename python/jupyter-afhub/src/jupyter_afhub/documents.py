"""Saving what open Labs send in the last minute, through the server's contents manager."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jupyter_afhub.words import moment

MARGIN_S = 0.5
"""Two times of one file may differ by this much; Lab allows as much."""

_FORMATS = {"notebook": ("json",), "file": ("text", "base64")}


class BadDocumentError(ValueError):
    """A message that describes no document; the text says what is wrong with it."""


@dataclass(frozen=True)
class Document:
    """An unsaved document of a Lab. `last_modified` is of the file it was opened from."""

    path: str
    type: str
    format: str
    content: Any
    last_modified: datetime | None

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Document:
        """Read a client's message; raises BadDocumentError."""
        path, kind, form = (message.get(name) for name in ("path", "doc_type", "format"))
        if not isinstance(path, str) or not path.strip("/"):
            raise BadDocumentError("a document without a path")
        if not isinstance(kind, str) or form not in _FORMATS.get(kind, ()):
            raise BadDocumentError(f"{path}: a {kind!r} in the format {form!r} can't be saved")
        content = message.get("content")
        if not isinstance(content, dict if form == "json" else str):
            raise BadDocumentError(f"{path}: its content is not of the format {form!r}")
        return cls(path.strip("/"), kind, form, content, _when(message.get("last_modified")))


@dataclass(frozen=True)
class Saved:
    """What became of a document."""

    path: str
    saved_as: str | None
    error: str | None

    def as_json(self) -> dict[str, object]:
        return {"type": "document_saved", "path": self.path, "saved_as": self.saved_as, "error": self.error}


async def save(contents: Any, document: Document) -> Saved:
    """Write a document where it belongs, or beside it where the file has changed since it was opened.

    Nothing is overwritten that the Lab has not seen. Where its folder takes no file, the server's first folder does.
    """
    from jupyter_core.utils import ensure_async
    from tornado.web import HTTPError

    problem = ""
    try:
        if await _holds_already(contents, document):
            return Saved(document.path, document.path, None)
        changed = await _has_changed(contents, document)
    except (HTTPError, OSError) as error:
        changed, problem = True, _text(error)
    name = document.path.rpartition("/")[2]
    beside = _recovered(document.path)
    for wanted in dict.fromkeys([*([] if changed else [document.path]), beside, _recovered(name)]):
        try:
            path = wanted if wanted == document.path else await _free(contents, wanted)
            model = {"type": document.type, "format": document.format, "content": document.content}
            await ensure_async(contents.save(model, path))
        except (HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # The manager raises these for content that is no notebook, too.
            problem = problem or _text(error)
            continue
        return Saved(document.path, path, None)
    return Saved(document.path, None, problem or "it can't be written")


async def _model(contents: Any, path: str, document: Document, *, content: bool) -> dict[str, Any] | None:
    from jupyter_core.utils import ensure_async

    if not await ensure_async(contents.file_exists(path)):
        return None
    model = await ensure_async(
        contents.get(path, content=content, type=document.type, format=document.format if content else None)
    )
    return dict(model)


async def _holds_already(contents: Any, document: Document) -> bool:
    """Whether the file has this content: another tab with the same document was faster."""
    model = await _model(contents, document.path, document, content=True)
    if model is None:
        return False
    if document.type == "file":
        return bool(model["content"] == document.content)
    return _same_notebook(model["content"], document.content)


def _same_notebook(one: Any, other: Any) -> bool:
    """Equal but for what the server adds when it writes, the trust of cells."""

    def plain(notebook: Any) -> str:
        copy = json.loads(json.dumps(notebook))
        for cell in copy.get("cells", []):
            cell.get("metadata", {}).pop("trusted", None)
            if isinstance(cell.get("source"), list):
                cell["source"] = "".join(cell["source"])
        return json.dumps(copy, sort_keys=True)

    try:
        return plain(one) == plain(other)
    except (TypeError, ValueError, AttributeError):
        return False


async def _has_changed(contents: Any, document: Document) -> bool:
    """Whether the file is another than the one the document was opened from."""
    model = await _model(contents, document.path, document, content=False)
    if model is None:
        return False
    on_disk = _when(model.get("last_modified"))
    if on_disk is None or document.last_modified is None:
        return True
    return (on_disk - document.last_modified).total_seconds() > MARGIN_S


async def _free(contents: Any, path: str) -> str:
    """The path, or the next one with a number that no file has."""
    from jupyter_core.utils import ensure_async

    stem, dot, extension = _split(path)
    candidate, number = path, 1
    while await ensure_async(contents.file_exists(candidate)):
        number += 1
        candidate = f"{stem}-{number}{dot}{extension}"
    return candidate


def _recovered(path: str) -> str:
    stem, dot, extension = _split(path)
    return f"{stem}-recovered{dot}{extension}"


def _split(path: str) -> tuple[str, str, str]:
    """Path without extension, the dot, the extension; a name that starts with its only dot has none."""
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    return f"{folder}{slash}{stem}", dot, extension


def _when(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        return None
    return moment(value)


def _text(error: Exception) -> str:
    """What a person can do something with."""
    text = getattr(error, "log_message", None) or getattr(error, "strerror", None) or str(error)
    return str(text or type(error).__name__)[:300]
