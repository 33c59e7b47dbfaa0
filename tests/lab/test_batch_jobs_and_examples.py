"""The panel of batch jobs and the cards of example notebooks, in a plain JupyterLab. HTCondor's tools are stand-ins."""

from __future__ import annotations

import getpass
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from labpage import LOADS_MS, LabPage, keep_picture, lab_page, notebook
from playwright.sync_api import Browser, Locator, expect

from fake_condor import JOB, FakeCondor
from minipool import wait_for
from plainlab import Server, Start

HOSTILE = '<img src=x onerror="document.title=1">'


def job(number: int, proc: int = 0, **changes: Any) -> dict[str, Any]:
    return {**JOB, "Owner": getpass.getuser(), "ClusterId": number, "ProcId": proc, **changes}


@pytest.fixture(scope="module")
def condor(tmp_path_factory: pytest.TempPathFactory) -> FakeCondor:
    return FakeCondor(tmp_path_factory.mktemp("condor") / "bin")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Jupyter's data path with two examples."""
    data = tmp_path_factory.mktemp("data")
    folder = data / "afhub-examples"
    folder.mkdir()
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "A peak at 91 GeV."}
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    rows = [
        {"file": "zmumu.ipynb", "title": "Z → μμ in the notebook", "text": "Where to begin."},
        {"file": "hostile.ipynb", "title": HOSTILE, "text": HOSTILE},
    ]
    for row in rows:
        (folder / row["file"]).write_text(json.dumps(content), encoding="utf-8")
    (folder / "examples.json").write_text(json.dumps({"examples": rows}), encoding="utf-8")
    return data


@pytest.fixture(scope="module")
def server(start: Start, condor: FakeCondor, examples: Path) -> Server:
    return start(JUPYTER_PATH=str(examples), **condor.environ(os.environ["PATH"]))


@pytest.fixture
def queue(server: Server, condor: FakeCondor) -> FakeCondor:
    """Three jobs of a batch, one in each state, and two of Dask's."""
    (server.home / "7.out").write_text("the fit converged\n", encoding="utf-8")
    condor.has(
        [
            job(7, JobBatchName="fits", JobStatus=1, RemoteHost=None, LastRejMatchReason="no match found"),
            job(7, 1, JobBatchName="fits", Iwd=str(server.home), Out="7.out", UserLog="/var/log/7.log"),
            job(
                7,
                2,
                JobBatchName="fits",
                JobStatus=5,
                HoldReason=f"Over its memory {HOSTILE}",
                RemoteHost=None,
            ),
            job(8, JobBatchName="dask-worker", AfhubWorker="dask", QDate=1_767_268_700),
            job(9, JobBatchName="dask-worker", AfhubWorker="dask", QDate=1_767_268_700),
        ]
    )
    return condor


def open_batch_panel(tab: LabPage) -> Locator:
    tab.page.get_by_role("tab", name="Batch jobs").click()
    panel = tab.page.locator("#afhub-batch")
    expect(panel).to_be_visible()
    return panel


@pytest.fixture
def panel(server: Server, queue: FakeCondor, tab: LabPage) -> Locator:
    tab.open(server.address())
    return open_batch_panel(tab)


