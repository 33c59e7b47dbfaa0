"""Why a notebook could not start, or ended without its owner having stopped it.

An :class:`Outcome` names an entry of ``outcome`` in the table of words, with the values for its text and the
facts that HTCondor gave, which admins see. It is kept with the server until its next start.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Mapping
from typing import Final

from pydantic import Field

from afhub.events import Event, Trace
from afhub.jobs import Job, JobStatus
from afhub.settings import Model, NotebookClass, Settings
from afhub.words import Words

#: The sub-code with which the schedd holds a notebook above its soft memory limit.
MEMORY_SUBCODE: Final = 7001
#: The hub's account: what it removes was over before.
HUB_ACCOUNT: Final = "afhub"

# What each reason for a hold means for the user, by HTCondor's number (``CONDOR_HOLD_CODE``). Where a sub-code is
# an error number of the operating system, "no space left" goes before this table.
_ADMIN, _SOFTWARE, _TROUBLE = "held", "environment", "failed"
HOLD_CODES: Final[dict[int, str]] = {
    0: _TROUBLE,  # Unspecified
    1: _ADMIN,  # UserRequest
    2: _TROUBLE,  # GlobusGramError
    3: _ADMIN,  # JobPolicy
    4: _TROUBLE,  # CorruptedCredential
    5: _ADMIN,  # JobPolicyUndefined
    6: _SOFTWARE,  # FailedToCreateProcess
    7: _TROUBLE,  # UnableToOpenOutput
    8: _TROUBLE,  # UnableToOpenInput
    9: _TROUBLE,  # UnableToOpenOutputStream
    10: _TROUBLE,  # UnableToOpenInputStream
    11: _TROUBLE,  # InvalidTransferAck
    12: _TROUBLE,  # TransferOutputError
    13: _TROUBLE,  # TransferInputError
    14: _SOFTWARE,  # IwdError
    15: _ADMIN,  # SubmittedOnHold
    16: _TROUBLE,  # SpoolingInput
    17: _TROUBLE,  # JobShadowMismatch
    18: _TROUBLE,  # InvalidTransferGoAhead
    19: _SOFTWARE,  # HookPrepareJobFailure
    20: _TROUBLE,  # MissedDeferredExecutionTime
    21: _ADMIN,  # StartdHeldJob
    22: _TROUBLE,  # UnableToInitUserLog
    23: _TROUBLE,  # FailedToAccessUserAccount
    24: _TROUBLE,  # NoCompatibleShadow
    25: _TROUBLE,  # InvalidCronSettings
    26: _ADMIN,  # SystemPolicy
    27: _ADMIN,  # SystemPolicyUndefined
    28: _TROUBLE,  # GlexecChownSandboxToUser
    29: _TROUBLE,  # PrivsepChownSandboxToUser
    30: _TROUBLE,  # GlexecChownSandboxToCondor
    31: _TROUBLE,  # PrivsepChownSandboxToCondor
    32: _TROUBLE,  # MaxTransferInputSizeExceeded
    33: _TROUBLE,  # MaxTransferOutputSizeExceeded
    34: "memory",  # JobOutOfResources
    35: _SOFTWARE,  # InvalidDockerImage
    36: _TROUBLE,  # FailedToCheckpoint
    37: _TROUBLE,  # EC2UserError
    38: _TROUBLE,  # EC2InternalError
    39: _TROUBLE,  # EC2AdminError
    40: _TROUBLE,  # EC2ConnectionProblem
    41: _TROUBLE,  # EC2ServerError
    42: _TROUBLE,  # EC2InstancePotentiallyLostError
    43: _SOFTWARE,  # PreScriptFailed
    44: _TROUBLE,  # PostScriptFailed
    45: _SOFTWARE,  # SingularityTestFailed
    46: "runtime",  # JobDurationExceeded
    47: "runtime",  # JobExecuteExceeded
    48: _SOFTWARE,  # HookShadowPrepareJobFailure
    49: _TROUBLE,  # CannotSwitchPrimaryGroup
}
# Codes whose sub-code is an error number.
_WITH_ERRNO: Final = frozenset({6, 7, 8, 9, 10, 12, 13, 14})
_NO_SPACE = re.compile(r"no space left|disk quota exceeded|disk full", re.IGNORECASE)
_MEGABYTES = re.compile(r"used (\d+) MB; its class allows (\d+) MB")
# The job's owner gives no reason when the hub takes away what it knows to be over.
_LOST_KINDS: Final = frozenset({"reconnect_failed", "shadow_exception"})


class Outcome(Model):
    """One entry of ``outcome`` in the words, with what its text needs. ``at`` is in seconds since 1970."""

    key: str
    values: dict[str, str] = Field(default_factory=dict)
    at: int
    job_id: str = ""
    facts: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def make(
        cls,
        key: str,
        values: Mapping[str, object],
        *,
        at: int = 0,
        job_id: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> Outcome:
        """An outcome with its values as text; ``at`` 0 is now."""
        return cls(
            key=key,
            values={name: str(value) for name, value in values.items()},
            at=at or int(time.time()),
            job_id=job_id,
            facts={name: str(value) for name, value in (facts or {}).items() if value not in (None, "")},
        )


def hold_key(code: int | None, subcode: int | None, reason: str) -> str:
    """What a hold means: an entry of ``outcome``. An unknown code is trouble of the pool, never silence."""
    if (code in _WITH_ERRNO and subcode == errno.ENOSPC) or _NO_SPACE.search(reason):
        return "disk"
    if code == 26 and subcode == MEMORY_SUBCODE:
        return "memory"
    if code == 34 and "memory" not in reason.lower():
        return "disk" if "disk" in reason.lower() else _TROUBLE
    return HOLD_CODES.get(code if code is not None else 0, _TROUBLE)


class Explainer:
    """Turns what HTCondor says about a job into an outcome."""

    def __init__(self, settings: Settings, words: Words) -> None:
        self._settings = settings
        self._words = words

    def _common(self, job_id: str, host: str, server: str, row: NotebookClass | None) -> dict[str, str]:
        return {
            "job": job_id,
            "host": host or "its machine",
            "server": server or "default",
            "log": log_hint(server, job_id),
            "title": row.title if row else "",
            "allowed": self._words.memory(row.memory_limit_mb) if row else "",
            "runtime": self._words.duration(row.runtime_s) if row else "",
            "reason": self._words("no_reason"),
        }

    def held(self, job_id: str, server: str, row: NotebookClass | None, host: str, hold: Event) -> Outcome:
        """The outcome of a hold."""
        key = hold_key(hold.code, hold.subcode, hold.reason)
        values = self._common(job_id, host, server, row)
        if hold.reason:
            values["reason"] = hold.reason
        if key == "memory":
            measured = _MEGABYTES.search(hold.reason)
            if measured:
                values["used"], values["allowed"] = (self._words.memory(int(mb)) for mb in measured.groups())
            else:
                # Where the kernel or the startd measured it, only the limit is known.
                values["used"] = f"> {values['allowed']}"
        facts = {
            "JobId": job_id,
            "HoldReason": hold.reason,
            "HoldReasonCode": hold.code,
            "HoldReasonSubCode": hold.subcode,
            "HeldBy": hold.by,
            "Host": host,
        }
        return Outcome.make(key, values, at=hold.at, job_id=job_id, facts=facts)

    def over(
        self,
        job_id: str,
        server: str,
        row: NotebookClass | None,
        host: str,
        job: Job | None,
        trace: Trace | None,
    ) -> Outcome:
        """Why a job that is held, gone or given back does not serve its user any more; never without a reason.

        ``job`` is what the queue says and ``trace`` what the event log says, each None where it knows nothing.
        """
        hold = trace.held if trace else None
        if hold is None and job is not None and job.status is JobStatus.HELD:
            hold = Event(
                "held", job_id, job.owner, job.server, job.notebook_class, job.since,
                reason=job.hold_reason, code=job.hold_code, subcode=job.hold_subcode,
            )  # fmt: skip
        host = host or (trace.host if trace else "")
        if hold is None and trace is not None and trace.over is not None and trace.over.kind == "held":
            # Held, then removed by the hub.
            hold = trace.over
        if hold is not None:
            return self.held(job_id, server, row, host, hold)
        values = self._common(job_id, host, server, row)
        facts: dict[str, object] = {"JobId": job_id, "Host": host}
        if trace is not None and trace.over is not None:
            return self._terminated(trace.over, values, facts)
        left = trace.left if trace else None
        removed = trace.removed if trace else None
        if left is not None:
            facts.update({"Left": left.kind, "Reason": left.reason, "ReasonCode": left.code})
        # Where someone removes a job that runs, its slot lets go of it first, and without a reason.
        asked = removed is not None and removed.by not in ("", HUB_ACCOUNT)
        if left is not None and not (asked and left.kind == "evicted" and not left.reason):
            if left.reason:
                values["reason"] = left.reason
            key = "node_lost" if left.kind in _LOST_KINDS else "evicted"
            if left.kind == "reconnect_failed" and trace is not None and not trace.started:
                # The starter gave up before it had anything to run, which only its own log explains.
                key = "setup"
            key = "disk" if _NO_SPACE.search(left.reason) else key
            return Outcome.make(key, values, at=left.at, job_id=job_id, facts=facts)
        if removed is not None:
            facts.update({"RemoveReason": removed.reason, "RemovedBy": removed.by})
            if removed.reason:
                values["reason"] = removed.reason
            return Outcome.make("removed", values, at=removed.at, job_id=job_id, facts=facts)
        if job is not None and job.status is JobStatus.REMOVED:
            values["reason"] = job.remove_reason or values["reason"]
            facts["RemoveReason"] = job.remove_reason
            return Outcome.make("removed", values, at=job.since, job_id=job_id, facts=facts)
        if job is not None and job.status is JobStatus.COMPLETED:
            values["code"] = str(job.exit_code if job.exit_code is not None else "?")
            return Outcome.make("ended", values, at=job.since, job_id=job_id, facts=facts)
        if job is not None:
            # Waits or runs elsewhere: it was given back to the queue and the event log does not say why.
            return Outcome.make("evicted", values, at=job.since, job_id=job_id, facts=facts)
        return Outcome.make("vanished", values, job_id=job_id, facts=facts)

    @staticmethod
    def _terminated(end: Event, values: dict[str, str], facts: dict[str, object]) -> Outcome:
        facts.update({"ExitCode": end.exit_code, "ExitSignal": end.signal})
        code = "?" if end.exit_code is None else end.exit_code
        key = "ended" if end.signal is None else "killed"
        values = {**values, "code": str(code), "signal": str(end.signal)}
        return Outcome.make(key, values, at=end.at, job_id=end.job_id, facts=facts)


def log_hint(server: str, job_id: str) -> str:
    """Where a notebook's own log is, as its owner would type it."""
    return f"~/.local/state/afhub/{server or 'default'}-{job_id.partition('.')[0]}.log"


def bigger_class(settings: Settings, name: str) -> NotebookClass | None:
    """The class with the next higher memory limit, or None."""
    row = settings.class_named(name)
    if row is None:
        return None
    above = [other for other in settings.classes if other.memory_limit_mb > row.memory_limit_mb]
    return min(above, key=lambda other: other.memory_limit_mb, default=None)
