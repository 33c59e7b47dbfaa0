"""A notebook's life: started, found again, given up with a reason, and never lost because the schedd is silent."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from afhub.refusals import StartFailed, StartRefused
from hub_fakes import FakeCondor, Hub, saved, started, until

SLOT = "slot1@notebooks@worker1.example.org"


pytestmark = pytest.mark.usefixtures("quick")


def test_the_address_is_the_jobs_machine_and_the_reported_port(hub: Hub, condor: FakeCondor) -> None:
    spawner = hub.spawner()
    assert asyncio.run(started(spawner, condor)) == "http://worker1.example.org:40123"
    assert saved(spawner)["job_id"] == "1.0"
    assert saved(spawner)["machine"] == "worker1.example.org"


def test_the_job_id_is_saved_before_anything_runs(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: "job_id" in (saved(spawner) or {}))
        assert condor.ads["1.0"]["JobStatus"] == 1
        start.cancel()

    asyncio.run(scenario())


def test_a_start_waits_for_both_port_and_running(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        spawner.accept_port(40001)
        await asyncio.sleep(0.15)
        assert not start.done()
        condor.run(spawner.job_id)
        assert (await start).endswith(":40001")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"JobStatus": 5, "HoldReason": "no thanks", "HoldReasonCode": 1}, "held", "is: no thanks"),
        ({"JobStatus": 5}, "failed", "no reason was given"),
        ({"JobStatus": 3, "RemoveReason": "by an admin"}, "removed", "is: by an admin"),
        ({"JobStatus": 4, "ExitCode": 3}, "ended", "with exit code 3"),
        (None, "vanished", "no longer in the queue"),
    ],
)
def test_a_start_fails_at_once_with_the_reason(
    hub: Hub, condor: FakeCondor, change: dict[str, Any] | None, key: str, words: str
) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        if change is None:
            condor.ads.clear()
        else:
            condor.ads[spawner.job_id].update(change)
        with pytest.raises(StartFailed) as caught:
            await asyncio.wait_for(start, 5)
        assert words in caught.value.jupyterhub_message
        assert spawner.outcome == caught.value.outcome
        assert (caught.value.outcome.key, caught.value.outcome.job_id) == (key, "1.0")
        await spawner.stop()
        assert condor.ads == {}

    asyncio.run(scenario())


def test_a_job_that_runs_before_the_schedd_says_where_is_waited_for(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        spawner.accept_port(40001)
        condor.ads[spawner.job_id]["JobStatus"] = 2
        await asyncio.sleep(0.15)
        assert not start.done()
        condor.run(spawner.job_id)
        assert (await asyncio.wait_for(start, 10)).endswith(":40001")

    asyncio.run(scenario())


def test_a_job_that_never_says_where_it_runs_is_given_up(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        spawner.start_timeout = 1
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        spawner.accept_port(40001)
        condor.ads[spawner.job_id].update({"JobStatus": 2, "RemoteHost": "slot1@not a host"})
        with pytest.raises(StartRefused, match="without a proper name"):
            await asyncio.wait_for(start, 10)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("runs", "key", "words"),
    [
        (False, "no_slot", "all slots of class Regular were taken"),
        (True, "slow", "worker1.example.org did not report"),
    ],
)
def test_a_start_that_takes_too_long_says_what_it_waited_for(
    hub: Hub, condor: FakeCondor, runs: bool, key: str, words: str
) -> None:
    condor.slot_ads = [{"SlotType": "Static", "State": "Claimed", "AfhubClasses": "regular"}]

    async def scenario() -> None:
        spawner = hub.spawner()
        spawner.start_timeout = 1
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        if runs:
            condor.run(spawner.job_id)
        with pytest.raises(StartFailed) as caught:
            await asyncio.wait_for(start, 10)
        assert caught.value.outcome.key == key
        assert words in caught.value.jupyterhub_message

    asyncio.run(scenario())


def test_the_schedds_refusal_is_told(hub: Hub, condor: FakeCondor) -> None:
    condor.refuses = "not more than 3 notebooks"
    with pytest.raises(StartRefused, match="not more than 3 notebooks") as caught:
        asyncio.run(hub.spawner().start())
    assert caught.value.status_code == 403


def test_no_start_while_the_schedd_is_silent(hub: Hub, condor: FakeCondor) -> None:
    condor.silent = True
    with pytest.raises(StartRefused) as caught:
        asyncio.run(hub.spawner().start())
    assert caught.value.status_code == 503
    assert condor.submitted == []


def test_a_schedd_that_falls_silent_only_delays_a_start(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner.job_id)
        condor.silent = True
        await until(lambda: spawner._phase[0] == "unanswered")
        condor.silent = False
        condor.run(spawner.job_id)
        spawner.accept_port(40001)
        await asyncio.wait_for(start, 10)

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["root", "daemon", "nobody", "stranger", "a b"])
def test_accounts_that_may_not_are_refused_before_anything_is_submitted(
    hub: Hub, condor: FakeCondor, name: str
) -> None:
    spawner = hub.spawner(name)
    with pytest.raises(StartRefused) as caught:
        asyncio.run(spawner._run_apply_user_options({}))
    assert caught.value.status_code == 403
    with pytest.raises(StartRefused):
        asyncio.run(spawner.start())
    assert condor.submitted == []


@pytest.mark.parametrize(
    "options", [{"memory": "1"}, {"notebook_class": "huge"}, {"notebook_class": ["regular"]}]
)
def test_other_options_are_refused_twice(hub: Hub, condor: FakeCondor, options: dict[str, Any]) -> None:
    spawner = hub.spawner()
    with pytest.raises(StartRefused) as caught:
        asyncio.run(spawner._run_apply_user_options(options))
    assert caught.value.status_code == 400
    spawner.user_options = options
    with pytest.raises(StartRefused):
        asyncio.run(spawner.start())
    assert condor.submitted == []


def test_a_running_notebook_survives_a_silent_schedd(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        await started(spawner, condor)
        condor.silent = True
        assert await spawner.poll() is None
        condor.silent = False
        await asyncio.sleep(0.03)
        assert await spawner.poll() is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "change",
    [
        {"JobStatus": 5, "HoldReason": "memory"},
        {"JobStatus": 1},
        {"JobStatus": 2, "RemoteHost": "slot1@other.example.org"},
    ],
)
def test_a_job_out_of_reach_is_gone_and_removed(hub: Hub, condor: FakeCondor, change: dict[str, Any]) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        await started(spawner, condor)
        condor.ads["1.0"].update(change)
        assert await spawner.poll() == 1
        await until(lambda: not condor.ads)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [2, 6, 7])
def test_a_job_with_a_slot_runs(hub: Hub, condor: FakeCondor, status: int) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        await started(spawner, condor)
        condor.ads["1.0"]["JobStatus"] = status
        assert await spawner.poll() is None

    asyncio.run(scenario())


def test_a_job_id_used_again_for_another_is_not_ours(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        await started(spawner, condor)
        condor.add("1.0", owner="bob", status=2)
        assert await spawner.poll() == 1
        assert "1.0" in condor.ads

    asyncio.run(scenario())


def test_stop_removes_the_job(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        await started(spawner, condor)
        await spawner.stop()
        assert condor.ads == {}
        assert await spawner.poll() == 1

    asyncio.run(scenario())


def test_stop_is_made_up_for_when_the_schedd_answers_again(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        await started(spawner, condor)
        condor.silent = True
        await spawner.stop()
        spawner.clear_state()
        condor.silent = False
        await until(lambda: not condor.ads)

    asyncio.run(scenario())


def test_a_cancelled_start_leaves_no_job(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: "jobs" in condor.calls)
        condor.delay_s = 0.05
        await until(lambda: "submit" in condor.calls)
        start.cancel()
        await asyncio.wait([start])
        assert await spawner.poll() is None
        await spawner.stop()
        assert len(condor.submitted) == 1
        assert condor.ads == {}

    asyncio.run(scenario())


def test_a_submission_of_unknown_outcome_leaves_no_job(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        condor.silent_calls = {"submit"}
        with pytest.raises(StartRefused):
            await spawner.start()
        condor.silent = True
        # The schedd had taken it all the same.
        condor.add("9.0")
        await spawner.stop()
        condor.silent = False
        await until(lambda: not condor.ads)

    asyncio.run(scenario())


def test_what_an_earlier_start_left_is_removed(hub: Hub, condor: FakeCondor) -> None:
    condor.add("77.0", status=2)
    condor.add("78.0", server="two", status=2)

    async def scenario() -> None:
        await started(hub.spawner(), condor)
        await until(lambda: "77.0" not in condor.ads)
        assert "78.0" in condor.ads

    asyncio.run(scenario())


def test_a_running_notebook_is_found_after_a_restart(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        await started(hub.spawner(), condor)
        again = hub.spawner()
        assert await again.poll() is None
        assert again._url() == "http://worker1.example.org:40123"
        assert again.knows_token("secret-token")
        assert not again.awaits_port

    asyncio.run(scenario())


def test_a_pending_start_is_finished_after_a_restart(hub: Hub, condor: FakeCondor) -> None:
    condor.slot_ads = [{"SlotType": "Static", "State": "Claimed", "AfhubClasses": "regular"}]

    async def scenario() -> None:
        before = hub.spawner()
        start = asyncio.ensure_future(before.start())
        await until(lambda: "job_id" in (saved(before) or {}))
        start.cancel()
        again = hub.spawner()
        assert again.awaits_port
        poll = asyncio.ensure_future(again.poll())
        await until(lambda: "In the queue" in again._phase[1])
        assert not poll.done()
        condor.run("1.0")
        again.accept_port(40999)
        assert await asyncio.wait_for(poll, 5) is None
        assert again._url() == "http://worker1.example.org:40999"
        assert saved(again)["machine"] == "worker1.example.org"
        assert await again.poll() is None

    asyncio.run(scenario())


def test_a_hub_killed_while_it_submitted_finds_the_job_by_its_owner(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        before = hub.spawner()
        before._submitting = True
        before._token_hash = "x"
        before._save_state()
        condor.add("5.0")
        condor.add("6.0", owner="bob")
        again = hub.spawner()
        poll = asyncio.ensure_future(again.poll())
        await until(lambda: again.job_id)
        assert again.job_id == "5.0"
        assert saved(again)["job_id"] == "5.0"
        condor.run("5.0")
        again.accept_port(40999)
        assert await asyncio.wait_for(poll, 5) is None

    asyncio.run(scenario())


def test_a_request_that_never_reached_the_schedd_is_told_after_a_restart(
    hub: Hub, condor: FakeCondor
) -> None:
    async def scenario() -> None:
        before = hub.spawner()
        before._submitting = True
        before._token_hash = "x"
        before._save_state()
        again = hub.spawner()
        assert await asyncio.wait_for(again.poll(), 5) == 1
        assert again.outcome is not None
        assert again.outcome.key == "interrupted"

    asyncio.run(scenario())


def test_a_start_that_waited_for_the_schedd_when_the_hub_was_killed_is_told_after_a_restart(
    hub: Hub, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afhub.spawner.BACK_S", 60.0)
    condor.silent = True

    async def scenario() -> None:
        start = asyncio.ensure_future(hub.spawner().start())
        await until(lambda: "jobs" in condor.calls)
        again = hub.spawner()
        assert not again.adopts_start, "nothing was submitted"
        assert await again.poll() == 1
        assert again.outcome is not None
        assert again.outcome.key == "interrupted"
        start.cancel()

    asyncio.run(scenario())


@pytest.mark.usefixtures("quick")
def test_a_start_waits_a_moment_for_a_schedd_that_comes_back(
    hub: Hub, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afhub.spawner.BACK_S", 5.0)
    condor.silent = True

    async def scenario() -> None:
        spawner = hub.spawner()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: spawner._phase[0] == "unanswered")
        assert not start.done()
        condor.silent = False
        await until(lambda: spawner.job_id)
        condor.run(spawner.job_id)
        spawner.accept_port(40001)
        assert await asyncio.wait_for(start, 5) == "http://worker1.example.org:40001"

    asyncio.run(scenario())


def test_the_environment_holds_what_is_needed_and_no_secret_of_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "hub-secret")
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "hub-secret")
    monkeypatch.setenv("PATH", "/hub/bin")
    spawner = hub.spawner(notebook_class="large")
    env = spawner.get_env()
    assert env["JUPYTERHUB_API_URL"] == "https://hub.example.org/hub/api"
    assert env["JUPYTERHUB_API_TOKEN"] == "secret-token"
    assert env["JUPYTERHUB_COOKIE_OPTIONS"] == '{"secure": true, "samesite": "Lax"}'
    assert env["MEM_LIMIT"] == str(20480 * 1024 * 1024)
    assert env["CPU_LIMIT"] == "2"
    assert env["AFHUB_CLASS"] == "large"
    assert env["AFHUB_CLASS_TITLE"] == "Large"
    assert json.loads(env["AFHUB_HUB"]) == {"home": "/hub/home", "spawn": "/hub/spawn/alice"}
    assert env["AFHUB_PORT_RANGE"] == "40000-40999"
    assert env["AFHUB_RUNTIME_S"] == "21600"
    assert env["JUPYTER_PATH"] == "/cvmfs/af.example.org/share/jupyter:/site/jupyter"
    assert env["SITE_NOTE"] == 'it\'s a "site" value'
    assert env["HOME"] == "/home/alice"
    assert "PATH" not in env
    assert "hub-secret" not in env.values()
    assert {name for name in env if not name.startswith("JUPYTERHUB_")} <= {
        "JPY_API_TOKEN",
        "SITE_NOTE",
        "JUPYTER_PATH",
        "USER",
        "LOGNAME",
        "HOME",
        "SHELL",
        "MEM_LIMIT",
        "CPU_LIMIT",
        "AFHUB_CLASS",
        "AFHUB_CLASS_TITLE",
        "AFHUB_HUB",
        "AFHUB_PORT_RANGE",
        "AFHUB_RUNTIME_S",
    }


def test_progress_tells_what_goes_on(hub: Hub, condor: FakeCondor) -> None:
    condor.slot_ads = [{"SlotType": "Static", "State": "Claimed", "AfhubClasses": "regular"}]
    condor.add("50.0", owner="bob", QDate=10)

    async def scenario() -> list[str]:
        spawner = hub.spawner()
        told: list[str] = []

        async def listen() -> None:
            nonlocal told
            async for event in spawner.progress():
                told += [event["message"]]

        listener = asyncio.ensure_future(listen())
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: any("place" in text for text in told))
        condor.ads["1.0"].update(JobStatus=2, RemoteHost=SLOT)
        await until(lambda: any("Starting" in text for text in told))
        spawner.accept_port(40001)
        await start
        await asyncio.wait_for(listener, 10)
        return told

    told = asyncio.run(scenario())
    assert told[0] == "Asking for a Regular notebook: 12 GB of memory, 1 core, up to 12 hours."
    assert any(
        re.fullmatch(r"In the queue of class Regular for .+: place 2 of 2, 1 of 1 slots taken\.", text)
        for text in told
    ), told
    assert told[-2:] == [
        "Starting on worker1.example.org.",
        "The server on worker1.example.org is up. Opening it.",
    ]
