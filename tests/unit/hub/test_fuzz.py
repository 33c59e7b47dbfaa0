"""What reaches the hub from outside, tried with thousands of inputs that no honest client sends."""

from __future__ import annotations

import json
from typing import Any

import hostile
import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from afhub.api import BODY_LIMIT, ReportError, parse_report
from afhub.jobs import ACCOUNT_NAME, SERVER_NAME, classad_string, describe, quote_environment
from afhub.options import OPTION, OptionsError, chosen_class, from_form
from afhub.settings import Settings

NAMES = ("regular", "large")
FUZZ = effort(deadline=None, derandomize=True, database=None, max_examples=800)
VALUES = hostile.values(NAMES)


@FUZZ
@given(value=VALUES, key=st.just(OPTION) | hostile.texts([*NAMES, OPTION]))
def test_only_the_name_of_a_class_gets_through(settings: Settings, value: Any, key: str) -> None:
    for options in (value, {key: value}, {OPTION: "regular", key: value}):
        allowed = options == {} or (
            isinstance(options, dict) and list(options) == [OPTION] and options[OPTION] in list(NAMES)
        )
        if allowed:
            assert chosen_class(settings, options) in settings.classes
            continue
        with pytest.raises(OptionsError) as refusal:
            chosen_class(settings, options)
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 400


@FUZZ
@given(
    fields=st.dictionaries(
        st.sampled_from([OPTION, "_xsrf", "memory"]) | hostile.texts(NAMES),
        st.lists(hostile.texts(NAMES) | st.sampled_from(NAMES), max_size=3),
        max_size=3,
    )
)
def test_a_form_asks_for_a_class_or_is_refused(settings: Settings, fields: dict[str, list[str]]) -> None:
    sent = {key: values for key, values in fields.items() if key != "_xsrf"}
    if sent in ({}, *({OPTION: [name]} for name in NAMES)):
        assert from_form(settings, fields)[OPTION] in NAMES
        return
    with pytest.raises(OptionsError):
        from_form(settings, fields)


REPORTS = st.one_of(
    VALUES.map(hostile.as_json),
    hostile.NUMBERS.map(lambda number: hostile.as_json({"port": number})),
    VALUES.map(lambda value: hostile.as_json({"port": value})),
    hostile.texts(NAMES).map(lambda key: hostile.as_json({"port": 40000, key: 1})),
    hostile.broken_json([{"port": 40000}]),
    st.integers(BODY_LIMIT - 40, BODY_LIMIT + 40).map(lambda size: b'{"port": 40000}' + b" " * size),
)


@FUZZ
@given(body=REPORTS)
@example(body=b'{"port": 40000, "port": 40000}')
@example(body=b'{"port": 4e4}')
@example(body='{"port": ٤٠٠٠٠}'.encode())
def test_a_port_report_is_a_port_in_the_range_or_an_error(settings: Settings, body: bytes) -> None:
    refusal = ""
    try:
        port = parse_report(body, settings.notebook.port_range)
    except ReportError as error:
        refusal = str(error)
    if refusal:
        assert refusal.isprintable() and len(refusal) < 200
        return
    assert type(port) is int and port in settings.notebook.port_range
    assert json.loads(body) == {"port": port}
    assert len(body) <= BODY_LIMIT


def submitted_environment(value: str) -> dict[str, str]:
    """Reads an environment as HTCondor does: macros first, then double quotes, then words with single quotes."""
    text = value.replace("$(DOLLAR)", "$")
    assert text.startswith('"') and text.endswith('"')
    words: list[str] = []
    text, word, quoted = text[1:-1].replace('""', '"'), "", False
    position = 0
    while position < len(text):
        char = text[position]
        if char == "'" and quoted and text[position + 1 : position + 2] == "'":
            word, position = word + "'", position + 1
        elif char == "'":
            quoted = not quoted
        elif char.isspace() and not quoted:
            words, word = [*words, word], ""
        else:
            word += char
        position += 1
    assert not quoted
    return dict(entry.split("=", 1) for entry in [*words, word])


VARIABLES = st.dictionaries(
    st.sampled_from(["HOME", "JUPYTERHUB_API_TOKEN", "A"]) | hostile.texts(NAMES),
    hostile.texts(NAMES) | st.text("'\"$(){} \\=;a\u00e9", max_size=30),
    min_size=1,
    max_size=3,
)


@FUZZ
@given(environment=VARIABLES)
def test_an_environment_arrives_as_it_was_or_is_refused(environment: dict[str, str]) -> None:
    try:
        quoted = quote_environment(environment)
    except ValueError:
        return
    assert len(quoted.splitlines()) == 1
    assert "$" not in quoted.replace("$(DOLLAR)", ""), "HTCondor would expand what follows"
    quoted.encode("utf-8")
    assert submitted_environment(quoted) == environment


@FUZZ
@given(text=hostile.texts(NAMES))
def test_a_text_in_a_job_is_one_literal_or_is_refused(text: str) -> None:
    try:
        literal = classad_string(text)
    except ValueError:
        return
    assert len(literal.splitlines()) == 1 and "$" not in literal
    assert json.loads(literal) == text
    inner = literal[1:-1].replace("\\\\", "").replace('\\"', "")
    assert literal[0] == literal[-1] == '"' and '"' not in inner, "the literal ends before its end"


@FUZZ
@given(owner=hostile.texts(NAMES), server=hostile.texts(NAMES))
@example(owner="alice", server="a\n+Owner = root")
@example(owner="alice\n", server="")
def test_a_job_is_described_for_real_accounts_and_servers_only(
    settings: Settings, owner: str, server: str
) -> None:
    plausible = bool(ACCOUNT_NAME.fullmatch(owner) and SERVER_NAME.fullmatch(server))
    for name, server_name in ((owner, server), ("alice", server), (owner, "")):
        try:
            job = describe(
                settings, owner=name, server=server_name, row=settings.default_class, environment={"A": "b"}
            )
        except ValueError:
            assert not (plausible and (name, server_name) == (owner, server))
            continue
        assert json.loads(job["My.Owner"]) == name and name.isascii() and name.isprintable()
        assert json.loads(job["My.AfhubServer"]) == server_name
        assert all(len(f"{key} = {value}".splitlines()) == 1 for key, value in job.items())
