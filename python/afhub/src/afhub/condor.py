"""HTCondor's Python bindings behind a typed interface: the only module that imports them.

The bindings block, and they hold the interpreter's lock while they wait for a daemon that does not answer.
The hub therefore runs this module in helper processes (:mod:`afhub.worker`) and never in its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from afhub import jobs
from afhub.events import Event, parse_event
from afhub.settings import Settings


class CondorUnreachable(Exception):
    """The daemon did not answer: nothing is known about the jobs."""


class CondorRefused(Exception):
    """The daemon answered and said no; the text is its own."""


class CondorCalls(Protocol):
    """What the hub asks of HTCondor. Every call may raise :class:`CondorUnreachable`."""

    def jobs(self) -> list[dict[str, Any]]:
        """Ads of all notebooks of this hub, reduced to :data:`afhub.jobs.PROJECTION`."""

    def details(self) -> list[dict[str, Any]]:
        """Ads of all notebooks of this hub, reduced to :data:`afhub.jobs.DETAILS`."""

    def submit(self, description: Mapping[str, str]) -> str:
        """Submit one job and return its id; raises :class:`CondorRefused`."""

    def remove(self, job_id: str, reason: str) -> bool:
        """Remove a job; False where the schedd has none with this id. Raises :class:`CondorRefused`."""

    def remove_by_force(self, job_id: str) -> bool:
        """Take a removed job off the queue without waiting for its node any longer; False where there is none."""

    def edit(self, job_id: str, attributes: Mapping[str, int | str]) -> bool:
        """Set attributes of a job; False where the schedd has none with this id. Raises :class:`CondorRefused`."""

    def reschedule(self) -> bool:
        """Ask for a negotiation cycle now."""

    def events(self) -> list[dict[str, Any]]:
        """What the event log got since the last call, as fields of :class:`afhub.events.Event`; all of it at first."""

    def slots(self) -> list[dict[str, Any]]:
        """Ads of all notebook slots, reduced to :data:`afhub.jobs.SLOT_PROJECTION`."""


def use_tokens(tokens_dir: Path) -> None:
    """Make the bindings authenticate with the hub's tokens alone. Call before they are imported."""
    os.environ["_CONDOR_SEC_TOKEN_DIRECTORY"] = str(tokens_dir)
    os.environ["_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS"] = "IDTOKENS"


# The schedd's words where it does not know the submitting account yet.
_NO_USER_RECORD = "when active owner is"


