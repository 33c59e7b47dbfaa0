"""The helper process: answers in step, killed where it hangs, and only what it needs in its environment."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from afhub.condor import CondorRefused, CondorUnreachable
from afhub.settings import Settings
from afhub.worker import WorkerProcess, _worker_environment, answer

ECHO = """
import json, sys, time
sys.stdin.readline()
for line in sys.stdin:
    name, *args = json.loads(line)
    if name == "remove":
        time.sleep(60)
    if name == "slots":
        sys.exit(3)
    print(json.dumps({"refused": "no"} if name == "submit" else {"result": args}), flush=True)
"""


def _worker(settings: Settings, timeout_s: float = 5) -> WorkerProcess:
    return WorkerProcess(settings, timeout_s=timeout_s, command=(sys.executable, "-c", ECHO))


def test_calls_come_back_in_step(settings: Settings) -> None:
    async def scenario() -> None:
        worker = _worker(settings)
        answers = await asyncio.gather(*(worker.call("jobs", number) for number in range(20)))
        assert answers == [[number] for number in range(20)]
        with pytest.raises(CondorRefused, match="no"):
            await worker.call("submit", {})
        await worker.close()

    asyncio.run(scenario())


def test_a_cancelled_caller_leaves_the_others_in_step(settings: Settings) -> None:
    async def scenario() -> None:
        worker = _worker(settings)
        await worker.call("jobs", 0)
        first = asyncio.ensure_future(worker.call("jobs", 1))
        await asyncio.sleep(0)
        first.cancel()
        assert await worker.call("jobs", 2) == [2]
        await worker.close()

    asyncio.run(scenario())


def test_a_call_that_hangs_costs_the_process_and_no_more(settings: Settings) -> None:
    async def scenario() -> None:
        worker = _worker(settings, timeout_s=0.5)
        begun = time.monotonic()
        with pytest.raises(CondorUnreachable, match="within"):
            await worker.call("remove", "1.0", "x")
        assert time.monotonic() - begun < 30, "it hangs for 60 s"
        # The next process may take its time to start.
        worker._timeout_s = 10
        assert await worker.call("jobs", 1) == [1]
        await worker.close()

    asyncio.run(scenario())


def test_a_process_that_ends_is_replaced(settings: Settings) -> None:
    async def scenario() -> None:
        worker = _worker(settings)
        with pytest.raises(CondorUnreachable):
            await worker.call("slots")
        assert await worker.call("jobs", 1) == [1]
        await worker.close()

    asyncio.run(scenario())


FORGOTTEN = """
import json, os, sys
sys.stdin.readline()
with open({marks!r}, "a") as marks:
    marks.write("x")
alone = os.path.getsize({marks!r}) == 1
for line in sys.stdin:
    word = "SECMAN:{code}:Server rejected our session id" if alone or {for_ever} else ""
    print(json.dumps({{"unreachable": word}} if word else {{"result": "new"}}), flush=True)
"""


def _forgotten(settings: Settings, marks: Path, *, code: int = 2004, for_ever: bool = False) -> WorkerProcess:
    """A helper whose first process holds a session that the schedd has forgotten."""
    script = FORGOTTEN.format(marks=str(marks), code=code, for_ever=for_ever)
    return WorkerProcess(settings, timeout_s=5, command=(sys.executable, "-c", script))


@pytest.mark.parametrize("code", [2004, 2007])
def test_a_session_that_the_schedd_forgot_is_replaced_and_the_call_made_again(
    settings: Settings, tmp_path: Path, code: int
) -> None:
    async def scenario() -> None:
        worker = _forgotten(settings, tmp_path / "marks", code=code)
        assert await worker.call("jobs") == "new"
        await worker.close()

    asyncio.run(scenario())
    assert (tmp_path / "marks").read_text() == "xx"


@pytest.mark.parametrize(("code", "processes"), [(2004, "xx"), (2010, "x")])
def test_any_other_failure_and_a_second_one_reach_the_caller(
    settings: Settings, tmp_path: Path, code: int, processes: str
) -> None:
    async def scenario() -> None:
        worker = _forgotten(settings, tmp_path / "marks", code=code, for_ever=True)
        with pytest.raises(CondorUnreachable, match=f"SECMAN:{code}"):
            await worker.call("jobs")
        await worker.close()

    asyncio.run(scenario())
    assert (tmp_path / "marks").read_text() == processes


def test_secrets_of_the_hub_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "secret")
    monkeypatch.setenv("_CONDOR_SEC_TOKEN_DIRECTORY", "/tokens")
    environment = _worker_environment()
    assert "JUPYTERHUB_CRYPT_KEY" not in environment
    assert environment["_CONDOR_SEC_TOKEN_DIRECTORY"] == "/tokens"


class FakeCalls:
    """The far end's calls, with one outcome each."""

    def jobs(self) -> list[dict[str, Any]]:
        return [{"ClusterId": 1}]

    def details(self) -> list[dict[str, Any]]:
        return [{"ClusterId": 1, "AfhubSeen": ""}]

    def edit(self, job_id: str, attributes: Mapping[str, int | str]) -> bool:
        return job_id == "1.0"

    def slots(self) -> list[dict[str, Any]]:
        raise CondorUnreachable("gone")

    def submit(self, description: object) -> str:
        raise CondorRefused("no")

    def remove(self, job_id: str, reason: str) -> bool:
        raise RuntimeError("surprise")

    def remove_by_force(self, job_id: str) -> bool:
        return job_id == "1.0"

    def reschedule(self) -> bool:
        return True

    def events(self) -> list[dict[str, Any]]:
        raise CondorUnreachable("the log can't be read")


@pytest.mark.parametrize(
    ("request_line", "outcome"),
    [
        (["jobs"], {"result": [{"ClusterId": 1}]}),
        (["details"], {"result": [{"ClusterId": 1, "AfhubSeen": ""}]}),
        (["edit", "2.0", {"AfhubSeen": "a:d"}], {"result": False}),
        (["slots"], {"unreachable": "gone"}),
        (["submit", {}], {"refused": "no"}),
        (["remove", "1.0", "x"], {"unreachable": "RuntimeError: surprise"}),
        (["remove_by_force", "1.0"], {"result": True}),
        (["reschedule"], {"result": True}),
        (["events"], {"unreachable": "the log can't be read"}),
        (["__init__"], {"refused": "no such call: __init__"}),
    ],
)
def test_outcomes_are_put_into_words(request_line: list[Any], outcome: dict[str, Any]) -> None:
    assert answer(FakeCalls(), request_line) == outcome
