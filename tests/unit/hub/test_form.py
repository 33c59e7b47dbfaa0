"""The spawn page shows what each class gives and what is free, and escapes what it is given."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from typing import Any

from afhub.form import render, render_form
from afhub.jobs import ClassSlots
from afhub.settings import parse
from afhub.words import Words
from hub_fakes import FakeCondor, Hub


class Inputs(HTMLParser):
    """Collects the radio buttons of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "input":
            self.found.append(dict(attrs))


def _text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", "", html)).split())


def test_cards_show_figures_and_free_slots(data: dict[str, Any]) -> None:
    html = render_form(parse(data), Words(), {"regular": ClassSlots(5, 8), "large": ClassSlots(0, 2)})
    text = _text(html)
    assert "Regular usual choice Memory 12 GB Processors 1 core Runs up to 12 hours 5 of 8 free" in text
    assert "Large Memory 20 GB Processors 2 cores Runs up to 6 hours all busy: you will wait" in text


def test_the_default_class_is_chosen_and_all_share_a_name(data: dict[str, Any]) -> None:
    page = Inputs(render_form(parse(data), Words(), {}))
    assert [(field["type"], field["name"], field["value"]) for field in page.found] == [
        ("radio", "notebook_class", "regular"),
        ("radio", "notebook_class", "large"),
    ]
    assert ["checked" in field for field in page.found] == [True, False]
    assert {"fieldset", "legend"} <= set(page.tags)
    assert "script" not in page.tags


def test_each_choice_has_a_name_and_a_description_for_screen_readers(data: dict[str, Any]) -> None:
    html = render_form(parse(data), Words(), {})
    for field in Inputs(html).found:
        for attribute in ("aria-labelledby", "aria-describedby"):
            assert f'id="{field[attribute]}"' in html


def test_everything_from_the_settings_is_escaped(data: dict[str, Any]) -> None:
    evil = "<script>alert('x')</script>\"&"
    data["classes"][0].update(title=evil, description=evil)
    html = render_form(parse(data), Words(), {})
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&amp;") == 2


def test_a_class_without_machines_says_so(data: dict[str, Any]) -> None:
    assert "no machine offers this class right now" in _text(
        render_form(parse(data), Words(), {"large": ClassSlots(0, 0)})
    )


def test_the_page_comes_without_numbers_while_the_collector_is_silent(hub: Hub, condor: FakeCondor) -> None:
    condor.silent = True
    assert "free slots not known right now" in _text(asyncio.run(render(hub.spawner())))


def test_free_slots_are_told_in_a_sites_own_words(data: dict[str, Any]) -> None:
    words = Words({"slots": {"free": "{free}/{total} <frei>"}, "units": {"hours": "{count} Stunden"}})
    html = render_form(parse(data), words, {"regular": ClassSlots(5, 8)})
    assert "5/8 &lt;frei&gt;" in html
    assert "12 Stunden" in html
