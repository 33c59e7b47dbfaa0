"""What a notebook says of its job, without Lab's own page: in a terminal, in a cell, and in Notebook 7."""

from __future__ import annotations

import json
import re

import websocket
from chromium import chromium
from hubclient import HubUser
from labpage import LOADS_MS, hub_window, notebook
from playwright.sync_api import expect

from minipool import Minipool, wait_for

SAID = "afhub-said.txt"


def typed_into_a_terminal(user: HubUser, line: str) -> str:
    """Opens a terminal of the notebook, types a line as a person does, and returns what the command printed."""
    name = user.notebook("POST", "api/terminals").json()["name"]
    socket = websocket.create_connection(
        f"{user.pool.url.replace('https', 'wss')}/user/{user.name}/terminals/websocket/{name}",
        header={"Authorization": f"token {user.token}"}, sslopt={"ca_certs": str(user.pool.ca_file)}, timeout=60,
    )  # fmt: skip
    try:
        socket.send(json.dumps(["stdin", f"{line} > {SAID}.part 2>&1; mv {SAID}.part {SAID}\r"]))
        worker = user.worker()
        wait_for(
            f"{line!r} has ended",
            lambda: user.pool.run(worker, f"test -e ~{user.name}/{SAID}").returncode == 0,
            60,
        )
        return user.pool.check(worker, f"cat {SAID}; rm {SAID}", user=user.name)
    finally:
        socket.close()
        user.notebook("DELETE", f"api/terminals/{name}")


def agrees_with_the_job(user: HubUser, told: str) -> None:
    rows = {line[:11].strip(): line[11:] for line in told.splitlines() if line[:11].strip()}
    job = user.job()
    assert rows["Class"].startswith("Regular, 1 core"), told
    assert re.match(r"\d+ MB of 12 GB \(\d+%\)", rows["Memory"]), told
    # The server has answered: only it knows what the most was.
    assert "so far" in rows["Memory"], told
    assert re.match(r"1[12] h|12 hours", rows["Time left"]), told
    assert rows["Node"].startswith(f"{user.worker()}."), told
    assert rows["Job"].startswith(f"{job['Id']} in slot"), told
    assert "Problem" not in rows, told


def test_afhub_info_in_a_terminal(alices_notebook: HubUser) -> None:
    agrees_with_the_job(alices_notebook, typed_into_a_terminal(alices_notebook, "afhub info"))
    info = json.loads(typed_into_a_terminal(alices_notebook, "afhub info --json"))
    assert info["job"]["id"] == alices_notebook.job()["Id"] and info["problems"] == []


def test_the_magic_in_a_cell_of_the_stacks_own_kernel(alices_notebook: HubUser) -> None:
    agrees_with_the_job(alices_notebook, alices_notebook.execute("%afhub"))


def test_the_rest_address_answers_its_user_alone(alices_notebook: HubUser, bob: HubUser) -> None:
    info = alices_notebook.notebook("GET", "api/afhub/v1/info").json()
    assert info["class"]["name"] == "regular" and info["memory"]["limit_mb"] == 12288
    assert bob.notebook("GET", "api/afhub/v1/info", user="alice").status_code == 403


def test_notebook_7_shows_the_status_item(pool: Minipool, alices_notebook: HubUser) -> None:
    alice = alices_notebook
    alice.notebook("PUT", "api/contents/plain.ipynb", json=notebook("1 + 1")).raise_for_status()
    try:
        with chromium(pool.port) as browser, hub_window(browser, pool, "alice") as window:
            page = window.new_page()
            page.goto("/user/alice/notebooks/plain.ipynb", timeout=LOADS_MS)
            status = page.locator("#afhub-status button")
            expect(status).to_contain_text("Regular", timeout=LOADS_MS)
            expect(status).to_contain_text("of 12 GB")
            expect(status).to_contain_text(alice.worker())
    finally:
        alice.notebook("DELETE", "api/contents/plain.ipynb")
