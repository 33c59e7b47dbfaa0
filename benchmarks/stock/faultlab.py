"""What record_faults.py sees with: the hub's model, the user's pages, the queue and the processes."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
from stockclient import StockUser

from minipool import Minipool, wait_for

STATUS = {1: "idle", 2: "running", 3: "removed", 4: "completed", 5: "held", 6: "transferring", 7: "suspended"}
ATTRIBUTES = "ClusterId,Owner,JobStatus,RemoteHost,HoldReason,NumShadowStarts"
SILENT = "no answer"
TOKEN = re.compile(r"JUPYTERHUB_API_TOKEN=([0-9a-f]{16,})")


@dataclass(frozen=True)
class Sight:
    """One look. hub: what the hub says of the server; url: status of the user's address; jobs: the queue."""

    hub: str
    url: str
    jobs: tuple[str, ...]

    def __str__(self) -> str:
        return f"hub: {self.hub}; user's URL: {self.url}; queue: {', '.join(self.jobs) or 'empty'}"

    def has(self, state: str) -> bool:
        """Whether the queue holds a job in this state."""
        return any(f" {state}" in job for job in self.jobs)


@dataclass
class Lab:
    """The stock hub with two users, and a note of what was seen since `begin`."""

    pool: Minipool
    url: str
    alice: StockUser
    bob: StockUser
    evidence: list[str] = field(default_factory=list)
    began: float = 0.0
    cursor: str = ""

    def begin(self) -> None:
        """From here on the times of the evidence count."""
        self.began = time.monotonic()
        self.evidence = []
        self.cursor = self.pool.inside("hub", "date '+%F %T'").strip()

    def note(self, text: str) -> None:
        self.evidence.append(" ".join(text.split()))

    def seconds(self) -> int:
        return round(time.monotonic() - self.began)

    # -- looking --

    def ads(self) -> list[dict[str, Any]] | None:
        """All jobs of the stock schedd, None where it does not answer."""
        # Where it reaches no schedd, condor_q with -json prints nothing and ends with 0; without, it ends with 1.
        reached = "timeout 10 stock-condor condor_q 0 -format %s True"
        asked = f"timeout 10 stock-condor condor_q -all -json -attributes {ATTRIBUTES}"
        done = self.pool.run("hub", f"{reached} && {asked}")
        if done.returncode != 0:
            return None
        return sorted(json.loads(done.stdout or "[]"), key=lambda ad: int(ad["ClusterId"]))

    def _job(self, ad: dict[str, Any]) -> str:
        host = str(ad.get("RemoteHost", "")).rpartition("@")[2].partition(".")[0]
        words = f"{ad['ClusterId']}.0 {STATUS[ad['JobStatus']]}"
        words += f" on {host}" if host and ad["JobStatus"] == 2 else ""
        starts = int(ad.get("NumShadowStarts", 0))
        return words + (f" (shadow {starts})" if starts > 1 else "")

    def look(self, user: StockUser, name: str = "") -> Sight:
        """One look: three questions, none of which changes anything."""
        ads = self.ads()
        jobs = ("the schedd does not answer",) if ads is None else tuple(map(self._job, ads))
        return Sight(self.hub_says(user, name), self.url_says(user, name), jobs)

    def hub_says(self, user: StockUser, name: str = "") -> str:
        try:
            model = user.server(name)
        except requests.RequestException:
            return SILENT
        if not model:
            return "no server"
        return "ready" if model.get("ready") else f"pending {model.get('pending')}"

    def url_says(self, user: StockUser, name: str = "") -> str:
        """Status code of the user's server through the proxy, at the end of all redirects."""
        path = f"{user.name}/{name}" if name else user.name
        try:
            answer = requests.get(
                f"{self.url}/user/{path}/api/status",
                timeout=15,
                headers={"Authorization": f"token {user.token}"},
            )
        except requests.RequestException:
            return SILENT
        return str(answer.status_code)

    def page(self, user: StockUser, path: str, limit: int = 260) -> str:
        """Status and text of a page as the user's browser shows it, noted as evidence."""
        try:
            answer = user.page(path)
        except requests.RequestException as error:
            words = f"{type(error).__name__}"
        else:
            words = f"{answer.status_code} “{text_of(answer.text, limit)}”"
        self.note(f"page {path}: {words}")
        return words

    def servers(self) -> str:
        """The notebook servers that run, in words."""
        return ", ".join(self.processes()) or "none"

    def processes(self) -> list[str]:
        """The notebook servers that run on the workers, also on those that no network reaches: "alice on worker1"."""
        found = []
        for host in sorted({*self.pool.group("workers"), *self.pool.group("big_servers")}):
            if (
                self.pool.engine(
                    "inspect", "--format", "{{.State.Running}}", self.pool.container(host)
                ).strip()
                == "true"
            ):
                listing = self.pool.inside(
                    host, "ps -u alice,bob -o user=,args= | grep '[j]upyterhub-singleuser' || true"
                )
                owners = {line.split()[0] for line in listing.splitlines()}
                found += [f"{owner} on {host}" for owner in sorted(owners)]
        return found

    def log(self, pattern: str, limit: int = 2) -> list[str]:
        """The last lines of the hub's log since `begin` that match, noted as evidence."""
        lines = self.pool.inside(
            "hub", f"journalctl -u stock-hub --since '{self.cursor}' --no-pager -o cat"
        ).splitlines()
        found = [line for line in lines if re.search(pattern, line) and "COMMAND=" not in line][-limit:]
        for line in found:
            self.note(f"hub's log: {line.strip()[:230]}")
        return found

    def watch(
        self,
        user: StockUser,
        timeout_s: float,
        until: Callable[[Sight], object] = lambda _: False,
        name: str = "",
    ) -> Sight:
        """Looks every few seconds and notes each change; ends when `until` is true of a look, or the time is over."""
        deadline = time.monotonic() + timeout_s
        last: Sight | None = None
        while True:
            sight = self.look(user, name)
            if sight != last:
                self.note(f"t+{self.seconds()} s: {sight}")
                last = sight
            if until(sight) or time.monotonic() > deadline:
                return sight
            threading.Event().wait(3)

    # -- doing --

    def start(self, user: StockUser, options: dict[str, Any] | None = None, name: str = "") -> str:
        """Starts a server that works before the fault; returns the job's cluster number."""
        known = {ad["ClusterId"] for ad in self.ads() or []}
        start = user.start(options, name, 120)
        if not start.usable:
            raise RuntimeError(f"the server did not start before the fault: {start}")
        new = {ad["ClusterId"] for ad in self.ads() or []} - known
        return str(max(new))

    def tool(self, command: str) -> str:
        """One of HTCondor's tools as root, speaking to the stock schedd."""
        return self.pool.check("hub", f"stock-condor {command}")

    def host_of(self, job: str) -> str:
        """The worker on which a job runs."""
        ads = {str(ad["ClusterId"]): ad for ad in self.ads() or []}
        return str(ads[job]["RemoteHost"]).rpartition("@")[2].partition(".")[0]

    def hub_answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/hub/health", timeout=5).ok
        except requests.RequestException:
            return False

    def kill_hub(self) -> None:
        """kill -9 to the hub; systemd starts it again."""
        self.pool.inside("hub", "systemctl kill --signal=KILL stock-hub")
        wait_for("the stock hub is gone", lambda: not self.hub_answers(), 10, 0.1)
        self.note(f"t+{self.seconds()} s: kill -9 of the hub")
        wait_for("the stock hub answers again", self.hub_answers, 60)
        self.note(f"t+{self.seconds()} s: the hub answers again")

    def clean(self) -> None:
        """No server, no job, no process left, whatever the fault did."""
        wait_for("the stock hub answers", self.hub_answers, 60)
        for user in (self.alice, self.bob):
            wait_for(f"{user.name} has no pending server", lambda user=user: not self._pending(user), 400, 2)  # type: ignore[misc]
            user.stop_all()
        self.pool.run("hub", "stock-condor condor_rm -all")
        deadline = time.monotonic() + 60
        while self.ads() and time.monotonic() < deadline:
            threading.Event().wait(2)
        if self.ads():
            self.pool.run("hub", "stock-condor condor_rm -all -forcex")
        wait_for("no server of alice or bob runs", lambda: not self.processes(), 240, 2)

    def _pending(self, user: StockUser) -> bool:
        return self.hub_says(user).startswith("pending")


def text_of(page: str, limit: int) -> str:
    """The words of a page without its head, menu, scripts and the box for errors that is hidden on each page."""
    page = re.sub(r"(?s)<(head|script|noscript|style|nav|footer)\b.*?</\1>|<!--.*?-->", " ", page)
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    words = words.partition(" Error The error OK")[0]
    return words if len(words) <= limit else words[:limit] + " …"
