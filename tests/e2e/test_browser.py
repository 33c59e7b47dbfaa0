"""alice with a browser and a keyboard: log in, choose a class, wait, work in JupyterLab with the kernel from CVMFS.

The pictures that the tests take are in test-results/; with UPDATE_PICTURES=1 also where the docs show them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import websocket
from chromium import chromium
from hubclient import HubUser
from playwright.sync_api import Browser, Page, expect

from minipool import ROOT, Minipool, wait_for

EXAMPLE = "/cvmfs/af.example.org/examples/zmumu.ipynb"
SHOWN_IN_DOCS = ("spawn-page", "notebook", "waiting", "stopped")
SIZE = {"width": 1280, "height": 900}


def keep_picture(page: Page, name: str) -> None:
    picture = page.screenshot()
    folders = [ROOT / "test-results"]
    if name in SHOWN_IN_DOCS and os.environ.get("UPDATE_PICTURES") == "1":
        folders.append(ROOT / "docs/images")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(picture)


@pytest.fixture(scope="module")
def browser(pool: Minipool) -> Iterator[Browser]:
    with chromium(pool.port) as window:
        yield window


@pytest.fixture
def page(browser: Browser, pool: Minipool) -> Iterator[Page]:
    """A window of a browser that nobody has used. Nothing may go wrong in a page's scripts."""
    context = browser.new_context(ignore_https_errors=True, viewport=SIZE, base_url=pool.url, locale="en-GB")  # type: ignore[arg-type]
    window = context.new_page()
    errors: list[str] = []
    window.on("pageerror", lambda error: errors.append(str(error)))
    yield window
    (ROOT / "test-results").mkdir(exist_ok=True)
    window.screenshot(path=ROOT / "test-results/last-window.png")
    context.close()
    assert not errors, f"errors in the page: {errors}"


@pytest.fixture
def alice_without_notebook(alice: HubUser) -> HubUser:
    alice.stop()
    return alice


def log_in(page: Page, address: str = "/hub/") -> None:
    """By keyboard alone: the page puts the cursor into the first field."""
    page.goto(address)
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("alice")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/hub/(home|spawn)|/user/alice/"))


def focused(page: Page) -> dict[str, Any]:
    """What has the focus, and whether one sees it: an outline of the element or of the card around it."""
    return dict(
        page.evaluate(
            """() => {
                const element = document.activeElement;
                const shows = (style) => (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)
                    || (style.boxShadow !== 'none' && /0px 0px 0px [2-9]/.test(style.boxShadow));
                return {
                    tag: element.tagName, type: element.type ?? '', value: element.value ?? '',
                    text: element.textContent.trim(),
                    seen: [element, element.closest('label') ?? element].map((e) => getComputedStyle(e)).some(shows),
                };
            }"""
        )
    )


def tab_until(page: Page, wanted: dict[str, str], presses: int = 20) -> dict[str, Any]:
    """Presses the tab key until something has the focus; all on the way must show that it has it."""
    seen = []
    for _ in range(presses):
        page.keyboard.press("Tab")
        now = focused(page)
        seen.append(now)
        if all(now[key] == value for key, value in wanted.items()):
            return now
    raise AssertionError(f"the tab key does not reach {wanted}: {seen}")


def test_the_spawn_page_says_what_each_class_gives_and_works_with_a_keyboard(
    pool: Minipool, page: Page, alice_without_notebook: HubUser
) -> None:
    log_in(page)

    def knows_the_slots() -> bool:
        page.goto("/hub/spawn")
        return page.locator(".afhub-slots.unknown").count() == 0

    wait_for("the page knows the free slots", knows_the_slots)
    for row in pool.classes:
        card = page.locator("label", has=page.locator(f"input[value='{row['name']}']"))
        expect(card).to_have_count(1)
        words = card.inner_text()
        assert row["title"] in words and row["description"] in words
        assert f"{row['memory_limit_mb'] // 1024} GB" in words
        assert re.search(rf"\b{row['cores']} cores?\b", words), words
        assert f"{row['runtime_s'] // 3600} hours" in words
        assert re.search(r"\d+ of \d+ free|all busy", words), words
        radio = page.get_by_role("radio", name=row["title"], exact=True)
        expect(radio).to_have_count(1)
        assert row["default"] if radio.is_checked() else not row.get("default")
        described = radio.get_attribute("aria-describedby")
        assert described and "GB" in page.locator(f"#{described}").inner_text()
    keep_picture(page, "spawn-page")

    names = [row["name"] for row in pool.classes]
    assert tab_until(page, {"type": "radio"})["value"] == "regular"
    assert focused(page)["seen"], "one does not see which class has the focus"
    for name in [*names[1:], names[0]]:
        page.keyboard.press("ArrowDown")
        assert focused(page)["value"] == name
        expect(page.locator(f"input[value='{name}']")).to_be_checked()
        assert focused(page)["seen"], f"one does not see that {name} has the focus"
    start = tab_until(page, {"type": "submit"})
    assert start["text"] == "Start", start
    wait_for("one sees that the button has the focus", lambda: focused(page)["seen"], timeout_s=2)


def test_the_spawn_page_fits_a_small_window_and_a_dark_one(
    page: Page, alice_without_notebook: HubUser
) -> None:
    log_in(page)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/hub/spawn")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    keep_picture(page, "spawn-page-small")
    assert wide <= 0, f"the page is {wide} pixels wider than the window"
    page.set_viewport_size(SIZE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    keep_picture(page, "spawn-page-dark")
    colours = page.locator(".afhub-title").first.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e.closest('label')).backgroundColor]"
    )
    assert colours[0] != colours[1]


