"""Starts, watches and stops one notebook as a job of the notebook schedd."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from asyncio.exceptions import TimeoutError as AsyncTimeoutError
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from batchspawner import CondorSpawner
from jupyterhub.utils import url_path_join
from sqlalchemy.orm import object_session
from traitlets import default

from afhub import form, words
from afhub.accounts import AccountRefused, admitted
from afhub.condor import CondorRefused, CondorUnreachable
from afhub.jobs import Job, JobStatus, describe
from afhub.options import OptionsError, chosen_class, from_form
from afhub.pool import POLL_AGE_S, START_AGE_S, Pool
from afhub.refusals import StartRefused
from afhub.settings import NotebookClass, Settings

#: How long stop() waits until the schedd has let go of the job, in seconds. SIGTERM comes first.
STOP_WAIT_S = 30.0
#: What poll() returns for a notebook that is no more.
GONE = 1

# From JupyterHub's own variables; everything else it would pass on is left out.
_FROM_JUPYTERHUB = ("JUPYTERHUB_", "JPY_API_TOKEN")


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
        self._submitting = False
        self._submission: asyncio.Future[str] | None = None
        self._submitted_at = float("-inf")
        self._adopted = False
        self._phase = ("", "")
        self._news = asyncio.Event()
        self._port_known: asyncio.Event | None = None
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
            raise StartRefused("options", 400, reason=error) from error

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        return type(self).admit

    def admit(self, user_options: object) -> NotebookClass:
        """Refuse what may not start, before anything is submitted."""
        try:
            row = chosen_class(self.settings, user_options)
        except OptionsError as error:
            raise StartRefused("options", 400, reason=error) from error
        try:
            admitted(self.settings, self.user.name)
        except AccountRefused as error:
            raise StartRefused("account", 403, reason=error) from error
        return row

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
            "AFHUB_PORT_RANGE": str(self.settings.notebook.port_range),
            "AFHUB_RUNTIME_S": str(row.runtime_s),
            # Hub and notebooks have one origin, and a hub may have several names. Without a host of its own
            # the notebook sends a browser to log in under the name by which it came.
            "JUPYTERHUB_HOST": "",
        }

    # What survives a restart of the hub

    def get_state(self) -> dict[str, Any]:
        state = {
            "job_id": self.job_id,
            "machine": self._machine,
            "port": self.port,
            "token_hash": self._token_hash,
            "submitting": self._submitting,
        }
        return {name: value for name, value in state.items() if value}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._machine = state.get("machine", "")
        self._token_hash = state.get("token_hash", "")
        self._submitting = state.get("submitting", False)
        self.port = state.get("port", 0)
        self._adopted = bool(self.job_id or self._submitting) and not self._listening
        if self._adopted:
            self._port_known = asyncio.Event()

    def clear_state(self) -> None:
        super().clear_state()
        self._machine = self._token_hash = ""
        self._submitting = self._adopted = False
        self._port_known = None
        self.port = 0

    def _save_state(self) -> None:
        """Write the state down now: the hub may be killed at any moment."""
        self.orm_spawner.state = self.get_state()
        session = object_session(self.orm_spawner)
        if session is not None:
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
        self._news.set()

    # Start

    async def start(self) -> str:
        """Submit the job and return the server's address once it listens.

        Raises :class:`StartRefused` with the reason as soon as there is one. Whatever ends the start early,
        JupyterHub calls :meth:`stop` then, which removes the job.
        """
        row = self.admit(self.user_options)
        self.port = 0
        self._machine = ""
        self._token_hash = token_hash(self.api_token)
        self._port_known = asyncio.Event()
        self._tell(
            "asking",
            title=row.title,
            memory=words.memory(row.memory_limit_mb),
            cores=words.cores(row.cores),
            hours=words.duration(row.runtime_s),
        )
        try:
            description = describe(
                self.settings, owner=self.user.name, server=self.name, row=row, environment=self.get_env()
            )
        except ValueError as error:
            raise StartRefused("environment", 500, reason=error) from error
        await self._remove_leftovers()
        await self._submit(description)
        await self._until_listening(row)
        self._tell("listening", host=self._machine)
        self._save_state()
        return self._url()

    async def _remove_leftovers(self) -> None:
        """A server has one job: whatever an earlier hub left of it goes first."""
        try:
            snapshot = await self.pool.jobs(max_age_s=START_AGE_S)
        except CondorUnreachable as error:
            raise StartRefused("unreachable", 503, detail=str(error)) from error
        self.pool.spare_server(self.user.name, self.name)
        for job in snapshot.of(self.user.name, self.name):
            if job.status is not JobStatus.REMOVED:
                self.log.warning("Removing job %s that was left of %s", job.job_id, self._log_name)
                self.pool.doom(job.job_id, "The notebook is started anew")

    async def _submit(self, description: Mapping[str, str]) -> None:
        self._submitted_at = self.pool.clock()
        self._submitting = True
        self._save_state()
        # A cancelled start must still learn the job's id, or nobody could remove the job.
        self._submission = asyncio.ensure_future(self.pool.submit(description))
        self._submission.add_done_callback(self._submitted)
        try:
            await asyncio.shield(self._submission)
        except CondorUnreachable as error:
            raise StartRefused("unreachable", 503, detail=str(error)) from error
        except CondorRefused as error:
            raise StartRefused("refused", 403, reason=error) from error
        self.log.info("Submitted job %s for %s", self.job_id, self._log_name)

    def _submitted(self, submission: asyncio.Future[str]) -> None:
        if submission.cancelled():
            return
        error = submission.exception()
        if error is None:
            self.job_id = submission.result()
            self._submitting = False
        elif isinstance(error, CondorRefused):
            self._submitting = False
        self._save_state()

    async def _until_listening(self, row: NotebookClass) -> None:
        """Wait until the job runs and its server reported a port.

        Ends a little before JupyterHub's own timeout, which would give the user no reason.
        """
        if self._port_known is None:
            raise StartRefused("gone", 500, log=self._log_hint())
        newer_than = self._submitted_at
        patience_s = max(self.start_timeout - 5.0, self.start_timeout / 2)
        deadline = self.pool.clock() + patience_s
        while True:
            if self._port_known.is_set():
                newer_than = max(newer_than, self.pool.clock() - 0.05)
            try:
                snapshot = await self.pool.jobs(max_age_s=START_AGE_S, newer_than=newer_than)
            except CondorUnreachable as error:
                self.log.warning("Schedd gives no answer while %s starts: %s", self._log_name, error)
                self._tell("unanswered")
            else:
                if not self.job_id:
                    self._found_again(snapshot.of(self.user.name, self.name))
                job = self._own(snapshot.jobs.get(self.job_id))
                self._fail_if_over(job)
                if job is not None and job.status.runs:
                    # The schedd says that a job runs a moment before it says where.
                    self._machine = job.host
                    if job.host and self._port_known.is_set():
                        return
                    if job.host:
                        self._tell("starting", host=job.host)
                elif job is not None:
                    await self._tell_place(row, job, snapshot.place(job))
            if self.pool.clock() >= deadline:
                if self._port_known.is_set() and not self._machine:
                    raise StartRefused("no_host", 500, reason=self.job_id)
                waited = words.duration(round(patience_s))
                if self._machine:
                    raise StartRefused("slow", 500, host=self._machine, waited=waited, log=self._log_hint())
                raise StartRefused("no_slot", 503, title=row.title, waited=waited)
            await self._wait_for_news(START_AGE_S)

    async def _wait_for_news(self, seconds: float) -> None:
        """Wait for the port report, at most so long."""
        if self._port_known is None or self._port_known.is_set():
            # The port is there before the schedd says "running": only the schedd's word is missing.
            await asyncio.sleep(0.1)
            return
        try:
            await asyncio.wait_for(self._port_known.wait(), seconds)
        except AsyncTimeoutError:
            return

    def _own(self, job: Job | None) -> Job | None:
        """The job, unless its id belongs to another notebook since the schedd's queue was emptied."""
        if job is not None and (job.owner, job.server) != (self.user.name, self.name):
            return None
        return job

    def _fail_if_over(self, job: Job | None) -> None:
        reason = words.say("no_reason")
        if job is None:
            raise StartRefused("gone", 500, log=self._log_hint())
        if job.status is JobStatus.HELD:
            raise StartRefused(
                "held",
                500,
                reason=job.hold_reason or reason,
                detail=f"job {job.job_id}, code {job.hold_code}.{job.hold_subcode}",
            )
        if job.status is JobStatus.REMOVED:
            raise StartRefused("removed", 500, reason=job.remove_reason or reason, detail=f"job {job.job_id}")
        if job.status is JobStatus.COMPLETED:
            code = "" if job.exit_code is None else f" with code {job.exit_code}"
            raise StartRefused("completed", 500, code=code, log=self._log_hint(), detail=f"job {job.job_id}")
        if job.status.waits and self._machine:
            raise StartRefused("requeued", 500, detail=f"job {job.job_id} left {self._machine}")

    def _log_hint(self) -> str:
        return f"~/.local/state/afhub/{self.name or 'default'}-{self.job_id.partition('.')[0]}.log"

    def _url(self) -> str:
        return f"http://{self._machine}:{self.port}"

    async def get_url(self) -> str:
        """The server's address; asked by a hub that restarted.

        A start that was pending then is finished here. JupyterHub would stumble over an exception, so a
        start that fails gives the address it has; nothing answers there, and JupyterHub stops the notebook.
        """
        if self._adopted and not self._listening:
            try:
                row = self.admit(self.user_options)
                await asyncio.wait_for(self._until_listening(row), self.start_timeout)
            except (StartRefused, AsyncTimeoutError) as error:
                self.log.warning(
                    "The start of %s, pending at the hub's restart, failed: %s", self._log_name, error
                )
                return str(self.server.url)
            self._save_state()
        self._adopted = False
        if self._listening:
            return str(url_path_join(self._url(), self.server.base_url))
        return str(self.server.url)

    # Watch

    async def poll(self) -> int | None:
        """None while the notebook runs, waits, or nothing is known; otherwise it is gone.

        A job that the user can't reach any more (held, or given back to the queue) is removed on the way.
        """
        if self._submission is not None and not self._submission.done():
            return None
        try:
            snapshot = await self.pool.jobs(max_age_s=POLL_AGE_S, newer_than=self._submitted_at)
        except CondorUnreachable as error:
            self.log.warning("Schedd gives no answer about %s; it is left alone: %s", self._log_name, error)
            return None
        if not self.job_id:
            return self._found_again(snapshot.of(self.user.name, self.name))
        job = self._own(snapshot.jobs.get(self.job_id))
        if job is None or job.status in (JobStatus.REMOVED, JobStatus.COMPLETED):
            return GONE
        if job.status is JobStatus.HELD:
            why = (
                f"held: {job.hold_reason or words.say('no_reason')} (code {job.hold_code}.{job.hold_subcode})"
            )
        elif self._listening and job.status.waits:
            why = f"given back to the queue, was on {self._machine}"
        elif self._listening and job.status is JobStatus.RUNNING and job.host and job.host != self._machine:
            why = f"moved from {self._machine} to {job.host}"
        else:
            return None
        self.log.warning("Job %s of %s is %s", self.job_id, self._log_name, why)
        self.pool.doom(self.job_id, f"The notebook was {why}"[:400])
        return GONE

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
        if self._submission is not None:
            await asyncio.wait([self._submission], timeout=STOP_WAIT_S)
        job_id, reason = self.job_id, "Stopped by the hub"
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
                snapshot = await self.pool.jobs(max_age_s=0.2, newer_than=removed_at)
            except CondorUnreachable:
                return
            if self._own(snapshot.jobs.get(job_id)) is None:
                return
            await asyncio.sleep(0.2)
        self.log.warning("Job %s of %s was removed but is still in the queue", job_id, self._log_name)

    # Words

    def _tell(self, key: str, **values: object) -> None:
        text = words.say(key, **values)
        if self._phase != (key, text):
            self._phase = (key, text)
            self._news.set()

    async def _tell_place(self, row: NotebookClass, job: Job, place: tuple[int, int]) -> None:
        try:
            slots = (await asyncio.wait_for(self.pool.slots(), 1)).get(row.name)
        except (CondorUnreachable, AsyncTimeoutError):
            slots = None
        if slots is None:
            self._tell("queued", title=row.title)
        else:
            self._tell(
                "queued_slots",
                title=row.title,
                place=place[0],
                waiting=place[1],
                free=slots.free,
                total=slots.total,
            )

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What goes on, in plain words, each time it changes."""
        percent = {
            "asking": 10,
            "queued": 25,
            "queued_slots": 25,
            "unanswered": 25,
            "starting": 55,
            "listening": 90,
        }
        told: tuple[str, str] = ("", "")
        while True:
            phase = self._phase
            if phase != told and phase[0]:
                told = phase
                yield {"progress": percent.get(phase[0], 25), "message": phase[1]}
                # It may have changed again meanwhile.
                continue
            if phase[0] == "listening":
                return
            self._news.clear()
            await self._news.wait()
