"""What is written into a job is exactly what was meant, and what its ad says is understood."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from afhub.jobs import (
    ClassSlots,
    JobStatus,
    classad_string,
    describe,
    host_of,
    parse_ad,
    quote_environment,
    slots_by_class,
)
from afhub.settings import Settings

NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True)


def read_environment(quoted: str) -> dict[str, str]:
    """HTCondor's reading of the new syntax: macros first, then double quotes, then single quotes."""
    text = quoted.replace("$(DOLLAR)", "\0")
    assert "$" not in text
    assert (text[0], text[-1]) == ('"', '"')
    inner = text[1:-1]
    assert re.fullmatch(r'([^"]|"")*', inner), "a lone double quote ends the value"
    inner = inner.replace('""', '"')
    found, entry, quoting, position = {}, "", False, 0
    while position <= len(inner):
        char = inner[position] if position < len(inner) else " "
        if char == "'" and quoting and inner[position + 1 : position + 2] == "'":
            entry, position = entry + "'", position + 1
        elif char == "'":
            quoting = not quoting
        elif char in " \t" and not quoting:
            if entry:
                name, _, value = entry.partition("=")
                found[name] = value.replace("\0", "$")
            entry = ""
        else:
            entry += char
        position += 1
    assert not quoting
    return found


@effort(max_examples=500, deadline=None)
@given(
    environment=st.dictionaries(
        NAMES,
        st.text(alphabet=st.sampled_from("ab'\"$() =\\,;{}[]é€")) | st.text(max_size=30),
        max_size=5,
    )
)
def test_an_environment_arrives_as_it_was_or_is_refused(environment: dict[str, str]) -> None:
    try:
        quoted = quote_environment(environment)
    except ValueError:
        assert any(
            "$$" in value or not value.replace(" ", "x").isprintable() for value in environment.values()
        )
    else:
        assert "\n" not in quoted
        assert read_environment(quoted) == environment


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x00b", "a\x1bb", "a\u2028b", "$$(Name)", "$$([1])"])
def test_what_a_job_cannot_carry_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="^A holds"):
        quote_environment({"A": value})