class Condor:
    """The real thing. Not for use by several threads at once."""

    def __init__(self, settings: Settings) -> None:
        use_tokens(settings.condor.tokens_dir)
        import htcondor2

        self._htcondor = htcondor2
        self._errors = (htcondor2.HTCondorException, OSError, RuntimeError, ValueError)
        self._settings = settings
        self._schedd: Any = None
        self._record_made = False
        self._log: Any = None
        self._log_inode = 0

    def _connect(self) -> Any:
        """The schedd's client. The local address file is asked first: it needs no collector."""
        if self._schedd is None:
            daemon = self._htcondor.DaemonType.Schedd
            name = self._settings.condor.schedd
            try:
                location = self._htcondor.Collector().locate(daemon)
            except self._errors:
                location = None
            if location is None or location.get("Name") != name:
                try:
                    location = self._htcondor.Collector(self._settings.condor.collector).locate(daemon, name)
                except self._errors as error:
                    raise CondorUnreachable(str(error)) from error
            if location is None:
                raise CondorUnreachable(f"no schedd named {name} is known")
            self._schedd = self._htcondor.Schedd(location)
        return self._schedd

    def jobs(self) -> list[dict[str, Any]]:
        return self._query(jobs.PROJECTION)

    def details(self) -> list[dict[str, Any]]:
        return self._query(jobs.DETAILS)

    def _query(self, attributes: tuple[str, ...], constraint: str = "") -> list[dict[str, Any]]:
        schedd = self._connect()
        constraint = constraint or jobs.notebooks_of(self._settings.hub_name)
        try:
            ads = schedd.query(constraint, list(attributes))
        except self._errors as error:
            # A restarted schedd has a new address.
            self._schedd = None
            raise CondorUnreachable(str(error)) from error
        return [_plain(ad, attributes) for ad in ads]

    def submit(self, description: Mapping[str, str]) -> str:
        """See :class:`CondorCalls`.

        A schedd lets an account impersonate others only once it has a record of that account, which a
        first job makes; that job is held and removed at once.
        """
        if not self._record_made:
            self._make_user_record()
        try:
            return self._submit(description)
        except CondorRefused as error:
            if _NO_USER_RECORD not in str(error):
                raise
            # The schedd's queue was emptied since, and the record with it.
            self._make_user_record()
            return self._submit(description)

    def _make_user_record(self) -> None:
        job_id = self._submit(jobs.describe_user_record(self._settings))
        self.remove(job_id, "The hub's account is known now")
        self._record_made = True

    def _submit(self, description: Mapping[str, str]) -> str:
        schedd = self._connect()
        try:
            result = schedd.submit(self._htcondor.Submit(dict(description)))
        except self._errors as error:
            text = " ".join(str(error).split())
            if "connect" in text.lower() or "SECMAN" in text:
                self._schedd = None
                raise CondorUnreachable(text) from error
            raise CondorRefused(text) from error
        return f"{result.cluster()}.{result.first_proc()}"

    def remove(self, job_id: str, reason: str) -> bool:
        # A plain text is dropped by the bindings; they take reason and code together.
        return self._act(self._htcondor.JobAction.Remove, job_id, (reason, 0))

    def remove_by_force(self, job_id: str) -> bool:
        return self._act(self._htcondor.JobAction.RemoveX, job_id, ("Its node did not answer", 0))

    def _act(self, action: Any, job_id: str, reason: tuple[str, int]) -> bool:
        if not jobs.JOB_ID.fullmatch(job_id):
            raise CondorRefused(f"{job_id!r} is no job id")
        schedd = self._connect()
        try:
            result = schedd.act(action, job_id, reason)
        except self._errors as error:
            self._schedd = None
            raise CondorUnreachable(str(error)) from error
        if result is None:
            self._schedd = None
            raise CondorUnreachable("the schedd gave no answer to a removal")
        if result.get("TotalPermissionDenied", 0):
            raise CondorRefused(f"the schedd does not let the hub remove job {job_id}")
        return not result.get("TotalNotFound", 0)

    def edit(self, job_id: str, attributes: Mapping[str, int | str]) -> bool:
        if not jobs.JOB_ID.fullmatch(job_id):
            raise CondorRefused(f"{job_id!r} is no job id")
        for name, value in attributes.items():
            literal = jobs.attribute_literal(value)
            try:
                self._connect().edit([job_id], name, literal)
            except self._errors as error:
                self._schedd = None
                # The bindings have the same words for everything.
                cluster, proc = job_id.split(".")
                if not self._query(("ClusterId",), f"ClusterId == {cluster} && ProcId == {proc}"):
                    return False
                text = " ".join(str(error).split())
                raise CondorRefused(f"{name} of job {job_id} can't be set: {text}") from error
        return True

    def reschedule(self) -> bool:
        schedd = self._connect()
        try:
            schedd.reschedule()
        except self._errors as error:
            self._schedd = None
            raise CondorUnreachable(str(error)) from error
        return True

    def events(self) -> list[dict[str, Any]]:
        path = self._settings.condor.event_log
        if path is None:
            return []
        found: list[Event] = []
        try:
            if self._log is None:
                for old in rotated(path):
                    found += self._read(self._htcondor.JobEventLog(str(old)))
            elif path.stat().st_ino != self._log_inode:
                # The schedd began a new file: the rest of the old one is still open here.
                found += self._read(self._log)
                self._log = None
            if self._log is None:
                self._log_inode = path.stat().st_ino
                self._log = self._htcondor.JobEventLog(str(path))
            found += self._read(self._log)
        except self._errors as error:
            self._log = None
            raise CondorUnreachable(f"{path}: {error}") from error
        return [asdict(event) for event in found]

    def _read(self, log: Any) -> list[Event]:
        wanted = self._htcondor.JobEventType.JOB_AD_INFORMATION
        found = (
            parse_event({name: event.get(name) for name in event}, int(event.timestamp))
            for event in log.events(stop_after=0)
            if event.type == wanted
        )
        return [event for event in found if event is not None]

    def slots(self) -> list[dict[str, Any]]:
        try:
            ads = self._htcondor.Collector(self._settings.condor.collector).query(
                self._htcondor.AdType.Startd, "AfhubClasses =!= undefined", list(jobs.SLOT_PROJECTION)
            )
        except self._errors as error:
            raise CondorUnreachable(str(error)) from error
        return [_plain(ad, jobs.SLOT_PROJECTION) for ad in ads]


def rotated(path: Path) -> list[Path]:
    """Older parts of an event log, the oldest first."""
    older = [path.with_name(f"{path.name}.{number}") for number in range(9, 0, -1)]
    return [part for part in [*older, path.with_name(f"{path.name}.old")] if part.exists()]


def _plain(ad: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Numbers and texts of an ad; expressions that HTCondor did not evaluate are left out."""
    values = {name: ad.get(name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, (str, int, float))}
