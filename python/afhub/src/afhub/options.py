"""What a user may ask for when a notebook starts: the name of a class, nothing else.

The same check serves the spawn page, links and the REST API, before anything is stored or submitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from afhub.settings import CLASS_NAME, NotebookClass, Settings

OPTION: Final = "notebook_class"


class OptionsError(ValueError):
    """The options are not what the table allows; the text may be shown to the user."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def chosen_class(settings: Settings, options: object) -> NotebookClass:
    """The class that options ask for: ``{}`` or ``{"notebook_class": NAME}``.

    Raises :class:`OptionsError` for everything else.
    """
    known = ", ".join(row.name for row in settings.classes)
    if not isinstance(options, dict):
        raise OptionsError(
            f"Spawn options must be an object such as {{{OPTION!r}: {settings.default_class.name!r}}}."
        )
    unknown = [key for key in options if key != OPTION]
    if unknown:
        raise OptionsError(f"Unknown spawn option {_shown(unknown[0])}: only {OPTION!r} can be chosen.")
    if not options:
        return settings.default_class
    name = options[OPTION]
    if not isinstance(name, str):
        raise OptionsError(f"{OPTION} must be a text, one of: {known}.")
    row = settings.class_named(name) if CLASS_NAME.fullmatch(name) else None
    if row is None:
        raise OptionsError(f"There is no notebook class {_shown(name)}. Choose one of: {known}.")
    return row


def from_form(settings: Settings, form: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Spawn options from form data or a link's query: every key holds a list of values.

    Raises :class:`OptionsError`. The form's own ``_xsrf`` field is not an option.
    """
    options: dict[str, Any] = {}
    for key, values in form.items():
        if key == "_xsrf":
            continue
        if key != OPTION:
            raise OptionsError(f"Unknown spawn option {_shown(key)}: only {OPTION!r} can be chosen.")
        if len(values) != 1:
            raise OptionsError(f"{OPTION} was given {len(values)} times: give it once.")
        options[OPTION] = values[0]
    return {OPTION: chosen_class(settings, options).name}