def test_from_the_login_page_to_the_peak(pool: Minipool, page: Page, alice_without_notebook: HubUser) -> None:
    alice = alice_without_notebook
    regular_mb = next(row["memory_limit_mb"] for row in pool.classes if row["name"] == "regular")
    log_in(page)
    page.goto("/hub/spawn")
    tab_until(page, {"type": "radio"})
    tab_until(page, {"type": "submit"})
    page.keyboard.press("Enter")

    # What the page that waits says is shown below; a quick start is over before one can read it.
    page.wait_for_url("**/user/alice/lab**", timeout=120_000)
    assert alice.server()["user_options"] == {"notebook_class": "regular"}

    # The example in her home folder, opened by its address as a link would.
    text = json.loads(pool.check("worker1", f"cat {EXAMPLE}"))
    saved = alice.notebook("PUT", "api/contents/zmumu.ipynb", json={"type": "notebook", "content": text})
    assert saved.status_code in (200, 201), saved.text
    page.goto("/user/alice/lab/tree/zmumu.ipynb?reset", timeout=60_000)
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(notebook.locator(".jp-Cell")).to_have_count(len(text["cells"]), timeout=60_000)
    expect(notebook.locator(".jp-NotebookPanel-toolbar")).to_contain_text("Analysis (CVMFS)", timeout=30_000)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("Analysis (CVMFS) | Idle", timeout=30_000)
    page.locator(".jp-MenuBar, .lm-MenuBar").get_by_text("Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    plot = notebook.locator(".jp-OutputArea-output img")
    expect(plot).to_be_visible(timeout=60_000)
    peak = notebook.locator(".jp-OutputArea-output", has_text=re.compile(r"Z mass [\d.]+ ± [\d.]+ GeV"))
    expect(peak).to_be_visible()
    found = re.search(r"Z mass ([\d.]+) ±", peak.inner_text())
    assert found and abs(float(found[1]) - 91.19) < 0.1, peak.inner_text()
    assert not notebook.locator(
        ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"
    ).count()
    assert plot.evaluate("image => image.naturalWidth") > 300

    # The class's limit in the corner, in one unit or the other.
    limit = f"{regular_mb:.2f} MB|{regular_mb / 1024:.2f} GB"
    corner = page.locator("#jp-main-statusbar")
    expect(corner).to_contain_text(re.compile(rf"Mem:\s+[\d.]+ / ({limit})"), timeout=30_000)
    peak.evaluate("element => element.scrollIntoView({block: 'end'})")
    keep_picture(page, "notebook")
    pool.check("hub", "rm zmumu.ipynb", user="alice")


@pytest.fixture
def no_matches(pool: Minipool) -> Iterator[None]:
    """The negotiator is held still, so that starts wait."""
    pool.check("nbcm", "pkill -STOP -x condor_negotiat")
    yield
    pool.check("nbcm", "pkill -CONT -x condor_negotiat")


def jobs_of_alice(pool: Minipool) -> list[dict[str, Any]]:
    return [job for job in pool.queue() if job["Owner"] == "alice" and job["JobStatus"] != 3]


def test_a_start_that_waits_says_what_goes_on_and_can_be_cancelled(
    pool: Minipool, page: Page, alice_without_notebook: HubUser, no_matches: None
) -> None:
    log_in(page)
    page.goto("/hub/spawn")
    page.get_by_role("button", name="Start").click()
    status = page.get_by_role("status").filter(has_text="In the queue of class Regular")
    expect(status).to_contain_text(re.compile(r"place 1 of 1, \d of 4 slots taken"), timeout=30_000)
    assert jobs_of_alice(pool)
    keep_picture(page, "waiting")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url("**/hub/home")
    wait_for("the job is gone", lambda: not jobs_of_alice(pool))
    wait_for("the hub has no notebook of alice", lambda: not alice_without_notebook.server())
    page.goto("/hub/home")
    # She knows that she cancelled it.
    expect(page.locator(".afhub-outcome")).to_have_count(0)


def fill_memory(user: HubUser) -> None:
    """Runs a cell that needs 2.2 GB. It never ends: its server is stopped before."""
    with contextlib.suppress(OSError, AssertionError, websocket.WebSocketException):
        user.execute("import threading; block = b'x' * 2_200_000_000; threading.Event().wait()")


def test_after_a_stop_the_page_says_why_and_a_bigger_class_is_one_click_away(
    pool: Minipool, page: Page, alices_notebook: HubUser
) -> None:
    job = jobs_of_alice(pool)[0]
    pool.check("hub", f"condor_qedit -forward {job['ClusterId']} AfhubMemoryLimitMb 1900")
    # Not into Lab, which would be open when its server is stopped.
    log_in(page, "/hub/login?next=%2Fhub%2Fhome")
    cell = threading.Thread(target=fill_memory, args=(alices_notebook,))
    cell.start()
    wait_for("the notebook was stopped", lambda: not alices_notebook.server(), 120)
    cell.join(60)
    page.goto("/user/alice/lab")
    outcome = page.locator(".afhub-outcome")
    expect(outcome).to_have_attribute("data-reason", "memory")
    expect(outcome).to_contain_text("class Regular allows 1.86 GB")
    keep_picture(page, "stopped")
    outcome.get_by_role("button", name="Start as Large (20 GB)").click()
    page.wait_for_url(f"{pool.url}/user/alice/lab**", timeout=120_000)
    assert jobs_of_alice(pool)[0]["AfhubClass"] == "large"
