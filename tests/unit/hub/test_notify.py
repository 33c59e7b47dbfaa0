"""Admins tell users something: who is meant, what is refused, what each notebook is told, and who has seen it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from afhub import cli
from afhub.commands import notify
from afhub.jobs import attribute_literal, parse_details
from afhub.notices import (
    KEPT,
    TEXT_LIMIT,
    Ledger,
    Notice,
    NoticeError,
    as_attribute,
    from_attribute,
    merged_seen,
    seconds_of,
    seen_as_attribute,
    seen_from_attribute,
    with_notice,
)
from afhub.settings import Settings


class FakeQueue:
    """The schedd's queue: two notebooks of alice's, one of bob's that waits, one that is held."""

    ads: dict[str, dict[str, Any]]

    def __init__(self, settings: Settings) -> None:
        pass

    def details(self) -> list[dict[str, Any]]:
        return list(self.ads.values())

    def edit(self, job_id: str, attributes: Mapping[str, int | str]) -> bool:
        if job_id in self.ads:
            self.ads[job_id].update(attributes)
        return job_id in self.ads


@pytest.fixture
def ads(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    common = {"ProcId": 0, "QDate": 0, "EnteredCurrentStatus": 60, "AllowedJobDuration": 7200}
    rows = [
        {
            "ClusterId": 1,
            "Owner": "alice",
            "AfhubClass": "regular",
            "AfhubServer": "",
            "JobStatus": 2,
            "RemoteHost": "slot1@notebooks@worker1.example.org",
            "ShadowBday": int(time.time()) - 3600,
        },
        {
            "ClusterId": 2,
            "Owner": "alice",
            "AfhubClass": "large",
            "AfhubServer": "two",
            "JobStatus": 2,
            "RemoteHost": "slot1@notebooks@worker10.example.org",
            "ShadowBday": int(time.time()) - 60,
        },
        {"ClusterId": 3, "Owner": "bob", "AfhubClass": "regular", "AfhubServer": "", "JobStatus": 1},
        {"ClusterId": 4, "Owner": "carol", "AfhubClass": "regular", "AfhubServer": "", "JobStatus": 5},
    ]
    found = {f"{row['ClusterId']}.0": {**common, **row} for row in rows}
    monkeypatch.setattr(FakeQueue, "ads", found, raising=False)
    monkeypatch.setattr(cli, "Condor", FakeQueue)
    monkeypatch.setenv("SUDO_USER", "anna")
    return found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(ads: dict[str, Any], data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``afhub notify``: exit code, output, and complaints."""
    data["condor"]["tokens_dir"] = data["state_dir"] = str(tmp_path)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(data))

    def notify_with(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["notify", "--settings", str(file), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return notify_with


def texts(ad: Mapping[str, Any]) -> list[str]:
    return [notice.text for notice in from_attribute(ad.get("AfhubNotices"))]


@pytest.mark.parametrize(
    ("audience", "told"),
    [
        (["--all"], {"1.0", "2.0", "3.0"}),
        (["--user", "alice"], {"1.0", "2.0"}),
        (["--user", "alice", "--server", "two"], {"2.0"}),
        (["--user", "alice", "--server", ""], {"1.0"}),
        (["--class", "regular"], {"1.0", "3.0"}),
        (["--host", "worker1"], {"1.0"}),
        (["--host", "worker1.example.org"], {"1.0"}),
    ],
)
def test_those_who_are_meant_are_told(
    run: Run, ads: dict[str, Any], audience: list[str], told: set[str]
) -> None:
    code, out, err = run(*audience, "--level", "warning", "The file server is slow.")
    assert code == 0, err
    assert {job for job, ad in ads.items() if texts(ad)} == told
    assert f"went to {len(told)} notebook" in out
    notice = from_attribute(ads[min(told)]["AfhubNotices"])[0]
    assert (notice.level, notice.text, notice.sender) == ("warning", "The file server is slow.", "anna")
    assert abs(seconds_of(notice.at) - time.time()) < 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--user", "zoe"],
            "no notebook of user 'zoe' runs or waits; users with notebooks: alice, alice/two, bob",
        ),
        (["--user", "alice", "--server", "x"], "no notebook of user 'alice' and server 'x' runs or waits"),
        (["--class", "large", "--host", "worker1"], None),
        (
            ["--host", "worker"],
            "no notebook on host 'worker' runs or waits; hosts with notebooks: worker1.example",
        ),
    ],
)
def test_nobody_to_tell_is_an_error(run: Run, arguments: list[str], words: str | None) -> None:
    if words is None:
        with pytest.raises(SystemExit) as usage:
            run(*arguments, "hello")
        assert usage.value.code == 2
        return
    code, out, err = run(*arguments, "hello")
    assert (code, out) == (cli.NOBODY, "")
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--all", "x" * (TEXT_LIMIT + 1)], "the text has 2001 characters: write 2000 or less"),
        (["--all", "one\ntwo"], "character 4 of the text is '\\n'"),
        (["--all", "\x1b[31mred"], "character 1 of the text is '\\x1b'"),
        (["--all", "abc\u202edef"], "character 4 of the text is '\\u202e'"),
        (["--all", "$$(HOME)"], "the text holds '$$'"),
        (["--all", "   "], "the text is empty"),
        (["--all"], "the text is missing"),
        (["--class", "huge", "x"], "there is no class 'huge': write one of regular, large"),
        (["--all", "--server", "two", "x"], "--server belongs to a user"),
        (["--all", "--for", "soon", "x"], "'soon' is no duration"),
        (["--all", "--until", "soon", "x"], "'soon' is no time"),
        (["--all", "--until", "2020-01-01T00:00Z", "x"], "2020-01-01T00:00:00Z is over"),
        (["--all", "--for", "900d", "x"], "is more than a year ahead"),
        (["--all", "--from", "a\nb", "x"], "--from is 'a\\nb'"),
        (["--status", "--", "x", "y"], None),
        (["--status", "nonesuch"], "there is no notice 'nonesuch'; the last ones are: none"),
    ],
)
def test_what_can_not_be_sent_is_refused_and_nobody_is_told(
    run: Run, ads: dict[str, Any], arguments: list[str], words: str | None
) -> None:
    if words is None:
        with pytest.raises(SystemExit):
            run(*arguments)
    else:
        code, out, err = run(*arguments)
        assert (code, out) == (cli.FAILED, "")
        assert words in err
    assert not any("AfhubNotices" in ad for ad in ads.values())


def test_the_longest_text_goes_as_it_is(run: Run, ads: dict[str, Any]) -> None:
    text = '<b>"\\' * (TEXT_LIMIT // 5)
    assert run("--user", "bob", text)[0] == 0
    assert texts(ads["3.0"]) == [text]


def test_each_notebook_is_told_its_own_time_left(run: Run, ads: dict[str, Any]) -> None:
    assert run("--all", "You have {left}, until {end}.")[0] == 0
    assert texts(ads["1.0"])[0].startswith(("You have 59 min, until", "You have 1 h, until"))
    assert texts(ads["2.0"])[0].startswith(("You have 1 h 58 min", "You have 1 h 59 min"))
    # One that waits has all its time before it.
    assert texts(ads["3.0"])[0].startswith(("You have 1 h 59 min", "You have 2 h"))


def test_the_end_of_a_notice_counts_where_it_comes_first(run: Run, ads: dict[str, Any]) -> None:
    assert run("--all", "--for", "30min", "You have {left}.")[0] == 0
    assert {texts(ads[job])[0] for job in ("1.0", "2.0", "3.0")} <= {"You have 30 min.", "You have 29 min."}


def test_a_notebook_keeps_the_newest_and_none_that_is_over(run: Run, ads: dict[str, Any]) -> None:
    old = Notice(id="old", level="info", text="over", at="2026-01-01T00:00:00Z", until="2026-01-01T01:00:00Z")
    ads["1.0"]["AfhubNotices"] = as_attribute([old])
    for number in range(KEPT + 2):
        assert run("--user", "alice", f"number {number}")[0] == 0
    assert texts(ads["1.0"]) == [f"number {number}" for number in range(2, KEPT + 2)]


def test_a_notice_with_an_end_stands_for_those_who_start_later(
    run: Run, ads: dict[str, Any], tmp_path: Path
) -> None:
    ads.clear()
    code, out, _ = run("--class", "large", "--for", "2h", "Power cut at six.")
    assert code == 0
    assert "went to 0 notebooks" in out
    assert "Each notebook of class 'large' that starts before" in out
    (sent,) = Ledger(tmp_path).read()
    later = parse_details(
        {
            "ClusterId": 9,
            "ProcId": 0,
            "JobStatus": 2,
            "Owner": "zoe",
            "AfhubClass": "large",
            "AfhubServer": "",
        }
    )
    assert later is not None
    assert sent.stands_for(later.job, time.time())
    assert not sent.stands_for(later.job, time.time() + 7300)


def test_what_is_for_a_machine_does_not_stand(run: Run, ads: dict[str, Any], tmp_path: Path) -> None:
    assert run("--host", "worker1", "--for", "2h", "Out of service.")[0] == 0
    (sent,) = Ledger(tmp_path).read()
    details = parse_details(ads["1.0"])
    assert details is not None
    assert not sent.stands_for(details.job, time.time())


def test_status_counts_who_got_and_who_read_it(run: Run, ads: dict[str, Any]) -> None:
    assert run("--all", "First.")[0] == 0
    (notice,) = from_attribute(ads["1.0"]["AfhubNotices"])
    ads["1.0"]["AfhubSeen"] = f"{notice.id}:r"
    ads["2.0"]["AfhubSeen"] = f"other:r,{notice.id}:d"
    del ads["3.0"]
    code, out, _ = run("--status")
    assert code == 0
    head, row = (line.split() for line in out.splitlines())
    assert head == ["NOTICE", "LEVEL", "SENT", "NOTEBOOKS", "DELIVERED", "READ", "ENDED", "TEXT"]
    assert row == [notice.id, "info", notice.at, "2", "2", "1", "1", "First."]
    code, out, _ = run("--status", notice.id)
    assert [line.split() for line in out.splitlines()[-2:]] == [
        ["alice", "-", "1.0", "read"],
        ["alice", "two", "2.0", "delivered"],
    ]
    code, out, _ = run("--status", "--json")
    assert json.loads(out)[0]["read"] == 1


@pytest.mark.parametrize(
    "raw",
    ["", "[", "{}", "[1, null]", '[{"id": "A B"}]', "[" * 5000, None, 7, '[{"id":"a","level":"loud"}]'],
)
def test_an_attribute_that_is_none_holds_no_notice(raw: object) -> None:
    assert from_attribute(raw) == ()


def test_who_has_read_a_notice_does_not_unread_it() -> None:
    seen = merged_seen({"a": "read", "b": "delivered"}, {"a": "delivered", "b": "read", "c": "delivered"})
    assert seen_from_attribute(seen_as_attribute(seen)) == {"a": "read", "b": "read", "c": "delivered"}
    assert seen_from_attribute("a:r,b,c:x, d:d,<b>:r") == {"a": "read", "d": "delivered"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30min", 1800), ("30m", 1800), ("1.5h", 5400), ("1d 2h", 93600)]
)
def test_durations(text: str, seconds: int) -> None:
    assert notify.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "5 parsecs", "-5min", "5min later"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(NoticeError):
        notify.duration(text)


def test_times() -> None:
    assert notify.moment("2026-01-31T17:00Z") == seconds_of("2026-01-31T17:00:00Z")
    assert notify.moment("2026-01-31 17:00") == int(time.mktime((2026, 1, 31, 17, 0, 0, 0, 0, -1)))
    assert 0 < notify.moment("18:00") - time.time() <= 86400


def test_a_text_in_an_attribute_keeps_its_quotes_and_backslashes() -> None:
    assert attribute_literal('{"a": "b\\"c\\\\"}') == '"{\\"a\\": \\"b\\\\"c\\\\\\"}"'
    assert attribute_literal(7) == "7"
    with pytest.raises(ValueError, match="one line"):
        attribute_literal("a\nb")


def test_a_list_that_can_not_be_read_is_an_empty_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.read() == ()
    assert ledger.stamp() == (0, 0)
    ledger.path.write_text('[{"notice": 1}, 5')
    assert ledger.read() == ()


def test_one_more_notice_replaces_its_own_like() -> None:
    notice = Notice.make("x", level="info", until=None, sender="admin", now=1000)
    assert with_notice((notice,), notice, 1000) == (notice,)
