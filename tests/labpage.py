"""A window of Chromium with JupyterLab or Notebook in it, as the tests of the Lab side use it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, expect

from minipool import ROOT, Minipool

SIZE = {"width": 1280, "height": 900}
LOADS_MS = 60_000
"""How long Lab may take to load where the machine is busy."""
# As long as an action may take, see LabPage.
expect.set_options(timeout=15_000)


def keep_picture(page: Page, name: str, *, for_docs: bool = False) -> None:
    """Into test-results, and with UPDATE_PICTURES=1 also where the docs show it."""
    # Finished, not in the middle of a movement.
    picture = page.screenshot(animations="disabled")
    folders = [ROOT / "test-results"]
    if for_docs and os.environ.get("UPDATE_PICTURES") == "1":
        folders.append(ROOT / "docs/images")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(picture)


@dataclass
class LabPage:
    """One tab. What goes wrong in its scripts is in `errors`, or only what goes wrong in those of an address."""

    page: Page
    scripts: str = ""
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(15_000)
        self.page.on("pageerror", self._failed)

    def _failed(self, error: Error) -> None:
        if self.scripts in (error.stack or ""):
            self.errors.append(str(error))

    @property
    def status(self) -> Locator:
        """The item in the status bar or at the top."""
        return self.page.locator("#afhub-status button")

    @property
    def level(self) -> Locator:
        """The element that has the level of the item."""
        return self.page.locator("#afhub-status")

    @property
    def panel(self) -> Locator:
        """The panel in the side bar."""
        return self.page.locator("#afhub-panel")

    def popup(self, text: str | re.Pattern[str]) -> Locator:
        """The pop-ups that say this."""
        return self.page.locator(".Toastify__toast", has_text=text)

    def dialog(self) -> Locator:
        """The dialog that is open."""
        return self.page.locator(".jp-Dialog-content")

    def open(self, url: str) -> LabPage:
        """Goes to an address of Lab and waits until the file browser is there."""
        self.page.goto(url, timeout=LOADS_MS)
        self.page.wait_for_selector(".jp-DirListing-content", state="attached", timeout=LOADS_MS)
        # It takes the focus when it comes.
        expect(self.page.locator(".jp-Launcher-body")).to_be_visible(timeout=LOADS_MS)
        return self

    def wait_for_status(self) -> Locator:
        """The status item once it has words."""
        expect(self.status).to_contain_text("·", timeout=LOADS_MS)
        return self.status

    def open_panel(self) -> Locator:
        """Opens the panel with the status item."""
        self.wait_for_status().click()
        expect(self.panel.get_by_role("heading", name="Memory")).to_be_visible()
        return self.panel

    def open_file(self, name: str) -> Locator:
        """Opens a file of the folder on the left, and returns its editor or its first cell."""
        self.page.locator("li.jp-DirListing-item", has_text=name).dblclick()
        tab = self.page.get_by_role("tab", name=name)
        expect(tab).to_have_count(1)
        shown = self.page.locator(".jp-Document:not(.lm-mod-hidden)")
        editor = shown.locator(".cm-content").first
        expect(editor).to_be_visible(timeout=LOADS_MS)
        return editor

    def type_into(self, name: str, text: str) -> None:
        """Opens a file and types into it; nothing is saved."""
        editor = self.open_file(name)
        editor.click()
        self.page.keyboard.type(text)
        expect(editor).to_contain_text(text)


@contextmanager
def lab_page(browser: Browser, scripts: str = "", **options: Any) -> Iterator[LabPage]:
    """A tab in a window of its own; at the end no script may have failed."""
    settings: dict[str, Any] = {"viewport": SIZE, "locale": "en-GB", **options}
    context: BrowserContext = browser.new_context(**settings)
    tab = LabPage(context.new_page(), scripts)
    try:
        yield tab
    finally:
        (ROOT / "test-results").mkdir(exist_ok=True)
        tab.page.screenshot(path=ROOT / "test-results/last-window.png")
        context.close()
    assert not tab.errors, f"errors in the page: {tab.errors}"


def notebook(*cells: str) -> dict[str, Any]:
    """A notebook with these cells, as the contents manager takes it."""
    return {
        "type": "notebook",
        "format": "json",
        "content": {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    "metadata": {},
                    "outputs": [],
                    "execution_count": None,
                    "source": source,
                }
                for number, source in enumerate(cells)
            ],
        },
    }


def source_of(content: str) -> str:
    """All that the cells of a notebook file hold."""
    return "\n".join("".join(cell["source"]) for cell in json.loads(content)["cells"])


def _log_in(page: Page, user: str) -> None:
    page.goto("/hub/login?next=%2Fhub%2Fhome")
    if not page.url.endswith("/hub/home"):
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(user)
        page.keyboard.press("Enter")
        page.wait_for_url("**/hub/home")


@contextmanager
def hub_window(browser: Browser, pool: Minipool, user: str) -> Iterator[BrowserContext]:
    """A window of the browser in which a user is logged in to the hub of a mini-pool."""
    context = browser.new_context(ignore_https_errors=True, viewport=SIZE, base_url=pool.url, locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    for attempt in range(3):
        try:
            _log_in(page, user)
            break
        except Error as error:
            # Chromium gives up a page when a network of this machine comes or goes, of a container of anybody's.
            if attempt == 2 or "ERR_NETWORK_CHANGED" not in str(error):
                raise
    page.close()
    try:
        yield context
    finally:
        (ROOT / "test-results").mkdir(exist_ok=True)
        for number, left in enumerate(context.pages):
            left.screenshot(path=ROOT / f"test-results/last-window-{number}.png")
        context.close()
