"""Of what a user sends only the name of a class in the table gets through, over form and API alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from afhub.options import OPTION, OptionsError, chosen_class, from_form
from afhub.settings import Settings

NAMES = {"regular", "large"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NEARLY = st.sampled_from(
    ["regular\n", " regular", "REGULAR", "regular,large", "regular\x00", "large" * 5000, ""]
)
OPTIONS = JSON | st.fixed_dictionaries(
    {OPTION: JSON | NEARLY | st.sampled_from(sorted(NAMES))}, optional={"x": JSON}
)


def _allowed(options: Any) -> bool:
    if not isinstance(options, dict):
        return False
    value = options.get(OPTION)
    return options == {} or (set(options) == {OPTION} and isinstance(value, str) and value in NAMES)


def test_no_options_ask_for_the_default_class(settings: Settings) -> None:
    assert chosen_class(settings, {}).name == "regular"
    assert from_form(settings, {}) == {OPTION: "regular"}


def test_a_known_name_is_taken(settings: Settings) -> None:
    assert chosen_class(settings, {OPTION: "large"}).name == "large"
    assert from_form(settings, {OPTION: ["large"], "_xsrf": ["token"]}) == {OPTION: "large"}


@effort(max_examples=500, deadline=None)
@given(options=OPTIONS)
def test_everything_else_is_refused(settings: Settings, options: Any) -> None:
    try:
        row = chosen_class(settings, options)
    except OptionsError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert row in settings.classes
    assert _allowed(options) == (not refusal)
    assert refusal.isprintable()
    assert len(refusal) < 400


FORMS = st.dictionaries(
    st.sampled_from([OPTION, "memory", "options", "_xsrf", f"{OPTION}_file"]) | st.text(max_size=20),
    st.lists(st.text(max_size=20) | NEARLY | st.sampled_from(sorted(NAMES)), max_size=3),
    max_size=3,
)


@effort(max_examples=500, deadline=None)
@given(form=FORMS)
def test_a_form_gives_one_known_name_or_nothing(settings: Settings, form: dict[str, list[str]]) -> None:
    fields = {key: values for key, values in form.items() if key != "_xsrf"}
    try:
        options = from_form(settings, form)
    except OptionsError:
        assert fields not in ({}, *({OPTION: [name]} for name in NAMES))
    else:
        assert set(options) == {OPTION}
        assert options[OPTION] in NAMES


def test_a_class_given_twice_is_refused(settings: Settings) -> None:
    with pytest.raises(OptionsError, match="given 2 times"):
        from_form(settings, {OPTION: ["regular", "large"]})
