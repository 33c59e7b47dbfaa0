"""Whatever ends a notebook, what its user typed and did not save is there after the next start."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from chromium import chromium
from hubclient import HubUser
from labpage import LabPage, hub_window, notebook, source_of
from playwright.sync_api import Browser, BrowserContext, expect

from minipool import Minipool, wait_for

TEXT = "unsaved.txt"
CELLS = "unsaved.ipynb"
STARTD = '"$(head -n 1 /var/log/condor/.notebook_startd_address)"'


@pytest.fixture(scope="module")
def browser(pool: Minipool) -> Iterator[Browser]:
    with chromium(pool.port) as browser:
        yield browser


@pytest.fixture
def window(browser: Browser, pool: Minipool, alices_notebook: HubUser) -> Iterator[BrowserContext]:
    with hub_window(browser, pool, "alice") as window:
        yield window


@pytest.fixture
def lab(window: BrowserContext, pool: Minipool, alices_notebook: HubUser) -> Iterator[LabPage]:
    """Lab with something typed into a text file and into a notebook, and nothing of it saved."""
    alices_notebook.notebook(
        "PUT", f"api/contents/{TEXT}", json={"type": "file", "format": "text", "content": ""}
    ).raise_for_status()
    alices_notebook.notebook("PUT", f"api/contents/{CELLS}", json=notebook("")).raise_for_status()
    tab = LabPage(window.new_page())
    tab.open("/user/alice/lab?reset")
    tab.wait_for_status()
    tab.type_into(TEXT, "typed into a file")
    tab.type_into(CELLS, "typed = 'into a notebook'")
    assert "typed" not in on_disk(pool, TEXT) + on_disk(pool, CELLS)
    yield tab
    pool.check("hub", f"rm -f {TEXT} {CELLS}", user="alice")


def on_disk(pool: Minipool, name: str) -> str:
    return pool.check("hub", f"cat {name}", user="alice")


def held(pool: Minipool, alice: HubUser) -> None:
    pool.check("hub", f"condor_hold -reason 'the file server moves' {alice.job()['Id']}")


def removed(pool: Minipool, alice: HubUser) -> None:
    pool.check("hub", f"condor_rm -reason 'the file server moves' {alice.job()['Id']}")


def drained(pool: Minipool, alice: HubUser) -> None:
    pool.check(alice.worker(), f"condor_drain -quick -reason 'a new disk' {STARTD}")


def out_of_time(pool: Minipool, alice: HubUser) -> None:
    job = alice.job()["Id"]
    began = int(pool.check("hub", f"condor_q {job} -af ShadowBday"))
    now = int(pool.check("hub", "date +%s"))
    pool.check("hub", f"condor_qedit -forward {job} AllowedJobDuration {now - began + 4}")


@pytest.mark.parametrize(
    ("end", "reason"), [(held, "held"), (removed, "removed"), (drained, "evicted"), (out_of_time, "runtime")]
)
def test_unsaved_text_survives(
    pool: Minipool,
    alices_notebook: HubUser,
    lab: LabPage,
    end: Callable[[Minipool, HubUser], None],
    reason: str,
) -> None:
    alice = alices_notebook
    job, worker = alice.job(), alice.worker()
    try:
        end(pool, alice)
        popup = lab.popup("Your notebook was stopped")
        expect(popup).to_contain_text("2 documents saved", timeout=40_000)
        expect(popup.get_by_role("button", name="Open the hub’s page")).to_be_visible()
        alice.wait_until_gone(timeout_s=60)
    finally:
        if end is drained:
            pool.check(worker, f"condor_drain -cancel {STARTD}")
    alice.wait_for_outcome(reason, job=job)
    assert on_disk(pool, TEXT) == "typed into a file"
    assert source_of(on_disk(pool, CELLS)) == "typed = 'into a notebook'"
    wait_for("its job has left the queue", lambda: not alice.job())

    alice.start({"notebook_class": "regular"})
    lab.open("/user/alice/lab?reset")
    expect(lab.open_file(TEXT)).to_contain_text("typed into a file")
    expect(lab.open_file(CELLS)).to_contain_text("typed = 'into a notebook'")
    # While its server was gone Lab asked on, and threw what the hub answered in its place.
    errors = [error for error in lab.errors if "503" not in error and "<!DOCTYPE html>" not in error]
    assert not errors, errors
