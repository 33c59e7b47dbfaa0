"""JSON bodies of requests, read strictly: what one reader takes for this and another for that is refused."""

from __future__ import annotations

import json
from typing import Any


class BodyError(ValueError):
    """The body is no JSON that the hub reads; the text says why."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BodyError("a key is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise BodyError(f"{name} is no JSON number")


def read_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8 without doubled keys, NaN and halves of characters.

    Raises :class:`BodyError`.
    """
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant
        )
        # JSON can spell half of a surrogate pair, which no database and no page takes.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except BodyError:
        raise
    except (ValueError, RecursionError) as error:
        raise BodyError("it is not valid JSON in UTF-8") from error
    return value
