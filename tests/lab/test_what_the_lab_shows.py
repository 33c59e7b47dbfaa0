"""Status item, panel and pop-ups in JupyterLab and Notebook, on a fake of the server extension."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from labpage import LOADS_MS, LabPage, keep_picture, lab_page, notebook
from playwright.sync_api import Browser, expect

from minipool import wait_for
from plainlab import Server

WARNING: dict[str, Any] = {
    "id": "m80",
    "kind": "memory",
    "level": "warning",
    "title": "Memory at 80 % of the limit",
    "text": "At 4 GB the notebook is stopped.",
    "at": "2026-01-01T00:00:00Z",
    "kernel": None,
    "threshold": 80,
}
NOTICE: dict[str, Any] = {
    "id": "n1",
    "level": "warning",
    "text": "Maintenance at 18:00.",
    "at": "2026-01-01T00:00:00Z",
    "until": None,
    "from": "the administrators",
}


FIGURES = (
    "1.2 of 4 GB",
    "4711.0",
    "slot1_2@worker1.af.test",
    "1.5, 1.3, 1.0 on 16 cores",
    "40 of 64 GB",
    "100 of 200 GB",
    "8 h",
    "73 % of all",
    "grows by 45 MB per minute",
    "Maintenance at 18:00.",
)


def warn(server: Server, **changes: Any) -> None:
    server.say(messages=[{"type": "warning", "warning": {**WARNING, **changes}}])


def notify(server: Server, **changes: Any) -> None:
    server.say(messages=[{"type": "notice", "notice": {**NOTICE, **changes}}])


def wait_until_heard(server: Server, said_type: str, **values: Any) -> None:
    wait_for(
        f"the Lab says {said_type} {values}",
        lambda: [said for said in server.heard(said_type) if values.items() <= said.items()],
        timeout_s=10,
        every_s=0.2,
    )


def test_the_status_item_changes_sign_words_and_colour(faked: Server, lab: LabPage) -> None:
    seen = []
    for fraction, level, words in (
        (0.3, "ok", ""),
        (0.83, "warning", "memory high"),
        (0.97, "error", "full"),
    ):
        faked.say(info={"memory": {"used_mb": 4096 * fraction, "fraction": fraction}})
        expect(lab.level).to_have_attribute("data-level", level)
        expect(lab.status).to_contain_text(words)
        expect(lab.status.locator("svg")).to_have_attribute("data-sign", level)
        seen.append(
            (
                lab.status.locator("path").get_attribute("d"),
                lab.status.evaluate("element => getComputedStyle(element).backgroundColor"),
            )
        )
    assert len({outline for outline, _ in seen}) == 3, seen
    assert len({colour for _, colour in seen}) == 3, seen
    faked.say(info={"memory": {"used_mb": 1229, "fraction": 0.3}, "job": {"time_left_s": 90}})
    expect(lab.level).to_have_attribute("data-level", "error")
    expect(lab.status).to_contain_text("ends soon")


def test_a_change_is_told_to_who_hears_the_page(faked: Server, lab: LabPage) -> None:
    voice = lab.level.get_by_role("status")
    expect(voice).to_have_attribute("aria-live", "polite")
    expect(voice).to_have_text("")
    faked.say(info={"memory": {"used_mb": 3400, "fraction": 0.83}})
    expect(voice).to_have_text("memory high")
    faked.say(info={"memory": {"used_mb": 1229, "fraction": 0.3}})
    expect(voice).to_have_text("All is well again")
    expect(lab.status).to_have_attribute(
        "aria-label", re.compile(r"Memory: 30 % of the limit\. Ends at (\w{3} )?\d\d:\d\d, in 2 h")
    )


def test_the_panel_opens_by_keyboard_and_has_all_figures(faked: Server, lab: LabPage) -> None:
    now = time.time()
    points = [[now - 1800 + 5 * step, 700 + step, 20 + step % 40] for step in range(360)]
    kernels = [
        kernel("k1", "thesis/zmumu.ipynb", 900, 0.73, "busy", 45),
        kernel("k2", "fit.ipynb", 200, 0.16, "idle", None),
    ]
    faked.say(history={"step_s": 5, "points": points}, info={"kernels": kernels, "notices": [NOTICE]})
    lab.status.press("Enter")
    panel = lab.panel
    expect(panel).to_be_visible()
    expect(panel).to_be_focused()
    for title in ("Messages", "Memory", "Processor", "Kernels", "Job and limits", "Node"):
        expect(panel.get_by_role("region", name=title, exact=True)).to_be_visible()
    words = panel.inner_text()
    for figure in FIGURES:
        assert figure in words, (figure, words)
    assert re.search(r"Ends\s+((\w{3} )?\d\d:\d\d) \(in 2 h( \d+ min)?\)", words), words
    drawing = panel.get_by_role("img").first
    expect(drawing).to_have_attribute(
        "aria-label", re.compile(r"1\.2 of 4 GB, 30 %; scale up to 4 GB, last 30 minutes")
    )
    line = drawing.locator(".afhub-line").get_attribute("d") or ""
    assert line.count("L") > 300, line[:200]
    rows = panel.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("zmumu.ipynb")
    keep_picture(lab.page, "lab-panel", for_docs=True)

    restart = panel.get_by_role("button", name="Restart the kernel of fit.ipynb")
    restart.focus()
    faked.say(info={"cpu": {"percent": 77, "cores": 2}})
    expect(panel).to_contain_text("77 % of 2 cores")
    expect(restart).to_be_focused()
    lab.page.keyboard.press("Enter")
    expect(lab.dialog()).to_contain_text("Restart the kernel of fit.ipynb?")
    lab.page.keyboard.press("Escape")
    expect(lab.dialog()).to_have_count(0)


def kernel(
    name: str, path: str, memory_mb: int, share: float, state: str, growth: int | None
) -> dict[str, Any]:
    return {
        "id": name,
        "name": "python3",
        "path": path,
        "pid": 17,
        "memory_mb": memory_mb,
        "share": share,
        "cpu_percent": 12,
        "state": state,
        "growth_mb_per_min": growth,
    }


def test_what_nobody_knows_is_left_out(faked: Server, lab: LabPage) -> None:
    unknown = dict.fromkeys(("cores", "load", "memory_free_mb", "scratch_free_mb", "other_notebooks"))
    faked.say(
        info={
            "node": unknown,
            "slot": None,
            "job": {"time_left_s": None, "owner": None},
            "memory": {"limit_mb": None, "fraction": None},
            "cpu": {"percent": None, "cores": None},
        }
    )
    expect(lab.status).to_have_text("Regular · 1.2 GB · worker1")
    words = lab.open_panel().inner_text()
    assert "null" not in words and "NaN" not in words and "undefined" not in words, words
    assert "Slot" not in words and "Other notebooks" not in words, words


def test_a_warning_is_shown_once_and_goes_when_it_is_over(faked: Server, lab: LabPage) -> None:
    warn(faked)
    warn(faked)
    expect(lab.popup("Memory at 80 %")).to_have_count(1)
    wait_until_heard(faked, "shown", id="m80")
    expect(lab.popup("Memory at 80 %").get_by_role("alert")).to_have_count(1)
    faked.say(messages=[{"type": "warning_over", "id": "m80"}])
    expect(lab.popup("Memory at 80 %")).to_have_count(0)
    assert faked.heard("read") == []


def test_silence_is_said_to_the_server(faked: Server, lab: LabPage) -> None:
    warn(faked)
    lab.popup("Memory at 80 %").get_by_role("button", name="Silence").click()
    wait_until_heard(faked, "silence", kind="memory")
    wait_until_heard(faked, "read", id="m80")
    expect(lab.popup("Memory at 80 %")).to_have_count(0)


def test_the_growing_kernel_is_restarted_after_a_question(faked: Server, lab: LabPage) -> None:
    started = faked.api("POST", "api/kernels", json={"name": "python3"}).json()
    kernel = {"id": started["id"], "name": "python3", "path": "fit.ipynb", "memory_mb": 900}
    warn(faked, kernel=kernel)
    button = lab.popup("Memory at 80 %").get_by_role("button", name="Restart kernel")
    button.click()
    expect(lab.dialog()).to_contain_text("It uses 900 MB")
    lab.dialog().get_by_role("button", name="Cancel").click()
    expect(lab.popup("Memory at 80 %")).to_be_visible()
    button.click()
    with lab.page.expect_response(
        re.compile(f"/api/kernels/{started['id']}/restart"), timeout=LOADS_MS
    ) as answered:
        lab.dialog().get_by_role("button", name="Restart kernel").click()
    assert answered.value.ok
    expect(lab.popup("Memory at 80 %")).to_have_count(0)
    faked.api("DELETE", f"api/kernels/{started['id']}")


def test_a_time_warning_saves_all_and_says_how_to_go_on(faked: Server, lab: LabPage) -> None:
    (faked.home / "plan.txt").write_text("", encoding="utf-8")
    lab.page.get_by_title("Refresh the file browser.").click()
    lab.type_into("plan.txt", "what to do")
    warn(faked, id="t600", kind="time", title="10 minutes left", text="Then it ends.", threshold=600)
    popup = lab.popup("10 minutes left")
    popup.get_by_role("button", name="How to go on").click()
    expect(lab.dialog()).to_contain_text("it may run for 8 h again")
    expect(lab.dialog().get_by_role("link", name="Open the hub’s page")).to_have_attribute(
        "href", "/hub/spawn"
    )
    lab.dialog().get_by_role("button", name="Close").click()
    popup.get_by_role("button", name="Save all").click()
    expect(lab.popup("1 document saved")).to_be_visible()
    assert (faked.home / "plan.txt").read_text(encoding="utf-8") == "what to do"


def test_a_message_is_text_and_never_html(faked: Server, lab: LabPage) -> None:
    text = "<img src=x onerror=\"document.title='hit'\"><b>bold</b>\n" + "long " * 390
    notify(faked, text=text, **{"from": "<i>admin</i>"})
    faked.say(info={"notices": [{**NOTICE, "text": text}]})
    popup = lab.popup("<b>bold</b>")
    expect(popup).to_contain_text("Message from <i>admin</i>")
    popup.get_by_role("button", name="Read all").click()
    expect(lab.dialog()).to_contain_text("<b>bold</b>")
    assert len(lab.dialog().inner_text()) > 1900
    lab.page.keyboard.press("Escape")
    expect(lab.open_panel()).to_contain_text("<b>bold</b>")
    for place in (popup, lab.panel):
        assert place.locator("img, b, i").count() == 0
    assert lab.page.title() != "hit"
    popup.get_by_role("button", name="Got it").click()
    wait_until_heard(faked, "read", id="n1")


def test_closing_a_message_with_its_cross_is_reading_it(faked: Server, lab: LabPage) -> None:
    notify(faked)
    lab.popup("Maintenance").get_by_title("Hide notification").click()
    expect(lab.popup("Maintenance")).to_have_count(0)
    wait_until_heard(faked, "read", id="n1")


def test_what_was_read_in_another_tab_goes(faked: Server, lab: LabPage) -> None:
    notify(faked)
    expect(lab.popup("Maintenance")).to_be_visible()
    faked.say(messages=[{"type": "seen", "id": "n1"}])
    expect(lab.popup("Maintenance")).to_have_count(0)
    assert faked.heard("read") == []


def test_it_connects_again_by_itself(faked: Server, lab: LabPage) -> None:
    faked.say(refusing=True, hang_up=True)
    expect(lab.status).to_have_text("no connection")
    expect(lab.level).to_have_attribute("data-level", "away")
    faked.say(refusing=False, info={"memory": {"used_mb": 2048, "fraction": 0.5}})
    expect(lab.status).to_contain_text("2 of 4 GB", timeout=30_000)


def test_nonsense_from_the_server_does_no_harm(faked: Server, lab: LabPage) -> None:
    faked.say(messages=[{"type": "tea"}, {"type": "info", "info": {}}, {"type": "notice"}, {"type": "save"}])
    faked.say(info={"memory": {"used_mb": 2048, "fraction": 0.5}})
    expect(lab.status).to_contain_text("2 of 4 GB")


def test_commands_are_in_the_palette(lab: LabPage) -> None:
    lab.page.keyboard.press("Control+Shift+C")
    search = lab.page.locator("#modal-command-palette input, .lm-CommandPalette-input").first
    search.fill("notebook’s job")
    for words in ("Show Memory, Time and Node", "Silence Warnings about Memory", "Open the Hub’s Page"):
        expect(lab.page.locator(".lm-CommandPalette-item", has_text=words)).to_be_visible()
    lab.page.locator(".lm-CommandPalette-item", has_text="Show Memory, Time and Node").click()
    expect(lab.panel).to_be_visible()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("fraction", [0.3, 0.83, 0.97])
def test_words_can_be_read_in_light_and_dark(
    faked: Server, lab: LabPage, theme: str, fraction: float
) -> None:
    """By the contrast that WCAG 2 asks of text, 4.5 to 1."""
    name = "@jupyterlab/apputils-extension:themes"
    faked.api("PUT", f"lab/api/settings/{name}", json={"raw": f'{{"theme": "{theme}"}}'})
    faked.say(
        info={
            "memory": {"used_mb": 4096 * fraction, "fraction": fraction},
            "kernels": [kernel("k1", "fit.ipynb", 900, 0.7, "busy", 45)],
            "notices": [NOTICE],
        }
    )
    lab.open(faked.address())
    expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
    lab.open_panel()
    found = lab.page.evaluate(CONTRASTS)
    assert len(found) > 20, found
    assert not [entry for entry in found if entry["contrast"] < 4.5], found
    if "Dark" in theme and fraction == 0.83:
        keep_picture(lab.page, "lab-panel-dark", for_docs=True)
    faked.api("PUT", f"lab/api/settings/{name}", json={"raw": "{}"})


CONTRASTS = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (channel) => (channel /= 255) <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const colour = numbers(getComputedStyle(element).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const root of document.querySelectorAll('#afhub-status, #afhub-panel')) {
        for (const element of root.querySelectorAll('*')) {
            const own = [...element.childNodes].filter((node) => node.nodeType === 3 && node.textContent.trim());
            if (!own.length || element.closest('.afhub-voice')) continue;
            const [a, b] = [luminance(numbers(getComputedStyle(element).color)), luminance(behind(element))];
            found.push({text: own[0].textContent, contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)});
        }
    }
    return found;
}"""