@pytest.mark.parametrize("name", ["", "A=B", "A B", "1A", "A'", "A\n"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        quote_environment({name: "x"})


def test_the_description_holds_the_class_and_nothing_else_of_the_user(settings: Settings) -> None:
    description = describe(
        settings, owner="alice", server="two", row=settings.classes[1], environment={"A": "b"}
    )
    assert description["My.Owner"] == '"alice"'
    assert description["My.AfhubClass"] == '"large"'
    assert description["My.AfhubServer"] == '"two"'
    assert description["My.AfhubHub"] == '"hub.example.org"'
    assert description["transfer_output_files"] == '""'
    assert not [key for key in description if key.lower().startswith("request")]
    assert all("\n" not in value for value in description.values())


@pytest.mark.parametrize("owner", ["", "a b", 'a"b', "a\nb", "-a", "$(X)", "a" * 65])
def test_a_strange_owner_is_refused(settings: Settings, owner: str) -> None:
    with pytest.raises(ValueError, match="no account name"):
        describe(settings, owner=owner, server="", row=settings.classes[0], environment={})


@pytest.mark.parametrize("server", ["A", "a b", 'a"', "a\n", "-a", "a" * 64])
def test_a_strange_server_name_is_refused(settings: Settings, server: str) -> None:
    with pytest.raises(ValueError, match="no server name"):
        describe(settings, owner="alice", server=server, row=settings.classes[0], environment={})


@effort(max_examples=300, deadline=None)
@given(text=st.text(max_size=30))
def test_a_classad_text_never_ends_early(text: str) -> None:
    try:
        literal = classad_string(text)
    except ValueError:
        assert "$" in text or not text.isprintable()
    else:
        assert re.fullmatch(r'"([^"\\]|\\.)*"', literal)


@pytest.mark.parametrize(
    ("remote", "host"),
    [
        ("slot1@notebooks@worker1.example.org", "worker1.example.org"),
        ("slot1_2@big1.example.org", "big1.example.org"),
        ("worker1", "worker1"),
        ("", ""),
        ("slot1@evil host", ""),
        ("slot1@host/../x", ""),
    ],
)
def test_the_machine_is_read_from_the_slot(remote: str, host: str) -> None:
    assert host_of(remote) == host


def test_an_ad_without_what_makes_a_job_is_none() -> None:
    assert parse_ad({}) is None
    assert parse_ad({"ClusterId": 1, "ProcId": 0, "JobStatus": 99}) is None
    assert parse_ad({"ClusterId": 1, "ProcId": 0, "JobStatus": "2"}) is None


def test_every_status_waits_runs_or_is_over() -> None:
    over = {JobStatus.REMOVED, JobStatus.COMPLETED, JobStatus.HELD}
    for status in JobStatus:
        assert status.waits + status.runs + (status in over) == 1


def test_a_hold_reason_becomes_one_line() -> None:
    ad = {
        "ClusterId": 3,
        "ProcId": 0,
        "JobStatus": 5,
        "HoldReason": "too\n much  memory",
        "HoldReasonCode": 26,
    }
    job = parse_ad(ad)
    assert job is not None
    assert (job.job_id, job.hold_reason, job.hold_code) == ("3.0", "too much memory", 26)


def _static(state: str, classes: str = "regular") -> dict[str, Any]:
    return {"SlotType": "Static", "State": state, "AfhubClasses": classes, "Cpus": 1, "Memory": 1536}


def test_static_slots_are_free_while_unclaimed(settings: Settings) -> None:
    ads = [
        _static("Unclaimed"),
        _static("Claimed"),
        _static("Drained"),
        _static("Unclaimed", "other, regular"),
    ]
    assert slots_by_class(settings, ads)["regular"] == ClassSlots(free=2, total=4)


def test_a_partitionable_slot_has_room_by_cores_and_memory(settings: Settings) -> None:
    slot = {
        "SlotType": "Partitionable",
        "State": "Unclaimed",
        "AfhubClasses": "large,xlarge",
        "Cpus": 6,
        "Memory": 50000,
        "TotalSlotCpus": 8,
        "TotalSlotMemory": 70000,
    }
    dynamic = {"SlotType": "Dynamic", "State": "Claimed", "AfhubClasses": "large,xlarge", "Cpus": 2}
    found = slots_by_class(settings, [slot, dynamic])
    assert found == {"regular": ClassSlots(0, 0, "no_machine"), "large": ClassSlots(free=2, total=3)}
    assert slots_by_class(settings, [{**slot, "State": "Drained"}])["large"] == ClassSlots(free=0, total=3)


def whole(**facts: Any) -> dict[str, Any]:
    """A partitionable slot that can take two notebooks of the class large."""
    return {
        "SlotType": "Partitionable",
        "State": "Unclaimed",
        "AfhubClasses": "large",
        "TotalSlotCpus": 4,
        "TotalSlotMemory": 50000,
        "TotalSlotDisk": 10**6,
        **facts,
    }


@pytest.mark.parametrize(
    ("ads", "obstacle"),
    [
        ([], ("no_machine", "", 0, 0)),
        ([whole(AfhubClasses="xlarge")], ("no_machine", "", 0, 0)),
        ([whole(SlotType="Dynamic")], ("no_machine", "", 0, 0)),
        ([whole()], ("", "", 0, 0)),
        # What is busy now has room later.
        ([whole(State="Claimed", Cpus=0, Memory=0)], ("", "", 0, 0)),
        ([whole(TotalSlotCpus=1), whole(TotalSlotCpus=0)], ("too_small", "cores", 2, 1)),
        ([whole(TotalSlotMemory=20479)], ("too_small", "memory", 20480, 20479)),
        ([whole(TotalSlotMemory=20480)], ("", "", 0, 0)),
        ([whole(TotalSlotMemory=1), whole()], ("", "", 0, 0)),
        ([whole(TotalSlotDisk=1023)], ("too_small", "disk", 1024, 1023)),
        # A slot that does not say is given the benefit of the doubt.
        ([{"SlotType": "Static", "State": "Claimed", "AfhubClasses": "large"}], ("", "", 0, 0)),
        ([whole(Draining=True), whole(Draining=True)], ("draining", "", 0, 0)),
        ([whole(Draining=True), whole(Draining=False)], ("", "", 0, 0)),
        ([whole(Draining=True), whole(SlotType="Dynamic")], ("draining", "", 0, 0)),
        ([whole(TotalSlotCpus=1, Draining=True)], ("too_small", "cores", 2, 1)),
    ],
)
def test_what_keeps_every_slot_from_taking_a_notebook_is_named(
    settings: Settings, ads: list[dict[str, Any]], obstacle: tuple[str, str, int, int]
) -> None:
    found = slots_by_class(settings, ads)["large"]
    assert (found.obstacle, found.requirement, found.wanted, found.largest) == obstacle
