"""The form of the spawn page: one card per class, with the slots that are free right now."""

from __future__ import annotations

import asyncio
from asyncio.exceptions import TimeoutError as AsyncTimeoutError
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from afhub.condor import CondorUnreachable
from afhub.jobs import ClassSlots
from afhub.options import OPTION
from afhub.settings import NotebookClass, Settings
from afhub.words import Words

if TYPE_CHECKING:
    from afhub.spawner import NotebookSpawner

#: The page does not wait longer for the collector, in seconds.
SLOTS_WAIT_S = 2.0

_environment = Environment(
    loader=PackageLoader("afhub", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def availability(words: Words, slots: ClassSlots | None) -> tuple[str, str]:
    """State and text of a class's slots: state is free, busy, none or unknown."""
    if slots is None:
        return "unknown", words("slots.unknown")
    if slots.total == 0:
        return "none", words("slots.none")
    state = "busy" if slots.free == 0 else "free"
    return state, words.get(f"slots.{state}", free=slots.free, total=slots.total)


def _card(words: Words, row: NotebookClass, slots: ClassSlots | None) -> dict[str, Any]:
    state, text = availability(words, slots)
    return {
        "name": row.name,
        "title": row.title,
        "description": row.description,
        "memory": words.memory(row.memory_limit_mb),
        "cores": words.cores(row.cores),
        "duration": words.duration(row.runtime_s),
        "state": state,
        "availability": text,
    }


def render_form(settings: Settings, words: Words, slots: Mapping[str, ClassSlots]) -> str:
    """The form as HTML; everything from the settings is escaped."""
    return _environment.get_template("options_form.html").render(
        option=OPTION,
        default=settings.default_class.name,
        cards=[_card(words, row, slots.get(row.name)) for row in settings.classes],
    )


async def render(spawner: NotebookSpawner) -> str:
    """The form for a spawner; shown without numbers where the collector does not answer."""
    slots: Mapping[str, ClassSlots] = {}
    try:
        slots = await asyncio.wait_for(spawner.pool.slots(), SLOTS_WAIT_S)
    except (CondorUnreachable, AsyncTimeoutError) as error:
        spawner.log.warning("The spawn page has no free slots to show: %r", error)
    return render_form(spawner.settings, spawner.pool.words, slots)
