"""Starts, watches and stops one notebook as a job of the notebook schedd."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from asyncio.exceptions import TimeoutError as AsyncTimeoutError
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from batchspawner import CondorSpawner
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.utils import url_path_join
from pydantic import ValidationError
from sqlalchemy.orm import object_session
from traitlets import default

from afhub import batchtokens, form
from afhub.accounts import AccountRefused, admitted
from afhub.condor import CondorRefused, CondorUnreachable
from afhub.events import Trace
from afhub.jobs import ClassSlots, Job, JobStatus, describe
from afhub.options import OptionsError, chosen_class, from_form
from afhub.outcomes import Outcome, log_hint
from afhub.pool import POLL_AGE_S, START_AGE_S, WATCH_S, Pool
from afhub.refusals import StartFailed, StartRefused
from afhub.settings import NotebookClass, Settings
from afhub.waiting import until
from afhub.words import Words

#: How long stop() waits until the schedd has let go of the job, in seconds: SIGTERM comes first, and then the notebook
#: has its vacate time (30 s unless a site says otherwise) to save what is open.
STOP_WAIT_S = 45.0
#: What poll() returns for a notebook that is no more.
GONE = 1
#: How often the words of a start that waits are renewed, in seconds: while someone reads them, and otherwise.
READ_S = 4.0
UNREAD_S = 30.0
#: How long a hub that restarted waits at most for the event log of the time before, in seconds.
CATCH_UP_S = 15.0

#: How long a start waits for a schedd that does not answer, in seconds.
BACK_S = 10.0
#: How long a token for the batch pool outlives the longest life of its notebook, in seconds.
TOKEN_MARGIN_S = 600
#: When a negotiation is asked for again after a submission, in seconds.
LATER_S = (1.5, 4.0)
#: After so many seconds in the queue beside free slots, HTCondor's own word about the match is shown.
UNMATCHED_S = 20

_PERCENT = {"asking": 10, "found": 20, "starting": 55, "listening": 90, "failed": 100}

# From JupyterHub's own variables; everything else it would pass on is left out.
_FROM_JUPYTERHUB = ("JUPYTERHUB_", "JPY_API_TOKEN")


def outcome_in(state: Mapping[str, Any] | None) -> Outcome | None:
    """The outcome in a server's state; None where there is none, or one that this version does not know."""
    try:
        return Outcome.model_validate(state["outcome"]) if state and state.get("outcome") else None
    except ValidationError:
        return None


