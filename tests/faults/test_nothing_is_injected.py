"""Whatever a request holds: the job is the one of its class, and its server the one that reported from it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from breakage import no_matches
from hubclient import HubUser

from minipool import Minipool, wait_for

SERVER = "injected"
MARK = "AfhubInjected"
# What a template of a submit description could be filled with at other hubs; each ends its line and adds some.
FIELDS = (
    "memory", "nprocs", "ngpus", "runtime", "options", "queue", "host", "partition", "account", "prologue", "epilogue",
    "username", "homedir", "keepvars", "keepvars_extra", "cmd", "environment", "notebook_class",
)  # fmt: skip
LINES = f"regular\n+{MARK} = true\nrequest_memory = 900000\nqueue 5\n"


def by_the_api(user: HubUser, field: str) -> requests.Response:
    return user.api("POST", f"/users/{user.name}/servers/{SERVER}", json={field: LINES})


def by_the_api_among_other_fields(user: HubUser, field: str) -> requests.Response:
    body = {"display_name": "x", "user_options": {"notebook_class": "regular", field: LINES}}
    return user.api("POST", f"/users/{user.name}/servers/{SERVER}", json=body)


def by_an_edit(user: HubUser, field: str) -> requests.Response:
    return user.api("PATCH", f"/users/{user.name}/server", json={"user_options": {field: LINES}})


def by_the_form(user: HubUser, field: str) -> requests.Response:
    user.page(f"/hub/spawn/{user.name}/{SERVER}")
    return user.send_form(f"/hub/spawn/{user.name}/{SERVER}", {"notebook_class": "regular", field: LINES})


def by_a_link(user: HubUser, field: str) -> requests.Response:
    return user.page(f"/hub/spawn/{user.name}/{SERVER}?{urlencode({'opt-' + field: LINES})}")


@pytest.mark.parametrize(
    "door", [by_the_api, by_the_api_among_other_fields, by_an_edit, by_the_form, by_a_link]
)
def test_lines_for_the_submit_description_are_refused(alice: HubUser, door: Any) -> None:
    alice.stop()
    statuses = {field: door(alice, field).status_code for field in FIELDS}
    assert set(statuses.values()) == {400}, statuses
    assert not alice.active()
    assert not [ad for ad in alice.pool.queue() if ad["Owner"] == "alice"]


def test_after_all_that_a_job_is_what_its_class_says(pool: Minipool, alice: HubUser) -> None:
    alice.start({"notebook_class": "regular"})
    (row,) = (row for row in pool.classes if row["name"] == "regular")
    (ad,) = json.loads(pool.check("hub", "condor_q -all -json -constraint 'Owner == \"alice\"'"))
    assert MARK not in json.dumps(ad)
    assert (ad["RequestMemory"], ad["RequestCpus"], ad["AllowedJobDuration"], ad["AfhubMemoryLimitMb"]) == (
        row["slot_memory_mb"], row["cores"], row["runtime_s"], row["memory_limit_mb"],
    )  # fmt: skip


def test_a_name_shown_to_people_stays_out_of_the_job(pool: Minipool, alice: HubUser) -> None:
    body = {"display_name": LINES, "user_options": {"notebook_class": "regular"}}
    asked = alice.api("POST", f"/users/alice/servers/{SERVER}", json=body)
    if asked.status_code != 400:
        alice.wait_until_ready(SERVER)
        (ad,) = json.loads(
            pool.check("hub", f"condor_q -all -json -constraint 'AfhubServer == \"{SERVER}\"'")
        )
        assert MARK not in ad and ad["RequestMemory"] < 900_000
    alice.stop(SERVER)


def test_notebooks_that_run_report_no_port_for_one_that_starts(
    pool: Minipool, alices_notebook: HubUser, bobs_notebook: HubUser
) -> None:
    alice, bob = alices_notebook, bobs_notebook
    tokens = [
        user.execute("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip() for user in (alice, bob)
    ]
    jobs = [user.job() for user in (alice, bob)]
    with no_matches(pool):
        alice.ask({"notebook_class": "regular"}, SERVER)
        wait_for("the job waits in the queue", lambda: alice.job(SERVER).get("JobStatus") == 1)
        for token in tokens:
            answer = requests.post(
                f"{pool.url}/hub/api/batchspawner", headers={"Authorization": f"token {token}"},
                verify=str(pool.ca_file), timeout=60, json={"port": 40000},
            )  # fmt: skip
            assert answer.status_code == 409, answer.text
        assert not alice.server(SERVER)["ready"]
    alice.wait_until_ready(SERVER)
    assert (
        alice.execute("import os; print(os.environ['JUPYTERHUB_SERVER_NAME'])", server=SERVER).strip()
        == SERVER
    )
    assert [user.job() for user in (alice, bob)] == jobs
    assert bob.notebook("GET", "api/status").status_code == 200
    alice.stop(SERVER)
