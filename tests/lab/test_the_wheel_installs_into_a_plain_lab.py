"""The wheel is of use without the stack: pip install, and JupyterLab shows the job it runs in, or nothing."""

from __future__ import annotations

import json
import re
import signal
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from labpage import LOADS_MS, LabPage, keep_picture, notebook, source_of
from playwright.sync_api import expect

from minipool import wait_for
from plainlab import Environment, Server, Start


def test_jupyterlab_lists_the_extension_as_fine(environment: Environment) -> None:
    listed = environment.run("jupyterlab.labextensions", "list")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", listed.stdout + listed.stderr).splitlines()
    (ours,) = [line.strip() for line in lines if "jupyter-afhub" in line]
    assert re.fullmatch(r"jupyter-afhub v[0-9.]+ enabled +OK \(python, jupyter-afhub\)", ours), lines


def test_the_server_extension_is_on_without_a_command(environment: Environment) -> None:
    listed = environment.run("jupyter_server.extension.serverextension", "list")
    assert re.search(r"jupyter_afhub.*enabled", listed.stdout + listed.stderr), listed


def test_the_wheel_holds_what_was_built_and_no_modules(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (manifest,) = [name for name in names if name.endswith("labextensions/jupyter-afhub/package.json")]
        built = json.loads(archive.read(manifest))["jupyterlab"]["_build"]
    home = manifest.removesuffix("package.json")
    assert f"{home}{built['load']}" in names
    assert f"{home}schemas/jupyter-afhub/plugin.json" in names
    assert not [name for name in names if "node_modules" in name or name.endswith((".ts", ".map"))]


def test_outside_a_job_nothing_is_shown(start: Start, tab: LabPage) -> None:
    server = start()
    with tab.page.expect_response(re.compile("/api/afhub/v1/info"), timeout=LOADS_MS) as asked:
        tab.open(server.address())
    assert asked.value.json() == {"version": 1, "in_job": False}
    expect(tab.page.locator("#jp-main-statusbar")).to_be_visible()
    expect(tab.level).to_have_count(0)
    expect(tab.panel).to_have_count(0)
    assert tab.page.locator(".Toastify__toast").count() == 0


def test_without_the_server_extension_nothing_is_shown(start: Start, tab: LabPage) -> None:
    """As where an admin has switched it off: each part of the Lab side asks once and says nothing."""
    server = start("")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url) if "api/afhub" in request.url else None)
    with tab.page.expect_response(re.compile("/api/afhub/v1/info"), timeout=LOADS_MS) as answered:
        tab.open(server.address())
    assert answered.value.status == 404
    expect(tab.page.locator("#jp-main-statusbar")).to_be_visible()
    expect(tab.level).to_have_count(0)
    paths = [urlsplit(url).path for url in asked]
    assert len(paths) == len(set(paths)), asked


def test_with_a_job_ad_it_shows_class_memory_and_time(
    start: Start, tab: LabPage, in_a_job: dict[str, str]
) -> None:
    server = start(**in_a_job)
    tab.open(server.address())
    status = tab.wait_for_status()
    expect(status).to_have_text(
        re.compile(r"Regular · \d+ MB of 4 GB · (2 h|1 h \d+ min) left · \S+"), timeout=15_000
    )
    panel = tab.open_panel()
    for words in ("4711.0", "alice", "Regular", "4 GB"):
        expect(panel).to_contain_text(words)
    expect(panel.get_by_role("img")).to_have_count(2)
    keep_picture(tab.page, "lab-without-a-pool")


def test_what_was_typed_survives_the_end_of_the_job(
    start: Start, tab: LabPage, in_a_job: dict[str, str]
) -> None:
    """HTCondor sends SIGTERM; the server extension asks the Lab, which sends what it has."""
    server = start(**in_a_job)
    (server.home / "notes.txt").write_text("old\n", encoding="utf-8")
    (server.home / "fit.ipynb").write_text(json.dumps(notebook("")["content"]), encoding="utf-8")
    tab.open(server.address())
    tab.wait_for_status()
    tab.type_into("notes.txt", "typed into the file ")
    tab.type_into("fit.ipynb", "typed = 'into the notebook'")
    assert "typed" not in text_of(server, "notes.txt") + text_of(server, "fit.ipynb")

    server.process.send_signal(signal.SIGTERM)
    expect(tab.popup("Your notebook was stopped")).to_contain_text("2 documents saved", timeout=25_000)
    wait_for("the server has ended", lambda: server.process.poll() is not None, timeout_s=30)
    assert "typed into the file" in text_of(server, "notes.txt")
    assert source_of(text_of(server, "fit.ipynb")) == "typed = 'into the notebook'"


def text_of(server: Server, name: str) -> str:
    return (server.home / name).read_text(encoding="utf-8")
