"""Pages say why a notebook ended and offer what helps; whatever was told by others is shown as text."""

from __future__ import annotations

from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from afhub.outcomes import Outcome
from afhub.pages import Pages, View
from afhub.pool import Pool
from afhub.settings import Settings, parse
from afhub.words import shipped
from hub_fakes import FakeCondor, Hub

VALUES = {
    "title": "Regular",
    "server": "default",
    "job": "7.0",
    "host": "worker1.example.org",
    "log": "~/x.log",
    "reason": "lunch",
}


def outcome(key: str, **values: str) -> Outcome:
    facts = {"JobId": "7.0", "HoldReason": "lunch"}
    return Outcome.make(key, {**VALUES, **values}, at=1700000000, job_id="7.0", facts=facts)


MEMORY = outcome("memory", used="13 GB", allowed="12 GB")


class Site:
    """A hub's pages, looked at by alice or an admin."""

    def __init__(self, hub: Hub, settings: Settings, pool: Pool) -> None:
        self.hub, self.settings, self.pool = hub, settings, pool

    def user(
        self, spawner: Any = None, server: str = "", *, running: bool = False, **row: Any
    ) -> SimpleNamespace:
        stored = SimpleNamespace(server=object() if running else None, state=None, user_options=None)
        for name, value in row.items():
            setattr(stored, name, value)
        return SimpleNamespace(
            orm_user=SimpleNamespace(orm_spawners={server: stored}),
            spawners={} if spawner is None else {server: spawner},
            escaped_name="alice",
        )

    def pages(self, *, admin: bool = False) -> Pages:
        return Pages(self.settings, self.pool, "/hub/", SimpleNamespace(admin=admin))

    def view(self, told: Outcome, *, admin: bool = False, server: str = "", **row: Any) -> View:
        user = self.user(server=server, state={"outcome": told.model_dump()}, **row)
        found = self.pages(admin=admin).outcome(user, server)
        assert found is not None
        return found


@pytest.fixture
def site(hub: Hub, settings: Settings, pool: Pool) -> Site:
    return Site(hub, settings, pool)


def links(view: View) -> list[tuple[str, str, bool]]:
    return [(action.label, action.href, action.first) for action in view.actions]


AGAIN = "/hub/spawn/alice?opt-notebook_class="


def test_memory_offers_the_next_bigger_class_first(site: Site) -> None:
    view = site.view(MEMORY, user_options={"notebook_class": "regular"})
    assert (view.key, view.server, view.job_id) == ("memory", "", "7.0")
    assert (view.at, view.at_text) == ("2023-11-14T22:13:20Z", "2023-11-14 22:13 UTC")
    assert view.what == "It used 13 GB; class Regular allows 12 GB."
    assert links(view) == [
        ("Start as Large (20 GB)", f"{AGAIN}large", True),
        ("Start again", f"{AGAIN}regular", False),
        ("Choose another class", "/hub/spawn/alice", False),
    ]


def test_the_biggest_class_has_no_bigger_one(site: Site) -> None:
    view = site.view(MEMORY, user_options={"notebook_class": "large"})
    assert links(view) == [
        ("Start again", f"{AGAIN}large", True),
        ("Choose another class", "/hub/spawn/alice", False),
    ]


@pytest.mark.parametrize(
    "key", sorted({path.split(".")[1] for path in shipped() if path.startswith("outcome.")} - {"memory"})
)
def test_other_reasons_offer_the_same_class_again(site: Site, key: str) -> None:
    view = site.view(
        outcome(
            key,
            code="3",
            signal="9",
            idle="4 hours",
            waited="5 minutes",
            runtime="12 hours",
            who="root",
            port="1",
        ),
        user_options={"notebook_class": "regular"},
    )
    assert [label for label, _, _ in links(view)] == ["Start again", "Choose another class"]
    assert view.title and view.what and view.then


@pytest.mark.parametrize("options", [None, {}, {"notebook_class": "gone"}, {"notebook_class": 3}, "x"])
def test_options_of_an_older_hub_fall_back_to_the_default_class(site: Site, options: Any) -> None:
    assert links(site.view(outcome("held"), user_options=options))[0][1] == f"{AGAIN}regular"