def test_notebook_7_shows_the_item_at_the_top_and_pop_ups(faked: Server, browser: Browser) -> None:
    faked.say(calm=True)
    faked.api("PUT", "api/contents/seven.ipynb", json=notebook("1 + 1"))
    # Notebook 7.6 has errors of its own, also without us.
    with lab_page(browser, scripts="labextensions/jupyter-afhub") as tab:
        for address in ("tree", "notebooks/seven.ipynb"):
            faked.say(calm=True)
            tab.page.goto(faked.address(address), timeout=LOADS_MS)
            expect(tab.wait_for_status()).to_have_text(
                re.compile(r"Regular · 1\.2 of 4 GB · .* left · worker1")
            )
            # The page that is left says visible=False as it goes.
            wait_until_heard(faked, "visible", visible=True)
            expect(tab.status).to_be_visible()
            box = tab.status.bounding_box()
            assert box and box["y"] < 100 and box["x"] + box["width"] <= 1280, box
        notify(faked)
        expect(tab.popup("Maintenance at 18:00.")).to_be_visible()
        tab.popup("Maintenance at 18:00.").get_by_role("button", name="Got it").click()
        expect(tab.popup("Maintenance at 18:00.")).to_have_count(0)
        tab.open_panel()
        keep_picture(tab.page, "lab-notebook-7", for_docs=True)
