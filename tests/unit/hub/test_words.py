"""The table of words is complete, and a site's own words are checked before anybody reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import afhub
from afhub.settings import SettingsError, parse
from afhub.words import Words, WordsError, check, shipped

SOURCES = "\n".join(
    path.read_text()
    for folder in afhub.__path__
    for path in Path(folder).rglob("*")
    if path.suffix in (".py", ".html")
)


def section(name: str) -> set[str]:
    return {path.split(".")[1] for path in shipped() if path.startswith(f"{name}.")}


def test_no_entry_is_empty() -> None:
    assert {path for path, text in shipped().items() if not str(text).strip()} == set()


def test_every_outcome_has_title_what_and_next() -> None:
    for key in section("outcome"):
        assert {path.rpartition(".")[2] for path in shipped() if path.startswith(f"outcome.{key}.")} == {
            "title",
            "what",
            "next",
        }


def test_what_the_start_tells_is_in_the_table_and_all_of_it_is_told() -> None:
    told = set(re.findall(r'_tell\(\s*"(\w+)"', SOURCES)) | {"no_machine", "draining"}
    assert len(told) > 8
    assert told <= section("progress")
    assert section("progress") == told


def test_what_pages_say_is_in_the_table_and_all_of_it_is_said() -> None:
    said = set(re.findall(r'words\(\s*"([\w.]+)"', SOURCES))
    assert {path for path in said if path.startswith("page.")} == {f"page.{key}" for key in section("page")}
    assert said <= set(shipped())


def test_failures_of_a_start_are_in_the_table() -> None:
    failures = set(re.findall(r'_failure\(\s*"(\w+)"', SOURCES)) | set(
        re.findall(r'Outcome\.make\(\s*"(\w+)"', SOURCES)
    )
    assert len(failures) > 8
    assert failures <= section("outcome")


def test_every_text_of_a_start_can_be_filled_in() -> None:
    words = Words()
    names = {name: "x" for path in shipped() for name in re.findall(r"{(\w+)}", shipped()[path])}
    for path in shipped():
        assert "{" not in words(path, **names)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"outcome": {"memroy": {"title": "x"}}},
            ["'outcome.memroy.title'", "does not exist"],
        ),
        (
            {"outcome": {"memory": {"titel": "x"}}},
            ["'outcome.memory.titel'", "outcome.memory.title, outcome.memory.what"],
        ),
        ({"outcome": "x"}, ["'outcome'", "does not exist"]),
        ({"no_reason": {"x": "y"}}, ["'no_reason.x'", "does not exist"]),
        ({"outcome": {"memory": {"what": "{usde} MB"}}}, ["'outcome.memory.what'", "{usde}", "{used}"]),
        ({"page": {"cancel": "{title}"}}, ["'page.cancel'", "{title}", "no names"]),
        ({"page": {"cancel": 3}}, ["'page.cancel'", "3", "write a text"]),
        ({"page": {"cancel": None}}, ["'page.cancel'", "write a text"]),
        ({"page": {"cancel": ["x"]}}, ["'page.cancel'", "write a text"]),
        ({"page": {"cancel": " \n"}}, ["'page.cancel'", "write a text"]),
        ({"outcome": {"memory": {"what": "{used"}}}, ["'outcome.memory.what'", "can't be filled in"]),
        ({"outcome": {"memory": {"what": "{}"}}}, ["'outcome.memory.what'", "no plain name"]),
        ({"outcome": {"memory": {"what": "{0}"}}}, ["'outcome.memory.what'", "no plain name"]),
        ({"outcome": {"memory": {"what": "{used.__class__}"}}}, ["no plain name"]),
        ({"outcome": {"memory": {"what": "{used[0]}"}}}, ["no plain name"]),
        ({"outcome": {"memory": {"what": "{used!r}"}}}, ["no plain name"]),
        ({"outcome": {"memory": {"what": "{used:>999999999}"}}}, ["no plain name"]),
    ],
)
def test_a_sites_entry_that_can_not_be_used_is_refused_by_name(
    data: dict[str, Any], own: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(WordsError) as caught:
        check(own)
    with pytest.raises(SettingsError) as refused:
        parse({**data, "words": own})
    assert str(refused.value).startswith("words")
    for text in said:
        assert text in str(caught.value)
        assert text in str(refused.value)


def test_a_sites_entry_replaces_one_text_and_leaves_the_rest(data: dict[str, Any]) -> None:
    own = {"outcome": {"memory": {"title": "Speicher voll ({title}, {{{job}}})"}}, "page": {}}
    words = Words(parse({**data, "words": own}).words)
    assert words("outcome.memory.title", title="Regular", job="7.0") == "Speicher voll (Regular, {7.0})"
    assert words("outcome.memory.what", used="2", title="T", allowed="1") == "It used 2; class T allows 1."
    assert words("page.cancel") == "Cancel"


def test_values_are_not_read_as_words() -> None:
    assert Words()("refusal.options", reason="{0} {x} }{") == "{0} {x} }{"


def test_a_missing_value_or_entry_gives_the_default_where_one_is_asked_for() -> None:
    words = Words()
    assert words.get("outcome.memory.what", "-", used="2") == "-"
    assert words.get("outcome.of_tomorrow.what", "-") == "-"
    with pytest.raises(KeyError):
        words("outcome.memory.what", used="2")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (43200, "12 hours"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (3700, "61 minutes"),
        (60, "1 minute"),
        (61, "1 minute"),
        (45, "45 seconds"),
        (1, "1 second"),
    ],
)
def test_durations_read_as_people_say_them(seconds: int, text: str) -> None:
    assert Words().duration(seconds) == text


@pytest.mark.parametrize(("megabytes", "text"), [(12288, "12 GB"), (1536, "1.5 GB"), (512, "512 MB")])
def test_memory_reads_as_people_say_it(megabytes: int, text: str) -> None:
    assert Words().memory(megabytes) == text


def test_units_can_be_translated() -> None:
    words = Words({"units": {"hours": "{count} Stunden", "gigabytes": "{count} GiB", "core": "{count} Kern"}})
    assert (words.duration(7200), words.memory(2048), words.cores(1)) == ("2 Stunden", "2 GiB", "1 Kern")
