"""The browser of the tests and the benchmarks: Chromium of the operating system, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from playwright.sync_api import Browser, sync_playwright
from quietnet import launcher

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium(port: int | None = None) -> Iterator[Browser]:
    """A browser without a window. Raises RuntimeError where the machine has none.

    With a port it reaches nothing but that port of this machine, and sees nothing of what else its network does.
    """
    program = shutil.which("chromium")
    if not program:
        raise RuntimeError("the program 'chromium' is needed: apt-get install chromium")
    with launcher(program, port) if port else nullcontext(program) as path, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()
