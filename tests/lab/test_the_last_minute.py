"""Asked to save, the Lab sends all that is dirty over the websocket, on a fake of the server extension."""

from __future__ import annotations

from labpage import LabPage, notebook
from playwright.sync_api import expect

from minipool import wait_for
from plainlab import Server


def ask_to_save(server: Server, name: str) -> None:
    server.say(messages=[{"type": "save", "id": name, "deadline_s": 10, "reason": "stopped"}])
    wait_for(
        "the Lab says that it has saved",
        lambda: [said for said in server.heard("saved") if said["save_id"] == name],
        timeout_s=15,
        every_s=0.2,
    )


def test_documents_in_front_and_behind_are_sent_and_clean_ones_are_not(faked: Server, tab: LabPage) -> None:
    faked.say(calm=True)
    for name in ("behind.txt", "clean.txt"):
        (faked.home / name).write_text("", encoding="utf-8")
    faked.api("PUT", "api/contents/front.ipynb", json=notebook(""))
    tab.open(faked.address())
    tab.wait_for_status()
    tab.type_into("behind.txt", "typed text")
    tab.open_file("clean.txt")
    tab.type_into("front.ipynb", "typed = True")
    ask_to_save(faked, "s1")
    sent = {said["path"]: said for said in faked.heard("document")}
    assert set(sent) == {"behind.txt", "front.ipynb"}
    text, cells = sent["behind.txt"], sent["front.ipynb"]
    assert (text["doc_type"], text["format"], text["content"]) == ("file", "text", "typed text")
    assert (cells["doc_type"], cells["format"]) == ("notebook", "json")
    assert cells["content"]["cells"][0]["source"] == "typed = True"
    assert all(said["last_modified"] for said in sent.values())
    assert faked.heard("saved")[-1] | {"client": 0} == {
        "client": 0,
        "type": "saved",
        "save_id": "s1",
        "documents": 2,
        "failed": [],
    }
    popup = tab.popup("Your notebook was stopped: it was asked to end")
    expect(popup).to_contain_text("2 documents saved")
    expect(popup.get_by_role("button", name="Open the hub’s page")).to_be_visible()
    faked.say(messages=[{"type": "stopped", "reason": "stopped"}])
    expect(tab.status).to_have_text("Notebook stopped")
    expect(popup).to_have_count(1)

    tab.page.get_by_role("tab", name="behind.txt").click()
    tab.page.locator(".jp-Document:not(.lm-mod-hidden) .cm-content").first.click()
    tab.page.keyboard.press("End")
    tab.page.keyboard.type(" and more")
    front = tab.page.locator(".jp-Document:not(.lm-mod-hidden) .cm-content").first
    expect(front).to_contain_text("typed text and more")
    ask_to_save(faked, "s2")
    again = {said["path"]: said["content"] for said in faked.heard("document") if said["save_id"] == "s2"}
    assert again["behind.txt"] == "typed text and more"
    assert "clean.txt" not in again


def test_with_nothing_to_save_it_answers_at_once(faked: Server, lab: LabPage) -> None:
    ask_to_save(faked, "s3")
    assert faked.heard("saved")[-1]["documents"] == 0
    assert faked.heard("document") == []
