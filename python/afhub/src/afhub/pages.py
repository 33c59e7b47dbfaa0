"""What the hub's pages show of a notebook: why it ended, and what its owner can do next."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jupyterhub.utils import url_path_join

from afhub.options import OPTION
from afhub.outcomes import Outcome, bigger_class
from afhub.pool import Pool
from afhub.settings import Settings
from afhub.spawner import NotebookSpawner, outcome_in
from afhub.words import Words


@dataclass(frozen=True)
class Action:
    """One thing to do next, as a link."""

    label: str
    href: str
    first: bool = False


@dataclass(frozen=True)
class View:
    """An outcome in words. ``at`` is ISO 8601 in UTC, ``at_text`` the same for people without a browser's clock."""

    key: str
    server: str
    job_id: str
    at: str
    at_text: str
    title: str
    what: str
    then: str
    actions: tuple[Action, ...]
    facts: tuple[tuple[str, str], ...]


class Pages:
    """The functions that templates call; made anew for each page, for the user who looks at it."""

    def __init__(self, settings: Settings, pool: Pool, base_url: str, viewer: Any) -> None:
        self._settings = settings
        self._base_url = base_url
        self._admin = bool(getattr(viewer, "admin", False))
        self.words: Words = pool.words

    def outcome(self, user: Any, server: str = "") -> View | None:
        """Why the user's server ended, or could not start; None when it runs or was stopped by its owner."""
        row = user.orm_user.orm_spawners.get(server)
        spawner = user.spawners.get(server) if server in user.spawners else None
        if row is None or row.server is not None or (spawner is not None and spawner.active):
            return None
        outcome = spawner.outcome if isinstance(spawner, NotebookSpawner) else outcome_in(row.state)
        return None if outcome is None else self._view(outcome, user, server, row.user_options)

    def notice(self, user: Any, server: str = "") -> str:
        """What the owner of a running notebook should know."""
        spawner = user.spawners.get(server) if server in user.spawners else None
        return spawner.notice if isinstance(spawner, NotebookSpawner) and spawner.ready else ""

    def spawn_url(self, user: Any, server: str, notebook_class: str = "") -> str:
        """The spawn page of a server, or with a class a link that starts it at once."""
        url = url_path_join(self._base_url, "spawn", user.escaped_name, quote(server, safe=""))
        return (
            f"{url.rstrip('/')}?opt-{OPTION}={quote(notebook_class)}" if notebook_class else url.rstrip("/")
        )

    def _view(self, outcome: Outcome, user: Any, server: str, options: Any) -> View:
        def say(part: str) -> str:
            # A table of words from another version may want what this outcome does not have.
            return self.words.get(f"outcome.{outcome.key}.{part}", "", **outcome.values)

        moment = time.gmtime(outcome.at)
        return View(
            key=outcome.key,
            server=server,
            job_id=outcome.job_id,
            at=time.strftime("%Y-%m-%dT%H:%M:%SZ", moment),
            at_text=time.strftime("%Y-%m-%d %H:%M UTC", moment),
            title=say("title") or self.words("outcome.vanished.title"),
            what=say("what"),
            then=say("next"),
            actions=tuple(self._actions(outcome, user, server, options)),
            facts=tuple(outcome.facts.items()) if self._admin else (),
        )

    def _actions(self, outcome: Outcome, user: Any, server: str, options: Any) -> list[Action]:
        words = self.words
        chosen = options.get(OPTION, "") if isinstance(options, dict) else ""
        row = self._settings.class_named(chosen) if isinstance(chosen, str) and chosen else None
        row = row or self._settings.default_class
        bigger = bigger_class(self._settings, row.name) if outcome.key == "memory" else None
        actions = []
        if bigger is not None:
            label = words("page.start_class", title=bigger.title, memory=words.memory(bigger.memory_limit_mb))
            actions.append(Action(label, self.spawn_url(user, server, bigger.name), first=True))
        again = Action(
            words("page.start_again"), self.spawn_url(user, server, row.name), first=bigger is None
        )
        return [*actions, again, Action(words("page.choose"), self.spawn_url(user, server))]
