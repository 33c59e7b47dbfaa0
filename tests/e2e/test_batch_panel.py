"""The panel of batch jobs in a real notebook of alice: her jobs in the site's batch pool, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from batchqueue import HELD, IDLE, RUNNING, jobs, remove_all, submit
from chromium import chromium
from hubclient import HubUser
from labpage import LOADS_MS, LabPage, hub_window, keep_picture
from playwright.sync_api import Browser, BrowserContext, Locator, expect

from minipool import Minipool, wait_for

BATCH = "api/afhub/v1/batch"
OUTPUT = "batch-panel.out"


@pytest.fixture(scope="module")
def browser(pool: Minipool) -> Iterator[Browser]:
    with chromium(pool.port) as browser:
        yield browser


def has(pool: Minipool, user: str, *states: int) -> None:
    """Waits until the user has exactly jobs in these states."""
    wait_for(
        f"{user} has jobs in the states {sorted(states)}",
        lambda: sorted(job["JobStatus"] for job in jobs(pool, user)) == sorted(states),
        timeout_s=90,
        every_s=1,
    )


@pytest.fixture
def queue(pool: Minipool, alice: HubUser) -> Iterator[Minipool]:
    """A batch pool with three jobs of alice's, one in each state, and one of bob's that is held."""
    for user in ("alice", "bob"):
        remove_all(pool, user)
    submit(pool, "alice", 1, "sleep 900", batch_name="toys", hold="true")
    submit(pool, "alice", 1, "sleep 900", batch_name="toys", requirements="false")
    submit(
        pool, "alice", 1, "echo the fit converged; exec sleep 900", batch_name="fits", initialdir="/home/alice",
        output=OUTPUT, log="batch-panel.log",
    )  # fmt: skip
    submit(pool, "bob", 1, "sleep 900", batch_name="secret", hold="true")
    try:
        has(pool, "alice", IDLE, RUNNING, HELD)
        has(pool, "bob", HELD)
        yield pool
    finally:
        for user in ("alice", "bob"):
            remove_all(pool, user)
        pool.check("hub", f"rm -f {OUTPUT} batch-panel.log", user="alice")


@pytest.fixture
def window(browser: Browser, queue: Minipool, alices_notebook: HubUser) -> Iterator[BrowserContext]:
    with hub_window(browser, queue, "alice") as window:
        yield window


@pytest.fixture
def lab(window: BrowserContext) -> LabPage:
    lab = LabPage(window.new_page())
    lab.open("/user/alice/lab?reset")
    lab.wait_for_status()
    return lab


@pytest.fixture
def panel(lab: LabPage) -> Locator:
    lab.page.get_by_role("tab", name="Batch jobs").click(timeout=LOADS_MS)
    panel = lab.page.locator("#afhub-batch")
    expect(panel.get_by_role("region", name="Jobs: fits")).to_be_visible(timeout=LOADS_MS)
    return panel


def job_of(pool: Minipool, user: str, state: int) -> str:
    """The number of the user's job in this state."""
    (found,) = [job for job in jobs(pool, user) if job["JobStatus"] == state]
    return f"{found['ClusterId']}.{found['ProcId']}"


def row(panel: Locator, job: str) -> Locator:
    return panel.locator(f'[data-job="{job}"]')


def test_her_jobs_are_shown_in_their_states_with_reason_and_place(
    pool: Minipool, panel: Locator, lab: LabPage
) -> None:
    held, idle, running = (job_of(pool, "alice", state) for state in (HELD, IDLE, RUNNING))
    expect(panel).to_contain_text("1 held · 1 running · 1 waiting")
    expect(row(panel, held)).to_contain_text("held for")
    expect(row(panel, held)).to_contain_text("submitted on hold at user's request")
    expect(row(panel, idle)).to_contain_text("waiting for")
    (host,) = [str(job["RemoteHost"]) for job in jobs(pool, "alice") if job["JobStatus"] == RUNNING]
    expect(row(panel, running)).to_contain_text(f"on {host.rpartition('@')[2].partition('.')[0]}")
    toys = panel.get_by_role("region", name="Jobs: toys")
    expect(toys.locator("[data-job]")).to_have_count(2)
    expect(panel).not_to_contain_text("secret")
    expect(panel).not_to_contain_text(job_of(pool, "bob", HELD))
    keep_picture(lab.page, "batch-panel", for_docs=True)
    wait_for(
        "the job has written",
        lambda: "the fit converged" in pool.run("hub", f"cat {OUTPUT}", user="alice").stdout,
    )
    panel.get_by_role("button", name=f"Open Output of job {running}").click()
    expect(lab.page.locator(".jp-FileEditor .cm-content")).to_contain_text(
        "the fit converged", timeout=LOADS_MS
    )