def _kilobytes(words: Words) -> Callable[[int], str]:
    return lambda kilobytes: words.memory(kilobytes // 1024)


def token_hash(token: str) -> str:
    """What the hub keeps of a server's API token to know it again after a restart."""
    return hashlib.sha256(token.encode()).hexdigest() if token else ""


class NotebookSpawner(CondorSpawner):
    """One notebook. Settings and pool are shared by all; :func:`afhub.hub_config.configure` sets them."""

    settings: ClassVar[Settings]
    pool: ClassVar[Pool]

    def __init__(self, **kwargs: Any) -> None:
        self._machine = ""
        self._token_hash = ""
        self._asked = False
        self._submitting = False
        self._submission: asyncio.Future[str] | None = None
        self._submitted_at = float("-inf")
        self._adopted = False
        self._adoption: asyncio.Task[int | None] | None = None
        self._routing: asyncio.Task[None] | None = None
        self._phase = ("", "")
        self._news = asyncio.Event()
        self._readers = 0
        self._wake = asyncio.Event()
        self._port_known: asyncio.Event | None = None
        self._token_row = ""
        self._gone = False
        self._notifying: asyncio.Task[Any] | None = None
        self.outcome: Outcome | None = None
        #: Set by who stops a notebook for another reason than its owner's wish.
        self.stopped_because: Outcome | None = None
        #: Set when the start is cancelled.
        self.cancelled = False
        super().__init__(**kwargs)

    # What users may ask for

    @default("options_form")
    def _options_form_default(self) -> Any:
        return form.render

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return self._options_from_form

    def _options_from_form(self, form_data: Mapping[str, list[Any]]) -> dict[str, str]:
        try:
            return from_form(self.settings, form_data)
        except OptionsError as error:
            raise StartRefused(self.pool.words("refusal.options", reason=error), "options", 400) from error

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        return type(self).admit

    def admit(self, user_options: object) -> NotebookClass:
        """Refuse what may not start, before anything is submitted."""
        try:
            row = chosen_class(self.settings, user_options)
        except OptionsError as error:
            raise StartRefused(self.pool.words("refusal.options", reason=error), "options", 400) from error
        try:
            admitted(self.settings, self.user.name)
        except AccountRefused as error:
            raise StartRefused(self.pool.words("refusal.account", reason=error), "account", 403) from error
        return row

    @property
    def row(self) -> NotebookClass | None:
        """The class of this notebook; None where it is no longer in the settings."""
        try:
            return chosen_class(self.settings, self.user_options)
        except OptionsError:
            return None

    # What the notebook gets

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The account's own variables, as a login would set them."""
        account = admitted(self.settings, self.user.name)
        return {
            **env,
            "USER": account.pw_name,
            "LOGNAME": account.pw_name,
            "HOME": account.pw_dir,
            "SHELL": account.pw_shell,
        }

    def get_env(self) -> dict[str, str]:
        """JupyterHub's variables, the account's, the site's and the class's; nothing of the hub's own."""
        row = self.admit(self.user_options)
        env = {
            name: str(value)
            for name, value in super().get_env().items()
            if value is not None and name.startswith(_FROM_JUPYTERHUB)
        }
        env = self.user_env({**self.settings.notebook.environment, **env})
        if self.settings.notebook.jupyter_path:
            env["JUPYTER_PATH"] = ":".join(str(path) for path in self.settings.notebook.jupyter_path)
        return {
            **env,
            "MEM_LIMIT": str(row.memory_limit_mb * 1024 * 1024),
            "CPU_LIMIT": str(row.cores),
            "AFHUB_CLASS": row.name,
            # '$$' can't be in a job, see quote_environment.
            "AFHUB_CLASS_TITLE": row.title.replace("$$", "$"),
            "AFHUB_HUB": json.dumps(self._hub_pages()),
            "AFHUB_PORT_RANGE": str(self.settings.notebook.port_range),
            "AFHUB_RUNTIME_S": str(row.runtime_s),
            # Hub and notebooks have one origin, and a hub may have several names. Without a host of its own
            # the notebook sends a browser to log in under the name by which it came.
            "JUPYTERHUB_HOST": "",
        }

    def _hub_pages(self) -> dict[str, str]:
        """Pages of the hub that the notebook links to; without a host, because a hub may have several names."""
        spawn = url_path_join(self.hub.base_url, "spawn", self.user.escaped_name)
        return {
            "home": url_path_join(self.hub.base_url, "home"),
            "spawn": url_path_join(spawn, quote(self.name, safe="")) if self.name else spawn,
        }

    # What survives a restart of the hub

    def get_state(self) -> dict[str, Any]:
        state = {
            "job_id": self.job_id,
            "machine": self._machine,
            "port": self.port,
            "token_hash": self._token_hash,
            "token_row": self._token_row,
            "asked": self._asked,
            "submitting": self._submitting,
            "outcome": self.outcome.model_dump() if self.outcome else None,
        }
        return {name: value for name, value in state.items() if value}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._machine = state.get("machine", "")
        self._token_hash = state.get("token_hash", "")
        self._token_row = state.get("token_row", "")
        self._asked = state.get("asked", False)
        self._submitting = state.get("submitting", False)
        self.port = state.get("port", 0)
        self.outcome = outcome_in(state)
        self._adopted = bool(self.job_id or self._submitting) and not self._listening
        if self._adopted:
            self._port_known = asyncio.Event()
        self.pool.listen(self.user.name, self.name, self)

    def clear_state(self) -> None:
        """Forget the job. What became of it is kept until the next start."""
        super().clear_state()
        self._revoke_token()
        self._machine = self._token_hash = ""
        self._asked = self._submitting = self._adopted = self._gone = False
        self._port_known = None
        self.port = 0

    def _save_state(self) -> None:
        """Write the state down now: the hub may be killed at any moment."""
        self.orm_spawner.state = self.get_state()
        session = object_session(self.orm_spawner)
        if session is not None:
            session.commit()

    def _note_token(self) -> None:
        """Know the API token's row: a hub that restarted has no token to find it by."""
        session = object_session(self.orm_spawner)
        found = orm.APIToken.find(session, self.api_token) if session is not None and self.api_token else None
        self._token_row = found.hashed if found is not None else ""

    def _revoke_token(self) -> None:
        """Take the API token away from a notebook that is over; JupyterHub does so only if it did not restart."""
        session, hashed, self._token_row = object_session(self.orm_spawner), self._token_row, ""
        if session is None or not hashed:
            return
        # Not by its number: a database may give that again.
        token = session.query(orm.APIToken).filter_by(hashed=hashed).one_or_none()
        if token is not None:
            session.delete(token)
            session.commit()

    @property
    def _listening(self) -> bool:
        return bool(self._machine and self.port)

    # The port report

    def knows_token(self, token: str) -> bool:
        """Whether this is the API token of this very server."""
        return bool(self._token_hash) and hmac.compare_digest(self._token_hash, token_hash(token))

    @property
    def awaits_port(self) -> bool:
        """Whether a report of the port is expected: the start is pending and none came yet."""
        return self._port_known is not None and not self._port_known.is_set()

    def accept_port(self, port: int) -> None:
        """Take the port that the server reported. The machine comes from the job, never from a request."""
        if (
            self._port_known is None
            or self._port_known.is_set()
            or port not in self.settings.notebook.port_range
        ):
            raise ValueError("no report of this port is expected")
        self.port = port
        self._port_known.set()
        self._save_state()
        self._wake.set()

    # Start

    async def start(self) -> str:
        """Submit the job and return the server's address once it listens.

        Raises :class:`StartFailed` with the reason as soon as there is one. Whatever ends the start early,
        JupyterHub calls :meth:`stop` then, which removes the job.
        """
        row = self.admit(self.user_options)
        self.outcome = self.stopped_because = None
        self.cancelled = False
        self.port = 0
        self._machine = ""
        self._token_hash = token_hash(self.api_token)
        self._note_token()
        self._port_known = asyncio.Event()
        words = self.pool.words
        self._tell(
            "asking",
            title=row.title,
            memory=words.memory(row.memory_limit_mb),
            cores=words.cores(row.cores),
            hours=words.duration(row.runtime_s),
        )
        self.pool.listen(self.user.name, self.name, self)
        try:
            await self._start(row)
        except StartFailed as failure:
            self.outcome = failure.outcome
            self._tell("failed")
            raise
        # An answer from before this moment may still say that the job waits.
        self._submitted_at = self.pool.clock()
        self._tell("listening", host=self._machine)
        self._save_state()
        return self._url()

    async def _start(self, row: NotebookClass) -> None:
        environment = {**self.get_env(), **await self._batch_token(row)}
        try:
            description = describe(
                self.settings, owner=self.user.name, server=self.name, row=row, environment=environment
            )
        except ValueError as error:
            raise self._failure("description", 500, reason=str(error)) from error
        # A hub that is killed while it waits for the schedd can say so afterwards.
        self._asked = True
        self._save_state()
        await self._remove_leftovers()
        await self._submit(description)
        await self._until_listening(row)

    async def _batch_token(self, row: NotebookClass) -> dict[str, str]:
        """With what the notebook shows the batch pool whose it is, for as long as it may wait and run.

        A notebook that can't send work away is still a notebook: its tools say so, and the hub's log says why.
        """
        if self.settings.batch_tokens is None:
            return {}
        lifetime_s = self.settings.limits.start_timeout_s + row.runtime_s + TOKEN_MARGIN_S
        try:
            token = await batchtokens.mint(self.settings.batch_tokens, self.user.name, lifetime_s)
        except batchtokens.TokenError as error:
            self.log.warning("%s starts without a token for the batch pool: %s", self._log_name, error)
            return {}
        return {batchtokens.VARIABLE: token}

    @property
    def start_failure(self) -> StartRefused | None:
        """Why the last start failed; None where it did not, or for no reason of ours."""
        start = self._spawn_future
        failure = start.exception() if start is not None and start.done() and not start.cancelled() else None
        return failure if isinstance(failure, StartRefused) else None

    def common_values(self) -> dict[str, object]:
        """What the words of every outcome may use."""
        row = self.row
        return {
            "title": row.title if row else "",
            "server": self.name or "default",
            "job": self.job_id,
            "host": self._machine,
            "log": log_hint(self.name, self.job_id),
            "reason": self.pool.words("no_reason"),
        }

    def _failure(self, key: str, status: int, *, detail: str = "", **values: object) -> StartFailed:
        outcome = Outcome.make(
            key,
            {**self.common_values(), **values},
            job_id=self.job_id,
            facts={"JobId": self.job_id, "Detail": detail},
        )
        return StartFailed(self.pool.words, outcome, status)

    async def _remove_leftovers(self) -> None:
        """A server has one job: whatever an earlier hub left of it goes first.

        A schedd that is just coming back is given a moment: the collector learns of it seconds later.
        """
        patience_until = self.pool.clock() + BACK_S
        while True:
            try:
                snapshot = await self.pool.jobs(max_age_s=START_AGE_S)
                break
            except CondorUnreachable as error:
                if self.pool.clock() >= patience_until:
                    raise self._failure("unreachable", 503, detail=str(error)) from error
                self._tell("unanswered")
                await asyncio.sleep(START_AGE_S)
        self.pool.spare_server(self.user.name, self.name)
        for job in snapshot.of(self.user.name, self.name):
            if job.status is not JobStatus.REMOVED:
                self.log.warning("Removing job %s that was left of %s", job.job_id, self._log_name)
                self.pool.doom(job.job_id, "The notebook is started anew")

    async def _submit(self, description: Mapping[str, str]) -> None:
        self._asked, self._submitting = False, True
        self._save_state()
        # A cancelled start must still learn the job's id, or nobody could remove the job.
        self._submission = asyncio.ensure_future(self.pool.submit(description))
        self._submission.add_done_callback(self._submitted)
        try:
            await asyncio.shield(self._submission)
        except CondorUnreachable as error:
            raise self._failure("unreachable", 503, detail=str(error)) from error
        except CondorRefused as error:
            raise self._failure("refused", 403, reason=str(error)) from error
        self.log.info("Submitted job %s for %s", self.job_id, self._log_name)

    def _submitted(self, submission: asyncio.Future[str]) -> None:
        # An answer that was asked for before this moment says nothing about the job.
        self._submitted_at = self.pool.clock()
        if submission.cancelled():
            return
        error = submission.exception()
        if error is None:
            self.job_id = submission.result()
            self._submitting = False
        elif isinstance(error, CondorRefused):
            self._submitting = False
        self._save_state()

    def _trace(self) -> Trace | None:
        """What the event log says about the job."""
        return self.pool.trace(self.job_id, self.user.name, self.name) if self.job_id else None

    async def _until_listening(self, row: NotebookClass) -> None:
        """Wait until the job runs and its server reported a port."""
        self.pool.waiting += 1
        for seconds in LATER_S:
            # What its owner stopped a moment ago may still count when the schedd asks for the first time.
            self.pool.nudge(seconds)
        try:
            await self._wait_for_port(row)
        finally:
            self.pool.waiting -= 1

    async def _wait_for_port(self, row: NotebookClass) -> None:
        """Wait until the job runs and its server reported a port.

        Ends a little before JupyterHub's own timeout, which would give the user no reason.
        """
        if self._port_known is None:
            raise self._failure("interrupted", 500)
        patience_s = max(self.start_timeout - 5.0, self.start_timeout / 2)
        deadline = self.pool.clock() + patience_s
        slots: ClassSlots | None = None
        while True:
            self._wake.clear()
            trace = self._trace()
            if trace is not None and (trace.ended or trace.held or trace.left):
                raise await self._start_over(None)
            if trace is not None and trace.started and trace.host:
                # The event log knows it first, and says where.
                self._machine = trace.host
            else:
                slots = await self._look(row)
            if self._machine and self._port_known.is_set():
                return
            if self._machine:
                self._tell("starting", host=self._machine)
            left_s = deadline - self.pool.clock()
            if left_s <= 0:
                raise self._too_late(row, slots, patience_s)
            await self._wait_for_news(left_s)

    async def _look(self, row: NotebookClass) -> ClassSlots | None:
        """Ask the queue about the job, and tell the user; returns the class's slots where they are known."""
        try:
            snapshot = await self.pool.jobs(max_age_s=START_AGE_S, newer_than=self._submitted_at)
        except CondorUnreachable as error:
            self.log.warning("Schedd gives no answer while %s starts: %s", self._log_name, error)
            self._tell("unanswered")
            return None
        if not self.job_id and self._found_again(snapshot.of(self.user.name, self.name)) is not None:
            raise self._failure("interrupted", 500)
        job = self._own(snapshot.jobs.get(self.job_id))
        if job is None or not (job.status.waits or job.status.runs) or (job.status.waits and self._machine):
            raise await self._start_over(job)
        if job.status.runs:
            # The schedd says that a job runs a moment before it says where.
            self._machine = job.host or self._machine
            return None
        return await self._tell_place(row, job, snapshot.place(job))

    async def _start_over(self, job: Job | None) -> StartFailed:
        return StartFailed(self.pool.words, await self._why_over(job), 500)

    def _too_late(self, row: NotebookClass, slots: ClassSlots | None, patience_s: float) -> StartFailed:
        waited = self.pool.words.duration(round(patience_s))
        if self._machine:
            return self._failure("slow", 500, host=self._machine, waited=waited)
        if self.awaits_port is False:
            # Its port came, so it runs, but the name of its machine is none.
            return self._failure(
                "failed", 500, reason=f"job {self.job_id} runs on a machine without a proper name"
            )
        if slots is not None and slots.obstacle:
            self._tell_obstacle(row, slots)
            return self._failure("no_match", 503, reason=self._phase[1], detail=slots.obstacle)
        return self._failure("no_slot", 503, title=row.title, waited=waited)

    async def _wait_for_news(self, left_s: float) -> None:
        """Wait for the port report or an event of the job, at most so long."""
        if self._port_known is not None and self._port_known.is_set():
            # The port is there before the schedd says "running": only the schedd's word is missing.
            seconds = 0.1
        elif not self.pool.watching:
            seconds = START_AGE_S
        else:
            seconds = READ_S if self._readers else UNREAD_S
        try:
            await asyncio.wait_for(self._wake.wait(), min(seconds, max(left_s, 0.01)))
        except AsyncTimeoutError:
            return

    def _own(self, job: Job | None) -> Job | None:
        """The job, unless its id belongs to another notebook since the schedd's queue was emptied."""
        if job is not None and (job.owner, job.server) != (self.user.name, self.name):
            return None
        return job

    def _url(self) -> str:
        return f"http://{self._machine}:{self.port}"

    async def get_url(self) -> str:
        """The server's address; asked by a hub that restarted."""
        self._adopted = False
        # JupyterHub waits for the server next, and says so only when it started it itself.
        self._waiting_for_response = True
        if self._listening:
            return str(url_path_join(self._url(), self.server.base_url))
        return str(self.server.url)

    # A start that was pending when the hub was restarted

    async def _finish_start(self) -> int | None:
        """Wait until the notebook of an earlier hub listens; None when it does, otherwise it is gone."""
        if self._adoption is None:
            self._adoption = asyncio.ensure_future(self._adopt())
        await asyncio.wait([self._adoption])
        return GONE if self._adoption.cancelled() else self._adoption.result()

    async def _adopt(self) -> int | None:
        self._tell("found")
        try:
            await self.pool.caught_up(CATCH_UP_S)
            await self._until_listening(self.admit(self.user_options))
        except StartFailed as failure:
            self.outcome = failure.outcome
        except StartRefused as refusal:
            self.outcome = self._failure("refused", 403, reason=str(refusal)).outcome
        except asyncio.CancelledError:
            self.log.info("The start of %s was cancelled", self._log_name)
        else:
            self._adopted = False
            self._submitted_at = self.pool.clock()
            self._tell("listening", host=self._machine)
            self._save_state()
            self._routing = asyncio.ensure_future(self._add_route())
            return None
        self._tell("failed")
        self._adopted, self._gone = False, True
        if self.job_id:
            self.pool.doom(self.job_id, "The start failed")
        elif self._submitting:
            self.pool.doom_server(self.user.name, self.name, "Left by a start that failed")
        self.log.warning(
            "The start of %s, pending at the hub's restart, ended: %s", self._log_name, self._why
        )
        return GONE

    async def _add_route(self) -> None:
        """Open the way to an adopted notebook. JupyterHub does so only when the last of all adopted starts is over."""
        await until(lambda: self.pending != "check")
        if self.ready and JupyterHub.initialized():
            await JupyterHub.instance().proxy.add_user(self.user, self.name)

    @property
    def adopts_start(self) -> bool:
        """Whether a start that an earlier hub began is still waited for."""
        return self._adopted and not self._listening

    def cancel_adopted_start(self) -> None:
        """Give up a start that was pending when the hub was restarted."""
        self.cancelled = True
        if self._adoption is not None:
            self._adoption.cancel()

    # Watch

    def job_changed(self, job_id: str) -> None:
        """The event log says something about a job of this server."""
        if job_id != self.job_id:
            return
        self._wake.set()
        if self._listening and self._over_by_log and (self._notifying is None or self._notifying.done()):
            # Like JupyterHub's own poll, only at once.
            self._notifying = asyncio.ensure_future(self._notify())

    @property
    def _over_by_log(self) -> bool:
        """Whether the event log says that the job is of no use to its owner any more."""
        trace = self._trace()
        return trace is not None and bool(trace.ended or trace.held or trace.left)

    async def _notify(self) -> None:
        """A notebook may end while JupyterHub still opens the way to it, and is not to be polled then."""
        await until(lambda: not self.pending)
        if self._listening and self._over_by_log:
            await self.poll_and_notify()

    async def poll(self) -> int | None:
        """None while the notebook runs, waits, or nothing is known; otherwise it is gone.

        A job that the user can't reach any more (held, or given back to the queue) is removed on the way, and why
        is kept in :attr:`outcome`.
        """
        if self._gone:
            return GONE
        if self._submission is not None and not self._submission.done():
            return None
        if self._adopted and not self._listening:
            return await self._finish_start()
        if not self.job_id:
            if self._asked and self._port_known is None:
                # Another hub's start, from which nothing was submitted.
                self.outcome = self._failure("interrupted", 500).outcome
            return GONE
        trace = self._trace()
        if trace is not None and (trace.ended or trace.held or (trace.left and self._listening)):
            return await self._note_gone(None)
        try:
            snapshot = await self.pool.jobs(max_age_s=POLL_AGE_S, newer_than=self._submitted_at)
        except CondorUnreachable as error:
            self.log.warning("Schedd gives no answer about %s; it is left alone: %s", self._log_name, error)
            return None
        job = self._own(snapshot.jobs.get(self.job_id))
        if job is not None and job.status.waits and not self._listening:
            return None
        if job is not None and job.status.runs and not self._moved(job):
            return None
        return await self._note_gone(job)

    def _moved(self, job: Job) -> bool:
        return bool(
            self._listening and job.status is JobStatus.RUNNING and job.host and job.host != self._machine
        )

    async def _note_gone(self, job: Job | None) -> int:
        self._gone = True
        if self.stopped_because is None and not self.cancelled:
            self.outcome = await self._why_over(job)
        trace = self._trace()
        if self.job_id and not (trace is not None and trace.ended):
            lost = trace is not None and trace.left is not None and trace.left.kind == "reconnect_failed"
            self.pool.doom(self.job_id, "The notebook is over", lost=lost)
        self.log.warning("Job %s of %s is over: %s", self.job_id, self._log_name, self._why)
        return GONE

    @property
    def _why(self) -> str:
        if self.outcome is None:
            return "as asked for"
        return f"{self.outcome.key} {self.outcome.facts}"

    async def _why_over(self, job: Job | None) -> Outcome:
        """The reason, from queue and event log. The log may lag a moment behind the queue."""
        for _ in range(15):
            outcome = self.pool.explainer.over(
                self.job_id, self.name, self.row, self._machine, job, self._trace()
            )
            told = outcome.key != "vanished" and (outcome.key != "evicted" or outcome.facts.get("Reason"))
            if told or not self.pool.watching:
                break
            await asyncio.sleep(WATCH_S)
        return outcome

    def _found_again(self, found: list[Job]) -> int | None:
        """A hub that was killed while it submitted finds the job by its owner and server."""
        alive = [job for job in found if job.status.waits or job.status.runs]
        if not self._submitting or len(alive) != 1:
            for job in alive if self._submitting else []:
                self.pool.doom(job.job_id, "Left by a start that was interrupted")
            return GONE
        self.job_id, self._submitting = alive[0].job_id, False
        self.log.warning("Found job %s of %s again", self.job_id, self._log_name)
        self._save_state()
        return None

    # Stop

    async def stop(self, now: bool = False) -> None:
        """Remove the job and wait, for :data:`STOP_WAIT_S` at most, until the schedd has let go of it.

        Where the schedd does not answer, the removal is made up for later.
        """
        if self.stopped_because is not None:
            self.outcome = self.stopped_because
        elif self._waiting_for_response and not self.cancelled:
            self.outcome = self._failure("unanswering", 500, host=self._machine, port=self.port).outcome
        if self._submission is not None:
            await asyncio.wait([self._submission], timeout=STOP_WAIT_S)
        job_id, reason = self.job_id, "Stopped by the hub"
        trace = self._trace()
        if trace is not None and trace.left is not None and trace.left.kind == "reconnect_failed":
            # Its node has no such job: nothing there can be waited for.
            self.pool.doom(job_id, reason, lost=True)
            return
        if not job_id:
            if self._submitting:
                # Nobody knows whether the schedd took the job before it fell silent.
                self.pool.doom_server(self.user.name, self.name, "Left by a start that failed")
            return
        try:
            if not await self.pool.remove(job_id, reason):
                return
        except (CondorUnreachable, CondorRefused) as error:
            self.log.warning("Job %s of %s can't be removed now: %s", job_id, self._log_name, error)
            self.pool.doom(job_id, reason)
            return
        if now:
            return
        removed_at = self.pool.clock()
        while self.pool.clock() - removed_at < STOP_WAIT_S:
            try:
                snapshot = await self.pool.jobs(
                    max_age_s=0.2, newer_than=max(removed_at, self.pool.clock() - 0.2)
                )
            except CondorUnreachable:
                return
            if self._own(snapshot.jobs.get(job_id)) is None:
                return
            await asyncio.sleep(0.2)
        self.log.warning("Job %s of %s was removed but is still in the queue", job_id, self._log_name)

    # Words

    @property
    def notice(self) -> str:
        """What the owner of a notebook that runs should know; usually nothing."""
        trace = self._trace()
        if trace is None or trace.disconnected is None or trace.ended:
            return ""
        ago = self._since(trace.disconnected.at)
        return self.pool.words("notice.disconnected", host=self._machine or trace.host, ago=ago)

    def _since(self, moment: int) -> str:
        """How long ago that was, not finer than anyone would say it."""
        seconds = max(1, int(time.time()) - moment)
        return self.pool.words.duration(seconds if seconds < 10 else seconds // 5 * 5)

    def _tell(self, key: str, **values: object) -> None:
        text = self.pool.words(f"progress.{key}", **values)
        if self._phase != (key, text):
            self._phase = (key, text)
            self._news.set()

    def _tell_obstacle(self, row: NotebookClass, slots: ClassSlots) -> None:
        """Say why no slot can take this notebook."""
        words = self.pool.words
        if slots.obstacle != "too_small":
            self._tell(slots.obstacle, title=row.title)
            return
        unit = {"cores": words.cores, "memory": words.memory, "disk": _kilobytes(words)}[slots.requirement]
        requirement = words(
            f"requirement.{slots.requirement}", wanted=unit(slots.wanted), largest=unit(slots.largest)
        )
        self._tell("too_small", title=row.title, requirement=requirement)

    async def _tell_place(self, row: NotebookClass, job: Job, place: tuple[int, int]) -> ClassSlots | None:
        try:
            slots = (await asyncio.wait_for(self.pool.slots(), 1)).get(row.name)
        except (CondorUnreachable, AsyncTimeoutError):
            slots = None
        if slots is not None and slots.free and not slots.obstacle:
            # A slot became free that nobody told the negotiator of.
            self.pool.nudge()
        waited = self._since(job.queued_at)
        if slots is None:
            self._tell("queued", title=row.title, waited=waited)
        elif slots.obstacle:
            self._tell_obstacle(row, slots)
        elif slots.free >= place[1] and job.no_match_reason and time.time() - job.queued_at > UNMATCHED_S:
            self._tell(
                "unmatched", title=row.title, free=slots.free, total=slots.total, reason=job.no_match_reason
            )
        else:
            self._tell(
                "queued_slots",
                title=row.title,
                waited=waited,
                place=place[0],
                waiting=place[1],
                taken=slots.total - slots.free,
                total=slots.total,
            )
        return slots

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What goes on, in plain words, each time it changes."""
        told: tuple[str, str] = ("", "")
        self._readers += 1
        self._wake.set()
        try:
            while True:
                phase = self._phase
                if phase != told and phase[0]:
                    told = phase
                    yield {"progress": _PERCENT.get(phase[0], 25), "message": phase[1]}
                    # It may have changed again meanwhile.
                    continue
                if phase[0] in ("listening", "failed"):
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._readers -= 1
