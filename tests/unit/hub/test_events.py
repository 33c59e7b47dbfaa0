"""The schedd's event log is understood: whose job, what happened, when, why and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from afhub.condor import Condor, CondorUnreachable, rotated
from afhub.events import KEPT_JOBS, Event, Trace, Traces, parse_event
from afhub.settings import Settings

ADDRESS = "<10.0.0.4:9618?addrs=10.0.0.4-9618&alias=worker1.example.org&noUDP&sock=nb>"
SLOT = "slot1@notebooks@worker1.example.org"


def ad(number: int, **facts: Any) -> dict[str, Any]:
    """What the schedd writes behind each event of alice's job 7.0."""
    return {
        "MyType": "JobAdInformationEvent",
        "EventTypeNumber": 28,
        "TriggerEventTypeNumber": number,
        "AfhubHub": "hub.example.org",
        "AfhubClass": "regular",
        "AfhubServer": "two",
        "Owner": "alice",
        "Cluster": 7,
        "Proc": 0,
        "Subproc": 0,
        **facts,
    }


def parsed(number: int, at: int = 1000, **facts: Any) -> Event:
    event = parse_event(ad(number, **facts), at)
    assert event is not None
    return event


def test_an_event_says_whose_notebook_it_is_and_when() -> None:
    event = parsed(0, at=1234)
    assert (event.kind, event.job_id, event.owner) == ("submitted", "7.0", "alice")
    assert (event.server, event.notebook_class, event.at) == ("two", "regular", 1234)
    assert Event.from_dict(asdict(event)) == event


@pytest.mark.parametrize(
    ("number", "facts", "expected"),
    [
        (1, {"SlotName": SLOT, "ExecuteHost": ADDRESS}, {"kind": "running", "host": "worker1.example.org"}),
        (1, {"ExecuteHost": ADDRESS}, {"kind": "running", "host": "worker1.example.org"}),
        (1, {"SlotName": "slot1@evil host"}, {"kind": "running", "host": ""}),
        (
            12,
            {
                "HoldReason": "maintenance\n tonight (by user condor)",
                "HoldReasonCode": 1,
                "HoldReasonSubCode": 0,
            },
            {"kind": "held", "reason": "maintenance tonight", "by": "condor", "code": 1, "subcode": 0},
        ),
        (
            12,
            {
                "HoldReason": "used 13000 MB of 12288 MB",
                "HoldReasonCode": 26,
                "HoldReasonSubCode": 7001,
                # Of an eviction, not of the hold.
                "ReasonCode": 3,
            },
            {"reason": "used 13000 MB of 12288 MB", "by": "", "code": 26, "subcode": 7001},
        ),
        (
            5,
            {"TerminatedNormally": True, "ReturnValue": 3},
            {"kind": "terminated", "exit_code": 3, "signal": None},
        ),
        (5, {"TerminatedNormally": True, "ReturnValue": 0}, {"exit_code": 0, "signal": None}),
        (5, {"TerminatedNormally": False, "TerminatedBySignal": 9}, {"exit_code": None, "signal": 9}),
        (
            4,
            {"Reason": "The startd drains", "ReasonCode": 1009, "ReasonSubCode": 2, "ReturnValue": 1},
            {
                "kind": "evicted",
                "reason": "The startd drains",
                "code": 1009,
                "subcode": 2,
                "exit_code": None,
            },
        ),
        (4, {"Checkpointed": False, "TerminatedNormally": False}, {"kind": "evicted", "reason": ""}),
        (
            22,
            {
                "DisconnectReason": "Socket closed",
                "StartdName": "slot1@worker2.example.org",
                "StartdAddr": "<10.0.0.5:9618>",
            },
            {"kind": "disconnected", "reason": "Socket closed", "host": "worker2.example.org"},
        ),
        (
            23,
            {"StartdName": "slot1@worker2.example.org"},
            {"kind": "reconnected", "host": "worker2.example.org"},
        ),
        (
            24,
            {"Reason": "Job disconnected too long", "StartdName": "slot1@worker2.example.org"},
            {"kind": "reconnect_failed", "reason": "Job disconnected too long"},
        ),
        (
            7,
            {"Message": "Error from worker1: disk gone"},
            {"kind": "shadow_exception", "reason": "Error from worker1: disk gone"},
        ),
        (
            9,
            {"Reason": "not in working hours (by user root)"},
            {"kind": "removed", "reason": "not in working hours", "by": "root"},
        ),
        (9, {"Reason": "policy (a, b) said so"}, {"reason": "policy (a, b) said so", "by": ""}),
        (13, {"Reason": "via condor_release (by user root)"}, {"kind": "released", "by": "root"}),
    ],
)
def test_each_kind_brings_its_facts(number: int, facts: dict[str, Any], expected: dict[str, Any]) -> None:
    event = asdict(parsed(number, **facts))
    assert {name: event[name] for name in expected} == expected


