"""What an admin's message becomes on its way into a notebook."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_afhub import notices


def row(name: str = "n1", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "level": "info",
        "text": "Hello.",
        "at": "2026-01-01T12:00:00Z",
        "until": None,
        "from": "adm",
        **more,
    }


def expression(rows: object) -> str:
    """A string literal as HTCondor writes it."""
    text = json.dumps(rows, ensure_ascii=False)
    return '"' + text.replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    "text", ["Hello.", 'A "quoted" word', "two\nlines", "C:\\temp", "Grüße ☕", "a, b = [1]; {2}"]
)
def test_a_text_arrives_as_it_was_written(text: str) -> None:
    (found,), problem = notices.parse(expression([row(text=text)]))
    assert (found.text, found.level, found.sender, problem) == (text, "info", "adm", None)


@pytest.mark.parametrize("value", ["", "UNDEFINED", "undefined", '""', "error", " undefined\n"])
def test_no_attribute_is_no_notice_and_no_problem(value: str) -> None:
    assert notices.parse(value) == ([], None)


@pytest.mark.parametrize("value", ["5", '"', '"no JSON"', '"{}"', '"[1"', "[]", '"' + "[" * 100_000 + '"'])
def test_what_is_no_list_of_notices_is_a_problem(value: str) -> None:
    found, problem = notices.parse(value)
    assert found == [] and problem


def test_broken_rows_are_passed_over() -> None:
    rows = [1, None, {}, {"text": 5}, {"text": " "}, row("good")]
    found, problem = notices.parse(expression(rows))
    assert [notice.id for notice in found] == ["good"] and problem == "5 of the notices could not be read."


def test_only_the_newest_ten_count_and_no_text_is_longer_than_allowed() -> None:
    found, _ = notices.parse(expression([row(f"n{number}", text="x" * 100_000) for number in range(30)]))
    assert [notice.id for notice in found] == [f"n{number}" for number in range(20, 30)]
    assert all(len(notice.text) == 2000 for notice in found)


def test_a_notice_without_a_usable_id_gets_one_that_stays() -> None:
    (first,), _ = notices.parse(expression([row("<b>")]))
    (second,), _ = notices.parse(expression([row("<b>")]))
    assert first.id == second.id and first.id.isalnum()


@pytest.mark.parametrize("steering", ["\x1b[31m", "\u202e", "\x07", "\x00", "\u2028"])
def test_nothing_in_a_text_steers_a_terminal_or_turns_its_direction(steering: str) -> None:
    (found,), _ = notices.parse_rows([row(text=f"a{steering}b")])
    assert steering[0] not in found.text and found.text.startswith("a ")


@given(st.text())
def test_whatever_the_attribute_holds_can_be_sent_as_json(text: str) -> None:
    for value in (
        text,
        f'"{text}"',
        expression([row(text=text)]),
        expression([row(at=text, until=text, level=text)]),
    ):
        found, _ = notices.parse(value)
        assert len(found) <= 1
        json.dumps([notice.as_json() for notice in found]).encode()


def board(*rows: dict[str, Any], now: float = 0.0) -> notices.Notices:
    found = notices.Notices()
    found.replace(notices.parse_rows(list(rows))[0], now)
    return found


def test_a_notice_lasts_as_long_as_was_meant_by_whatever_clock() -> None:
    # The hub's clock is years away from ours: only the difference counts.
    found = board(row(at="2020-01-01T12:00:00Z", until="2020-01-01T12:10:00Z"), now=1000.0)
    assert found.expire(1000.0 + 599) == [] and found.current()
    assert found.expire(1000.0 + 601) == ["n1"] and not found.current()


def test_what_comes_again_is_not_new() -> None:
    found = notices.Notices()
    rows, _ = notices.parse_rows([row("a")])
    assert [notice.id for notice in found.replace(rows, 0.0)[0]] == ["a"]
    more, _ = notices.parse_rows([row("a"), row("b")])
    new, gone = found.replace(more, 1.0)
    assert ([notice.id for notice in new], gone) == (["b"], [])
    assert found.replace(rows, 2.0) == ([], ["b"])


def test_what_was_read_is_read_for_good() -> None:
    found = board(row("a"), row("b"))
    assert found.mark("a", "delivered") and not found.mark("a", "delivered")
    assert found.mark("a", "read") and not found.mark("a", "delivered")
    assert not found.mark("unheard-of", "read")
    assert [notice.id for notice in found.current()] == ["b"]
    assert found.seen == {"a": "read"}


def test_the_report_fits_into_what_a_starter_takes() -> None:
    seen: dict[str, Any] = {f"{number:040d}": "read" for number in range(100)}
    text = notices.seen_text(seen)
    assert len(text) <= 900 and text.endswith(f"{99:040d}:r") and text.count(":") == 20
