"""The way through Chirp, with a stand-in for the starter that answers, is silent, hangs up or refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_chirp import FakeChirp
from jupyter_afhub import chirp as chirp_way
from jupyter_afhub.chirp import ChirpLink
from jupyter_afhub.notices import Notice
from jupyter_afhub.ways import Activity
from minipool import wait_for

ACTIVITY = Activity(idle_s=30, last=1_700_000_000, kernels=2, busy_kernels=0, memory_peak_mb=512)
NOTICE = '"[{\\"id\\": \\"n1\\", \\"text\\": \\"Hello.\\"}]"'


@pytest.fixture
def received() -> list[list[Notice]]:
    return []


@pytest.fixture
def linked(
    chirp: FakeChirp, tmp_path: Path, received: list[list[Notice]]
) -> Iterator[Callable[..., ChirpLink]]:
    """Starts a link with short times."""
    links: list[ChirpLink] = []

    def start(environ: dict[str, str] | None = None, answer_s: float = 5.0) -> ChirpLink:
        environ = {"_CONDOR_CHIRP_CONFIG": str(chirp.configure(tmp_path))} if environ is None else environ
        link = ChirpLink(
            lambda rows, _: received.append(rows),
            environ=environ, answer_s=answer_s, soon_s=0.02, back_off_s=(0.05, 0.2),
        )  # fmt: skip
        links.append(link)
        link.start()
        return link

    yield start
    for link in links:
        link.stop()


def ids(received: list[list[Notice]]) -> list[list[str]]:
    return [[notice.id for notice in rows] for rows in received]


def test_notices_arrive_when_they_change_and_once(
    chirp: FakeChirp, linked: Callable[..., ChirpLink], received: list[list[Notice]]
) -> None:
    linked().watch(True)
    wait_for("it asks", lambda: chirp.reads > 2, every_s=0.01)
    chirp.attributes["AfhubNotices"] = NOTICE
    wait_for("it has asked again", lambda: ids(received) == [[], ["n1"]], every_s=0.01)
    reads = chirp.reads
    wait_for("it goes on asking", lambda: chirp.reads > reads + 3, every_s=0.01)
    assert ids(received) == [[], ["n1"]]


def test_what_the_notebook_does_is_written(chirp: FakeChirp, linked: Callable[..., ChirpLink]) -> None:
    link = linked()
    link.watch(True)
    link.report(ACTIVITY)
    link.report_seen({"n1": "read", "n2": "delivered"})
    wait_for("all is written", lambda: len(chirp.attributes) == 5, every_s=0.01)
    assert chirp.attributes == {
        "ChirpAfhubIdleSince": "1700000000", "ChirpAfhubKernels": "2", "ChirpAfhubBusyKernels": "0",
        "ChirpAfhubMemoryPeakMb": "512", "ChirpAfhubSeen": '"n1:r,n2:d"',
    }  # fmt: skip


def test_what_was_read_is_told_at_once_though_nobody_looks(
    chirp: FakeChirp, linked: Callable[..., ChirpLink]
) -> None:
    link = linked()
    wait_for("the first look is over", lambda: chirp.reads, every_s=0.01)
    link.report_seen({"n1": "read"})
    wait_for("it is told", lambda: chirp.attributes.get("ChirpAfhubSeen"), timeout_s=5, every_s=0.01)


@pytest.mark.parametrize("manner", ["is silent", "hangs up"])
def test_a_starter_in_trouble_is_asked_seldom_and_heard_when_it_is_back(
    chirp: FakeChirp, linked: Callable[..., ChirpLink], received: list[list[Notice]], manner: Any
) -> None:
    chirp.manner = manner
    link = linked(answer_s=0.4 if manner == "is silent" else 5.0)
    link.watch(True)
    link.report(ACTIVITY)
    wait_for("the problem is told", lambda: link.problem, timeout_s=10, every_s=0.02)
    wait_for("it has tried some more", lambda: chirp.connections >= 6, timeout_s=20, every_s=0.02)
    assert "has not answered" in str(link.problem) and not received
    # A closed connection must not be read from until time is up.
    assert ("has closed the connection" in str(link.problem)) is (manner == "hangs up")
    chirp.attributes["AfhubNotices"] = NOTICE
    chirp.manner = "answers"
    wait_for("it is heard again", lambda: ids(received) == [["n1"]], timeout_s=10, every_s=0.02)
    assert chirp.attributes["ChirpAfhubKernels"] == "2"
    wait_for("nothing is wrong any more", lambda: link.problem is None, every_s=0.01)


def test_who_hears_news_sees_no_trouble_that_is_over(chirp: FakeChirp, tmp_path: Path) -> None:
    problems: list[str | None] = []
    chirp.manner = "hangs up"
    chirp.attributes["AfhubNotices"] = NOTICE
    link = ChirpLink(
        lambda *_: problems.append(link.problem),
        environ={"_CONDOR_CHIRP_CONFIG": str(chirp.configure(tmp_path))}, back_off_s=(0.05, 0.2),
    )  # fmt: skip
    link.start()
    try:
        wait_for("the problem is told", lambda: link.problem, timeout_s=10, every_s=0.02)
        chirp.manner = "answers"
        wait_for("it is heard again", lambda: problems, timeout_s=10, every_s=0.02)
    finally:
        link.stop()
    assert problems == [None]


def test_where_reading_is_refused_writing_goes_on(chirp: FakeChirp, linked: Callable[..., ChirpLink]) -> None:
    chirp.manner = "refuses to read"
    link = linked()
    link.watch(True)
    wait_for("the problem is told", lambda: link.problem, every_s=0.01)
    link.report(ACTIVITY)
    wait_for("it is written", lambda: len(chirp.attributes) == 4, timeout_s=5, every_s=0.01)
    assert chirp.reads == 1 and "does not let this job read" in str(link.problem)


def test_an_answer_without_end_is_not_read_to_its_end(
    chirp: FakeChirp, linked: Callable[..., ChirpLink], received: list[list[Notice]]
) -> None:
    chirp.attributes["AfhubNotices"] = '"' + "x" * 2_000_000 + '"'
    link = linked()
    wait_for("the problem is told", lambda: link.problem, timeout_s=10, every_s=0.02)
    assert not received


@pytest.mark.parametrize("content", [None, "", "one", "host port cookie", "a b c d", "\x00" * 100_000])
def test_without_a_configuration_there_is_no_chirp(
    linked: Callable[..., ChirpLink], tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    link = linked({"_CONDOR_CHIRP_CONFIG": str(path)})
    wait_for("the problem is told", lambda: link.problem, every_s=0.01)
    assert "no Chirp" in str(link.problem)


def test_outside_of_a_job_there_is_none_either(linked: Callable[..., ChirpLink]) -> None:
    link = linked({})
    wait_for("the problem is told", lambda: link.problem, every_s=0.01)
    assert "no Chirp" in str(link.problem)


def test_a_value_can_not_end_its_string() -> None:
    assert chirp_way.literal('a"; Cmd="\\x\n') == '"a; Cmd=x"'
    assert chirp_way.literal(5) == "5"