@pytest.mark.parametrize(
    "change",
    [
        {"AfhubHub": None},
        {"AfhubHub": ""},
        {"Cluster": None},
        {"Cluster": "7"},
        {"Proc": True},
        {"TriggerEventTypeNumber": 6},
        {"TriggerEventTypeNumber": 40},
        {"TriggerEventTypeNumber": -1},
        {"TriggerEventTypeNumber": None},
        {"TriggerEventTypeNumber": "12"},
    ],
)
def test_what_is_no_change_of_a_notebook_is_left_out(change: dict[str, Any]) -> None:
    assert parse_event({**ad(0), **change}, 1) is None


def test_an_ad_without_a_kind_is_left_out() -> None:
    bare = ad(0)
    del bare["TriggerEventTypeNumber"]
    assert parse_event(bare, 1) is None


def traced(*events: Event) -> Trace:
    traces = Traces()
    assert traces.add(events) == {"7.0"}
    trace = traces.of("7.0", "alice", "two")
    assert trace is not None
    return trace


def test_a_trace_knows_where_and_since_when_the_job_runs() -> None:
    trace = traced(parsed(0), parsed(1, at=1010, SlotName=SLOT))
    assert (trace.host, trace.started, trace.ended, trace.held) == ("worker1.example.org", 1010, False, None)


def test_a_connection_is_lost_and_found_again() -> None:
    running, lost = parsed(1, SlotName=SLOT), parsed(22, at=1020)
    assert traced(running, lost).disconnected == lost
    again = traced(running, lost, parsed(23, at=1030))
    assert again.disconnected is None
    assert again.left is None


def test_a_failed_reconnection_says_more_than_what_follows_it() -> None:
    failed = parsed(24, Reason="too long")
    trace = traced(parsed(1), parsed(22), failed, parsed(4))
    assert (trace.left, trace.disconnected) == (failed, None)
    assert traced(parsed(1), parsed(7), failed).left == failed


def test_of_several_losses_the_first_is_the_cause() -> None:
    exception = parsed(7, Message="disk gone")
    assert traced(parsed(1), exception, parsed(4, Reason="later")).left == exception


def test_a_job_that_runs_again_has_left_nothing() -> None:
    assert traced(parsed(1), parsed(4), parsed(1, at=1050)).left is None


def test_a_released_job_is_not_held_and_a_removed_one_has_ended() -> None:
    held = parsed(12, HoldReason="x", HoldReasonCode=1)
    assert traced(held).held == held
    assert traced(held, parsed(13)).held is None
    removed = traced(held, parsed(9))
    assert removed.held is None
    assert removed.ended
    assert removed.over == held
    assert not traced(held).ended
    assert traced(parsed(5, ReturnValue=0)).ended


def test_a_job_id_used_again_begins_a_new_story() -> None:
    trace = traced(parsed(0), parsed(12, HoldReason="x"), parsed(9), parsed(0, at=2000))
    assert (trace.over, trace.removed, trace.ended) == (None, None, False)


def test_anothers_job_with_the_same_id_is_not_ours() -> None:
    traces = Traces()
    traces.add([parsed(0)])
    assert traces.of("7.0", "alice", "two") is not None
    assert traces.of("7.0", "bob", "two") is None
    assert traces.of("7.0", "alice", "") is None
    traces.add([parsed(0, Owner="bob")])
    assert traces.of("7.0", "alice", "two") is None


