"""Before a notebook is stopped at a limit its user is told, in the Lab, once, and can do something about it.

Two classes with small limits are in the inventory for these tests: tiny with 1 GB, brief with four minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from chromium import chromium
from hubclient import HubUser
from labpage import LabPage, hub_window, keep_picture, notebook
from otherinventory import Deployed
from playwright.sync_api import Browser, BrowserContext, expect

from minipool import Minipool

# Allocates until it is stopped, slowly enough for each mark to be seen by a look every 5 s: 30 s from one to the next.
ALLOCATE = """\
import time
blocks = [b"x" * (550 << 20)]
while len(blocks) < 40:
    time.sleep(4)
    blocks.append(b"x" * (20 << 20))
"""


@pytest.fixture(scope="module")
def browser(pool: Minipool) -> Iterator[Browser]:
    with chromium(pool.port) as browser:
        yield browser


@pytest.fixture
def window(browser: Browser, pool: Minipool, changed_inventory: Deployed) -> Iterator[BrowserContext]:
    with hub_window(browser, pool, "alice") as window:
        yield window


def lab_of(window: BrowserContext) -> LabPage:
    tab = LabPage(window.new_page())
    tab.open("/user/alice/lab?reset")
    tab.wait_for_status()
    return tab


def run_the_cell(lab: LabPage, name: str) -> None:
    """Opens a notebook and runs its only cell."""
    editor = lab.open_file(name)
    expect(lab.page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)
    editor.click()
    lab.page.keyboard.press("Shift+Enter")


def test_memory_warns_at_80_and_95_per_cent_in_one_tab_and_past_the_limit_the_hub_says_why(
    alice: HubUser, window: BrowserContext
) -> None:
    alice.running("tiny")
    job = alice.job()
    alice.notebook("PUT", "api/contents/allocate.ipynb", json=notebook(ALLOCATE)).raise_for_status()
    other, lab = lab_of(window), lab_of(window)
    panel = lab.open_panel()
    expect(panel).to_contain_text(job["Id"])
    for words in ("Tiny", "1 GB", alice.worker(), str(job["RemoteHost"]).split("@")[0]):
        expect(panel).to_contain_text(words)
    keep_picture(lab.page, "lab-status", for_docs=True)
    run_the_cell(lab, "allocate.ipynb")
    eighty, ninety = re.compile(r"Memory is (8[0-9]|9[0-4]) % full"), re.compile(r"Memory is 9[5-9] % full")
    expect(lab.popup(eighty)).to_be_visible(timeout=120_000)
    assert other.popup(eighty).count() == 0
    expect(lab.popup(eighty)).to_contain_text("allocate.ipynb")
    expect(lab.popup(eighty).get_by_role("button", name="Restart kernel")).to_be_visible()
    expect(lab.level).to_have_attribute("data-level", "warning")
    keep_picture(lab.page, "lab-memory-80", for_docs=True)
    expect(lab.popup(ninety)).to_be_visible(timeout=60_000)
    assert other.popup(ninety).count() == 0
    expect(lab.popup(eighty)).to_have_count(0)
    expect(lab.level).to_have_attribute("data-level", "error")
    keep_picture(lab.page, "lab-memory-95", for_docs=True)

    expect(lab.popup("Your notebook was stopped")).to_be_visible(timeout=90_000)
    keep_picture(lab.page, "lab-stopped", for_docs=True)
    alice.wait_until_gone(timeout_s=60)
    outcome = alice.wait_for_outcome("memory", job=job)
    assert "1 GB" in outcome.text or "1024 MB" in outcome.text, outcome.text
    # Lab asks by itself whether to restart a server that does not answer, at a moment of its own.
    lab.page.add_locator_handler(
        lab.dialog().filter(has_text="Server unavailable"),
        lambda dialog: dialog.get_by_role("button", name="Dismiss").click(),
    )
    with window.expect_page() as opened:
        lab.popup("Your notebook was stopped").get_by_role("button", name="Open the hub’s page").click()
    expect(opened.value.locator(".afhub-outcome")).to_have_attribute("data-reason", "memory")
    alice.pool.check("hub", "rm -f allocate.ipynb", user="alice")


def test_time_warns_at_the_start_of_a_short_class_and_two_minutes_before_the_end(
    alice: HubUser, window: BrowserContext
) -> None:
    alice.running("brief")
    job = alice.job()
    lab = lab_of(window)
    expect(lab.popup(re.compile(r"[34] minutes left"))).to_be_visible(timeout=15_000)
    last = lab.popup(re.compile(r"(2 minutes|\d+ seconds) left"))
    expect(last).to_have_count(1, timeout=150_000)
    expect(lab.level).to_have_attribute("data-level", "error")
    expect(last.get_by_role("button", name="Save all")).to_be_visible()
    keep_picture(lab.page, "lab-time", for_docs=True)
    last.get_by_role("button", name="How to go on").click()
    expect(lab.dialog()).to_contain_text("it may run for 4 min again")
    lab.dialog().get_by_role("button", name="Close").click()
    expect(lab.popup("Your notebook was stopped: its time is over")).to_be_visible(timeout=150_000)
    alice.wait_until_gone(timeout_s=60)
    alice.wait_for_outcome("runtime", job=job)