def test_she_removes_a_job_a_batch_and_releases_what_is_held(
    pool: Minipool, panel: Locator, lab: LabPage
) -> None:
    held, running = job_of(pool, "alice", HELD), job_of(pool, "alice", RUNNING)
    row(panel, held).get_by_role("button", name=f"Release job {held}").click()
    expect(panel).to_contain_text("1 job was released", timeout=LOADS_MS)
    wait_for(
        "the job is no longer held",
        lambda: all(job["JobStatus"] != HELD for job in jobs(pool, "alice")),
        timeout_s=30,
    )
    row(panel, running).get_by_role("button", name=f"Remove job {running}").click()
    lab.dialog().get_by_role("button", name="Remove").click()
    expect(panel).to_contain_text("1 job is being removed", timeout=LOADS_MS)
    wait_for(
        "the job is gone",
        lambda: running not in [f"{job['ClusterId']}.{job['ProcId']}" for job in jobs(pool, "alice")],
        timeout_s=60,
        every_s=1,
    )
    panel.get_by_role("button", name="Remove all 2 jobs of Jobs: toys").click(timeout=LOADS_MS)
    lab.dialog().get_by_role("button", name="Remove").click()
    expect(panel).to_contain_text("2 jobs are being removed", timeout=LOADS_MS)
    has(pool, "alice")
    expect(panel).to_contain_text("You have no jobs in the batch pool.", timeout=LOADS_MS)
    assert len(jobs(pool, "bob")) == 1


def test_nobody_elses_job_is_listed_released_or_removed_by_a_forged_request(
    queue: Minipool, alices_notebook: HubUser, bob: HubUser
) -> None:
    theirs = job_of(queue, "bob", HELD)

    def answered() -> dict[str, Any]:
        answer = alices_notebook.notebook("GET", BATCH)
        answer.raise_for_status()
        return dict(answer.json())

    def ids(answer: dict[str, Any]) -> list[str]:
        return [job["id"] for group in answer["groups"] for job in group["jobs"]]

    # What a notebook answers may be some seconds old.
    wait_for("the notebook lists as many jobs as she has", lambda: len(ids(answered())) == 3, 30)
    answer = answered()
    assert theirs not in ids(answer), answer
    assert answer["problem"] is None
    for action in ("remove", "release"):
        for chosen in (
            {"job": theirs},
            {"job": f"{theirs} || true"},
            {"group": "true"},
            {"owner": "bob", "job": theirs},
        ):
            refused = alices_notebook.notebook("POST", f"{BATCH}/{action}", json=chosen)
            assert refused.status_code in (400, 404), (
                f"{action} {chosen}: {refused.status_code} {refused.text}"
            )
    has(queue, "bob", HELD)

    # bob at the door of her notebook, with what he is given by the hub.
    hers = job_of(queue, "alice", RUNNING)
    for refused in (
        bob.notebook("GET", BATCH, user="alice"),
        bob.notebook("POST", f"{BATCH}/remove", user="alice", json={"job": hers}),
    ):
        assert refused.status_code == 403, f"{refused.status_code} {refused.text[:300]}"
    has(queue, "alice", IDLE, RUNNING, HELD)


def test_the_schedd_itself_refuses_whoever_goes_around_the_panel(
    queue: Minipool, alices_notebook: HubUser
) -> None:
    theirs = job_of(queue, "bob", HELD)
    said = alices_notebook.execute(
        f"import subprocess; done = subprocess.run(['condor_rm', '{theirs}'], capture_output=True, text=True);"
        "print(done.returncode, done.stdout, done.stderr)"
    )
    assert not said.startswith("0 "), said
    has(queue, "bob", HELD)


def test_a_schedd_that_is_down_is_a_sentence_in_the_panel(
    pool: Minipool, panel: Locator, lab: LabPage
) -> None:
    schedd = pool.check("batch", "pgrep -x condor_schedd").split()
    assert schedd, "no schedd on the batch host"
    pool.check("batch", f"kill -STOP {' '.join(schedd)}")
    try:
        said = panel.locator(".afhub-problem")
        expect(said).to_contain_text("The batch pool does not answer", timeout=60_000)
        expect(panel.get_by_role("region", name="Jobs: fits")).to_be_visible()
        assert lab.page.locator(".Toastify__toast").count() == 0 and lab.dialog().count() == 0
        assert json.loads(lab.page.evaluate("fetch('/user/alice/api/status').then(answer => answer.text())"))
    finally:
        pool.check("batch", f"kill -CONT {' '.join(schedd)}")
    expect(panel.locator(".afhub-problem")).to_have_count(0, timeout=90_000)