def test_links_of_a_named_server_lead_to_it(site: Site) -> None:
    view = site.view(outcome("held"), server="a b/c")
    assert links(view)[1][1] == "/hub/spawn/alice/a%20b%2Fc"


def test_facts_are_for_admins(site: Site) -> None:
    assert site.view(MEMORY).facts == ()
    assert dict(site.view(MEMORY, admin=True).facts) == {"JobId": "7.0", "HoldReason": "lunch"}
    assert Pages(site.settings, site.pool, "/hub/", None)._admin is False


def test_a_server_that_runs_has_no_outcome(site: Site) -> None:
    state = {"outcome": MEMORY.model_dump()}
    assert site.pages().outcome(site.user(state=state, running=True)) is None
    assert site.pages().outcome(site.user(state=None)) is None
    assert site.pages().outcome(site.user(), "other") is None


@pytest.mark.parametrize("active", [True, False])
def test_a_server_that_starts_or_stops_has_none_yet(site: Site, active: bool) -> None:
    spawner = site.hub.spawner()
    spawner.outcome = MEMORY
    spawner._spawn_pending = active
    found = site.pages().outcome(site.user(spawner))
    assert (found is None) is active


def test_a_notice_is_for_servers_that_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    spawner = site.hub.spawner()
    monkeypatch.setattr(type(spawner), "notice", "The connection was lost")
    pages, user = site.pages(), site.user(spawner)
    for ready in (True, False):
        monkeypatch.setattr(type(spawner), "ready", ready)
        assert pages.notice(user) == ("The connection was lost" if ready else "")
    assert pages.notice(site.user()) == ""


def test_an_outcome_that_lacks_a_value_still_has_a_title(site: Site) -> None:
    view = site.view(Outcome.make("of_tomorrow", {}, at=1))
    assert view.title == shipped()["outcome.vanished.title"]


def test_a_sites_words_are_used(data: dict[str, Any], condor: FakeCondor, hub: Hub) -> None:
    settings = parse({**data, "words": {"outcome": {"held": {"title": "Angehalten: {reason}"}}}})
    site = Site(hub, settings, Pool(settings, schedd=condor, collector=condor, event_log=condor))
    assert site.view(outcome("held")).title == "Angehalten: lunch"


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.setdefault(tag, dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(site: Site, view: View, name: str = "", **options: Any) -> Page:
    templates = Environment(
        loader=PackageLoader("afhub", "templates"), autoescape=True, undefined=StrictUndefined
    )
    module: Any = templates.get_template("afhub_outcome.html").module
    return Page(str(module.show(view, site.pool.words, name, **options)))


def test_the_page_says_reason_time_and_what_to_do(site: Site) -> None:
    page = shown(site, site.view(MEMORY, server="two"), "two")
    assert page.attributes["section"] == {
        "class": "afhub-outcome",
        "role": "status",
        "data-server": "two",
        "data-reason": "memory",
        "data-job": "7.0",
        "data-at": "2023-11-14T22:13:20Z",
    }
    assert "It used 13 GB; class Regular allows 12 GB." in page.text
    assert page.tags.count("a") == 3
    assert "details" not in page.tags
    assert "a" not in shown(site, site.view(MEMORY), actions=False).tags


def test_admins_see_htcondors_words(site: Site) -> None:
    page = shown(site, site.view(MEMORY, admin=True))
    assert {"details", "dl", "dt", "dd"} <= set(page.tags)
    assert "HoldReason" in page.text


def test_hostile_text_stays_text(site: Site) -> None:
    evil = "</section><script>alert('x')</script>\"'><img src=x onerror=y>&amp;{{ 7 * 7 }}"
    told = Outcome.make(
        "held",
        {**VALUES, "reason": evil, "job": evil},
        at=1,
        job_id=evil,
        facts={"HoldReason": evil, evil: evil},
    )
    page = shown(site, site.view(told, admin=True, server=evil), evil)
    harmless = shown(site, site.view(outcome("held"), admin=True, server="x"), "x")
    assert page.tags == harmless.tags
    assert page.text.count(evil) >= 4
    assert page.attributes["section"]["data-server"] == evil
    assert page.attributes["section"]["data-job"] == evil
    assert page.attributes["section"].keys() == harmless.attributes["section"].keys()