def test_memory_for_stories_is_bounded_and_the_oldest_go_first() -> None:
    traces = Traces()
    traces.add(parsed(0, Cluster=number) for number in range(1, KEPT_JOBS + 1))
    traces.add([parsed(1, Cluster=1)])
    traces.add([parsed(0, Cluster=KEPT_JOBS + 1)])
    assert len(traces.known) == KEPT_JOBS
    assert traces.of("1.0", "alice", "two") is not None, "it was heard of a moment ago"
    assert traces.of("2.0", "alice", "two") is None


def written(job_id: str, number: int, **facts: Any) -> str:
    """An event as the schedd writes it."""
    cluster, _, proc = job_id.partition(".")
    lines = "".join(
        f'{name} = "{value}"\n' if isinstance(value, str) else f"{name} = {value}\n"
        for name, value in ad(number, Cluster=int(cluster), Proc=int(proc), **facts).items()
        if name != "EventTypeNumber"
    )
    head = f"028 ({int(cluster):03}.{int(proc):03}.000) 2026-03-01 10:00:00Z"
    return f"{head} Job ad information event triggered.\n{lines}...\n"


@pytest.fixture
def reader(followed_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Condor:
    pytest.importorskip("htcondor2")
    for name in ("_CONDOR_SEC_TOKEN_DIRECTORY", "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("CONDOR_CONFIG", "/dev/null")
    return Condor(followed_settings)


def kinds(events: list[Mapping[str, Any]] | list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["job_id"], event["kind"]) for event in events]


def test_the_file_is_read_once_and_then_only_what_is_new(reader: Condor, followed_settings: Settings) -> None:
    log = followed_settings.condor.event_log
    assert log is not None
    log.write_text(
        "000 (007.000.000) 2026-03-01 10:00:00Z Job submitted from host: <10.0.0.1:9618>\n...\n"
        + written("7.0", 0)
        + written("8.0", 0, AfhubHub="")
        + written("7.0", 6, Size=1)
    )
    (first,) = reader.events()
    assert (first["job_id"], first["kind"], first["at"]) == ("7.0", "submitted", 1772359200)
    assert reader.events() == []
    with log.open("a") as more:
        more.write(written("7.0", 12, HoldReason="x (by user root)", HoldReasonCode=1))
    (held,) = reader.events()
    assert (held["kind"], held["reason"], held["by"], held["code"]) == ("held", "x", "root", 1)


def test_a_rotated_file_loses_nothing(reader: Condor, followed_settings: Settings) -> None:
    log = followed_settings.condor.event_log
    assert log is not None
    log.with_name("EventLog.1").write_text(written("1.0", 0))
    log.with_name("EventLog.2").write_text(written("2.0", 0))
    log.write_text(written("3.0", 0))
    assert [job_id for job_id, _ in kinds(reader.events())] == ["2.0", "1.0", "3.0"]
    with log.open("a") as more:
        more.write(written("3.0", 1, SlotName=SLOT))
    log.rename(log.with_name("EventLog.old"))
    log.write_text(written("4.0", 0))
    assert kinds(reader.events()) == [("3.0", "running"), ("4.0", "submitted")]


def test_a_log_that_is_not_there_is_no_silence(reader: Condor, followed_settings: Settings) -> None:
    log = followed_settings.condor.event_log
    assert log is not None
    log.unlink()
    with pytest.raises(CondorUnreachable, match="EventLog"):
        reader.events()
    log.write_text(written("7.0", 0))
    assert kinds(reader.events()) == [("7.0", "submitted")]


def test_older_parts_come_first(tmp_path: Path) -> None:
    for name in ("EventLog", "EventLog.1", "EventLog.2", "EventLog.old", "EventLog.txt"):
        (tmp_path / name).touch()
    found = [path.name for path in rotated(tmp_path / "EventLog")]
    assert found == ["EventLog.2", "EventLog.1", "EventLog.old"]