def batch_of(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("region", name=name)


def answer(tab: LabPage, title: str, button: str) -> None:
    """Answers the question of a dialog."""
    expect(tab.dialog()).to_contain_text(title)
    tab.dialog().get_by_role("button", name=button).click()
    expect(tab.dialog()).to_have_count(0)


def test_jobs_are_shown_by_batch_with_state_reason_and_place(panel: Locator, tab: LabPage) -> None:
    fits = batch_of(panel, "Jobs: fits")
    expect(fits).to_contain_text("1 held · 1 running · 1 waiting")
    rows = fits.get_by_role("listitem")
    expect(rows).to_have_count(3)
    for number, words in enumerate(
        (
            ("7.2", "held for", "Over its memory <img"),
            ("7.1", "running for 5 min on worker1"),
            ("7.0", "waiting", "no match"),
        )
    ):
        for word in words:
            expect(rows.nth(number)).to_contain_text(word)
    signs = [rows.nth(number).locator("svg").get_attribute("data-sign") for number in range(3)]
    assert signs == ["warning", "ok", "away"], "states are told apart by colour alone"
    expect(batch_of(panel, "Dask: dask-worker")).to_contain_text("2 running")
    assert panel.locator("img").count() == 0 and tab.page.title() != "1"


def test_a_jobs_file_opens_as_text(panel: Locator, tab: LabPage) -> None:
    panel.get_by_role("button", name="Open Output of job 7.1").click()
    expect(tab.page.locator(".jp-FileEditor .cm-content")).to_contain_text(
        "the fit converged", timeout=LOADS_MS
    )


def test_a_job_is_removed_by_keyboard_after_a_question(
    panel: Locator, queue: FakeCondor, tab: LabPage
) -> None:
    before = len(queue.calls("condor_rm"))
    remove = panel.get_by_role("button", name="Remove job 7.1")
    remove.press("Enter")
    answer(tab, "Remove job 7.1?", "Cancel")
    assert len(queue.calls("condor_rm")) == before
    remove.press("Enter")
    expect(tab.dialog()).to_contain_text("It is part of Jobs: fits.")
    queue.has_after("condor_rm", [job(7, 1, JobBatchName="fits", JobStatus=3)])
    tab.dialog().get_by_role("button", name="Remove").click()
    expect(panel).to_contain_text("1 job is being removed")
    expect(panel.get_by_role("status").first).to_have_text("1 job is being removed")
    expect(batch_of(panel, "Jobs: fits")).to_contain_text("being removed")
    (call,) = queue.calls("condor_rm")[before:]
    assert call[0] == "-constraint" and "ClusterId == 7 && ProcId == 1" in call[1]


def test_a_batch_is_removed_and_a_held_job_released(panel: Locator, queue: FakeCondor, tab: LabPage) -> None:
    panel.get_by_role("button", name="Release job 7.2").click()
    expect(panel).to_contain_text("1 job was released")
    assert "ProcId == 2) && JobStatus == 5" in queue.calls("condor_release")[-1][1]
    panel.get_by_role("button", name="Remove all 2 jobs of Dask: dask-worker").click()
    answer(tab, "Remove all 2 jobs of Dask: dask-worker?", "Remove")
    expect(panel).to_contain_text("2 jobs are being removed")
    assert "ClusterId == 8 || ClusterId == 9" in queue.calls("condor_rm")[-1][1]


def test_a_schedd_that_is_down_is_a_sentence_in_the_panel_and_no_popup(
    panel: Locator, queue: FakeCondor, tab: LabPage
) -> None:
    expect(batch_of(panel, "Jobs: fits")).to_be_visible()
    queue.does('echo "Failed to fetch ads from batch.test" >&2; exit 1')

    def says_so() -> bool:
        panel.get_by_role("button", name="Ask for the batch jobs again").click()
        return "The batch pool does not answer: Failed to fetch ads from batch.test" in panel.inner_text()

    wait_for("the panel says that the pool does not answer", says_so, timeout_s=20)
    expect(panel).to_contain_text("These jobs were there at")
    expect(batch_of(panel, "Jobs: fits")).to_be_visible()
    panel.get_by_role("button", name="Release job 7.2").click()
    expect(panel).to_contain_text("The batch pool did not release it")
    assert tab.popup(re.compile("")).count() == 0 and tab.dialog().count() == 0
    queue.has([])
    wait_for(
        "the panel gets over it",
        lambda: "You have no jobs in the batch pool." in panel.inner_text(),
        timeout_s=25,
    )


def test_a_panel_asks_every_ten_seconds_while_it_is_seen_and_never_else(
    server: Server, queue: FakeCondor, tab: LabPage
) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))

    def questions() -> int:
        return sum(url.partition("?")[0].endswith("afhub/v1/batch") for url in asked)

    tab.page.clock.install()
    tab.open(server.address())
    expect(tab.page.get_by_role("tab", name="Batch jobs")).to_be_visible(timeout=LOADS_MS)
    tab.page.clock.run_for(30_000)
    assert questions() == 0, "nobody has opened it yet"
    panel = open_batch_panel(tab)
    # The server may still give the answer that another test's tab got; the page itself asks again in ten seconds.
    expect(batch_of(panel, "Jobs: fits")).to_be_visible(timeout=LOADS_MS)
    for _ in range(3):
        before = questions()
        with tab.page.expect_response("**/afhub/v1/batch*"):
            tab.page.clock.run_for(10_500)
        assert questions() == before + 1
    tab.page.get_by_role("tab", name="Batch jobs").click()
    expect(panel).to_be_hidden()
    before = questions()
    tab.page.clock.run_for(60_000)
    assert questions() == before


# Contrast of an element's text with what is behind it, as WCAG counts it.
CONTRAST = """element => {
  const rgb = text => text.match(/[0-9.]+/g).map(Number);
  const light = colour => {
    const linear = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb(colour).map(value => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  while ((rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
  const colours = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
  const [high, low] = colours.map(light).sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_both_themes_have_words_that_can_be_read(
    server: Server, queue: FakeCondor, tab: LabPage, theme: str
) -> None:
    themes = "lab/api/settings/@jupyterlab/apputils-extension:themes"
    try:
        server.api("PUT", themes, json={"raw": json.dumps({"theme": theme})}).raise_for_status()
        tab.open(server.address())
        light = str(theme.endswith("Light")).lower()
        expect(tab.page.locator("body")).to_have_attribute("data-jp-theme-light", light, timeout=LOADS_MS)
        panel = open_batch_panel(tab)
        expect(batch_of(panel, "Jobs: fits")).to_be_visible()
        keep_picture(tab.page, f"batch-panel-{theme.split()[1].lower()}")
        for kind in (
            ".afhub-reason",
            ".afhub-link",
            ".afhub-restart",
            "h3",
            "li span",
            ".afhub-batch-counts",
            "code",
        ):
            contrast = panel.locator(kind).last.evaluate(CONTRAST)
            assert contrast >= 4.5, f"{kind}: {contrast:.1f}"
    finally:
        server.api("PUT", themes, json={"raw": "{}"}).raise_for_status()


def test_notebook_7_has_the_panel_too(server: Server, queue: FakeCondor, browser: Browser) -> None:
    server.api("PUT", "api/contents/seven.ipynb", json=notebook("1 + 1")).raise_for_status()
    # Notebook 7.6 has errors of its own, also without us.
    with lab_page(browser, scripts="labextensions/jupyter-afhub") as tab:
        tab.page.goto(server.address("notebooks/seven.ipynb"), timeout=LOADS_MS)
        expect(tab.page.locator(".jp-Notebook .cm-content").first).to_be_visible(timeout=LOADS_MS)
        expect(tab.page.locator("#afhub-batch")).to_be_attached(timeout=LOADS_MS)


def test_without_a_batch_pool_there_is_no_panel(start: Start, tab: LabPage) -> None:
    tab.open(start().address())
    tab.page.wait_for_function("document.querySelectorAll('.jp-LauncherCard').length > 0")
    assert tab.page.get_by_role("tab", name="Batch jobs").count() == 0
    assert tab.page.locator(".jp-Launcher-sectionTitle", has_text="Examples").count() == 0


def test_an_example_is_a_card_that_opens_a_copy(server: Server, tab: LabPage) -> None:
    tab.open(server.address())
    section = tab.page.locator(".jp-Launcher-section", has_text="Examples")
    card = section.locator(".jp-LauncherCard", has_text="Z → μμ in the notebook")
    expect(card).to_have_attribute("title", "Where to begin.")
    expect(section.locator(".jp-LauncherCard", has_text=HOSTILE)).to_have_count(1)
    assert section.locator("img").count() == 0
    card.press("Enter")
    expect(tab.page.locator(".jp-NotebookPanel")).to_contain_text("A peak at 91 GeV.", timeout=LOADS_MS)
    copy = server.home / "examples/zmumu.ipynb"
    assert copy.is_file() and copy.stat().st_mode & 0o200
