"""Notebooks as jobs: how one is described to the schedd, and what a job's ad says about it."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from afhub.settings import HOST_NAME, VARIABLE_NAME, NotebookClass, Settings

#: Attributes that the batched query asks for.
PROJECTION: Final = (
    "ClusterId",
    "ProcId",
    "Owner",
    "AfhubClass",
    "AfhubServer",
    "AfhubHub",
    "JobStatus",
    "HoldReason",
    "HoldReasonCode",
    "HoldReasonSubCode",
    "RemoveReason",
    "RemoteHost",
    "ExitCode",
    "QDate",
    "EnteredCurrentStatus",
    "NumJobStarts",
    "LastRejMatchReason",
)

#: What admins ask about notebooks beyond that, and what notebooks and hub tell each other through the ad.
DETAILS: Final = (
    *PROJECTION,
    "ShadowBday",
    "AllowedJobDuration",
    "AfhubMemoryLimitMb",
    "ResidentSetSize",
    "AfhubIdleSince",
    "AfhubKernels",
    "AfhubBusyKernels",
    "AfhubMemoryPeakMb",
    "AfhubNotices",
    "AfhubSeen",
)

JOB_ID = re.compile(r"[1-9][0-9]{0,9}\.[0-9]{1,6}")
# What Linux distributions accept as an account, with an upper-case letter and an @ for directory accounts.
ACCOUNT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}")
SERVER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?|")


class JobStatus(enum.IntEnum):
    """HTCondor's job states; UNEXPANDED is the schedd's word for "just made"."""

    UNEXPANDED = 0
    IDLE = 1
    RUNNING = 2
    REMOVED = 3
    COMPLETED = 4
    HELD = 5
    TRANSFERRING_OUTPUT = 6
    SUSPENDED = 7

    @property
    def waits(self) -> bool:
        """The job has no slot yet."""
        return self in (JobStatus.UNEXPANDED, JobStatus.IDLE)

    @property
    def runs(self) -> bool:
        """The job has a slot."""
        return self in (JobStatus.RUNNING, JobStatus.TRANSFERRING_OUTPUT, JobStatus.SUSPENDED)


@dataclass(frozen=True)
class Job:
    """One notebook's job as the schedd describes it. Times are seconds since 1970."""

    job_id: str
    owner: str
    notebook_class: str
    server: str
    status: JobStatus
    host: str = ""
    queued_at: int = 0
    since: int = 0
    starts: int = 0
    exit_code: int | None = None
    hold_reason: str = ""
    hold_code: int | None = None
    hold_subcode: int | None = None
    remove_reason: str = ""
    no_match_reason: str = ""


def _text(ad: Mapping[str, Any], name: str) -> str:
    value = ad.get(name)
    return value if isinstance(value, str) else ""


def _number(ad: Mapping[str, Any], name: str) -> int | None:
    value = ad.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def host_of(remote_host: str) -> str:
    """The machine in a slot's name: ``slot1@notebooks@worker1.example.org`` is on ``worker1.example.org``.

    An empty text where the name is no host name.
    """
    host = remote_host.rpartition("@")[2]
    return host if HOST_NAME.fullmatch(host) else ""


def parse_ad(ad: Mapping[str, Any]) -> Job | None:
    """A job from the attributes in :data:`PROJECTION`; None where the ad is no notebook's."""
    cluster, proc, status = _number(ad, "ClusterId"), _number(ad, "ProcId"), _number(ad, "JobStatus")
    if cluster is None or proc is None or status is None or status not in set(JobStatus):
        return None
    return Job(
        job_id=f"{cluster}.{proc}",
        owner=_text(ad, "Owner"),
        notebook_class=_text(ad, "AfhubClass"),
        server=_text(ad, "AfhubServer"),
        status=JobStatus(status),
        host=host_of(_text(ad, "RemoteHost")),
        queued_at=_number(ad, "QDate") or 0,
        since=_number(ad, "EnteredCurrentStatus") or 0,
        starts=_number(ad, "NumJobStarts") or 0,
        exit_code=_number(ad, "ExitCode"),
        hold_reason=" ".join(_text(ad, "HoldReason").split()),
        hold_code=_number(ad, "HoldReasonCode"),
        hold_subcode=_number(ad, "HoldReasonSubCode"),
        remove_reason=" ".join(_text(ad, "RemoveReason").split()),
        no_match_reason=" ".join(_text(ad, "LastRejMatchReason").split()),
    )


@dataclass(frozen=True)
class Details:
    """More about one notebook, from the attributes in :data:`DETAILS`; None is what the ad does not say.

    ``idle_since`` is in seconds since 1970, 0 while a kernel is busy. ``memory_peak_mb`` is the most that the notebook
    reported, or that HTCondor measured, whichever is more.
    """

    job: Job
    runs_since: int | None = None
    runtime_s: int | None = None
    memory_limit_mb: int | None = None
    memory_peak_mb: int | None = None
    idle_since: int | None = None
    kernels: int | None = None
    busy_kernels: int | None = None
    notices: str = ""
    seen: str = ""

    def ends_at(self, now: float) -> int | None:
        """When its class ends it, in seconds since 1970, at the latest."""
        if self.runtime_s is None:
            return None
        return (self.runs_since or int(now)) + self.runtime_s


def parse_details(ad: Mapping[str, Any]) -> Details | None:
    """Details from the attributes in :data:`DETAILS`; None where the ad is no notebook's."""
    job = parse_ad(ad)
    if job is None:
        return None
    resident_kb = _number(ad, "ResidentSetSize")
    measured = (_number(ad, "AfhubMemoryPeakMb"), None if resident_kb is None else resident_kb // 1024)
    return Details(
        job=job,
        runs_since=_number(ad, "ShadowBday") if job.status.runs else None,
        runtime_s=_number(ad, "AllowedJobDuration"),
        memory_limit_mb=_number(ad, "AfhubMemoryLimitMb"),
        memory_peak_mb=max((megabytes for megabytes in measured if megabytes is not None), default=None),
        idle_since=_number(ad, "AfhubIdleSince"),
        kernels=_number(ad, "AfhubKernels"),
        busy_kernels=_number(ad, "AfhubBusyKernels"),
        notices=_text(ad, "AfhubNotices"),
        seen=_text(ad, "AfhubSeen"),
    )


def classad_string(text: str) -> str:
    """A text as a ClassAd literal that the submit language leaves alone; raises ValueError where none is."""
    if not text.isprintable() or "$" in text:
        raise ValueError(
            f"{text!r} can't be written into a job: use printable characters in one line, no '$'"
        )
    return json.dumps(text, ensure_ascii=False)


def attribute_literal(value: int | str) -> str:
    """A number or text as the schedd reads it when an attribute is set.

    It reads the old syntax there, in which a backslash is a character like any other unless a quote follows. Raises
    ValueError for what that syntax can't hold.
    """
    if not isinstance(value, str):
        return str(int(value))
    if not value.isprintable() or value.endswith("\\"):
        raise ValueError(
            "an attribute is one line of printable characters that does not end with a backslash"
        )
    return '"' + value.replace('"', '\\"') + '"'


def quote_environment(environment: Mapping[str, str]) -> str:
    """The value of ``environment`` in a submit description, in HTCondor's new syntax.

    The whole is in double quotes, each entry in single quotes; a quote of either kind inside is doubled.
    ``$`` is written as ``$(DOLLAR)`` so that no macro is expanded. Raises ValueError for line breaks and
    other control characters, for ``$$`` (replaced at match time, whatever the quoting) and for names no
    shell would take.
    """
    entries = []
    for name, value in environment.items():
        if not VARIABLE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an environment variable")
        if any(ord(char) < 0x20 or char == "\x7f" for char in value):
            raise ValueError(f"{name} holds a line break or control character, which a job can't carry")
        if any(0xD800 <= ord(char) <= 0xDFFF or char in "\x85\u2028\u2029" for char in value):
            raise ValueError(f"{name} holds a character that a job can't carry")
        if "$$" in value:
            raise ValueError(f"{name} holds '$$', which HTCondor would replace")
        quoted = value.replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)")
        entries.append(f"{name}='{quoted}'")
    return '"' + " ".join(entries) + '"'


def describe(
    settings: Settings, *, owner: str, server: str, row: NotebookClass, environment: Mapping[str, str]
) -> dict[str, str]:
    """The submit description of one notebook.

    Of what the user chose only the class's name, as it stands in the settings, is in it; resources are set
    by the schedd from that name. Raises ValueError for an owner or server name that no account or hub
    would have.
    """
    if not ACCOUNT_NAME.fullmatch(owner):
        raise ValueError(f"{owner!r} is no account name")
    if not SERVER_NAME.fullmatch(server):
        raise ValueError(f"{server!r} is no server name")
    return {
        "universe": "vanilla",
        "executable": str(settings.notebook.command),
        "transfer_executable": "false",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        # Without this every file left in the scratch folder would be sent back into initialdir.
        "transfer_output_files": '""',
        "initialdir": "/",
        "notification": "never",
        "environment": quote_environment(environment),
        "JobBatchName": f"notebook {row.name}",
        "My.Owner": classad_string(owner),
        "My.AfhubClass": classad_string(row.name),
        "My.AfhubServer": classad_string(server),
        "My.AfhubHub": classad_string(settings.hub_name),
    }


def describe_user_record(settings: Settings) -> dict[str, str]:
    """The held job that makes the schedd know the hub's account; see :meth:`afhub.condor.Condor.submit`."""
    return {
        "universe": "vanilla",
        "executable": "/bin/true",
        "transfer_executable": "false",
        "should_transfer_files": "YES",
        "transfer_output_files": '""',
        "initialdir": "/",
        "notification": "never",
        "hold": "true",
        "JobBatchName": "user record of the hub",
        "My.AfhubClass": classad_string(settings.default_class.name),
        "My.AfhubServer": '""',
    }


def notebooks_of(hub_name: str) -> str:
    """The constraint that selects this hub's notebooks in the schedd."""
    return f"AfhubHub =?= {classad_string(hub_name)}"


#: What the schedd lets every notebook ask of a slot's disk, in KB.
DISK_KB: Final = 1024


@dataclass(frozen=True)
class ClassSlots:
    """Slots of one class: how many notebooks fit now, and how many on an empty pool.

    ``obstacle`` names what keeps every slot from ever taking one, an entry of ``progress`` in the words:
    ``no_machine``, ``draining`` or ``too_small``; for the last, ``requirement`` is cores, memory (MB) or disk
    (KB), of which ``wanted`` is asked and ``largest`` is the most that a slot has.
    """

    free: int
    total: int
    obstacle: str = ""
    requirement: str = ""
    wanted: int = 0
    largest: int = 0


#: Attributes that the collector is asked for.
SLOT_PROJECTION: Final = (
    "Name",
    "Machine",
    "AfhubClasses",
    "SlotType",
    "State",
    "Cpus",
    "Memory",
    "TotalSlotCpus",
    "TotalSlotMemory",
    "TotalSlotDisk",
    "Draining",
    "DaemonStartTime",
)


def slots_by_class(settings: Settings, ads: Iterable[Mapping[str, Any]]) -> dict[str, ClassSlots]:
    """Free and total slots per class from slot ads with the attributes in :data:`SLOT_PROJECTION`.

    A static slot is free while unclaimed. A partitionable slot has room for as many notebooks as its free
    cores and memory (MB) hold; dynamic slots are part of it and not counted again.
    """
    ads = list(ads)
    free = dict.fromkeys((row.name for row in settings.classes), 0)
    total = dict(free)
    for ad in ads:
        offered = _offered(ad)
        kind, state = _text(ad, "SlotType"), _text(ad, "State")
        if kind == "Dynamic":
            continue
        for row in settings.classes:
            if row.name not in offered:
                continue
            if kind == "Partitionable":
                total[row.name] += _fitting(row, _number(ad, "TotalSlotCpus"), _number(ad, "TotalSlotMemory"))
                if state == "Unclaimed":
                    free[row.name] += _fitting(row, _number(ad, "Cpus"), _number(ad, "Memory"))
            else:
                total[row.name] += 1
                free[row.name] += state == "Unclaimed"
    return {
        row.name: ClassSlots(
            min(free[row.name], total[row.name]),
            total[row.name],
            *_obstacle(row, [ad for ad in ads if row.name in _offered(ad)]),
        )
        for row in settings.classes
    }


def startds_of(ads: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """When the notebook startd of each machine was started, in seconds since 1970."""
    return {_text(ad, "Machine"): _number(ad, "DaemonStartTime") or 0 for ad in ads}


def _offered(ad: Mapping[str, Any]) -> set[str]:
    return {name.strip() for name in _text(ad, "AfhubClasses").split(",")}


def _obstacle(row: NotebookClass, ads: list[Mapping[str, Any]]) -> tuple[str, str, int, int]:
    """Why no slot that offers the class can ever take a notebook of it; empty texts where one can."""
    whole = [ad for ad in ads if _text(ad, "SlotType") != "Dynamic"]
    if not whole:
        return "no_machine", "", 0, 0
    for requirement, attribute, wanted in (
        ("cores", "TotalSlotCpus", row.cores),
        ("memory", "TotalSlotMemory", row.slot_memory_mb),
        ("disk", "TotalSlotDisk", DISK_KB),
    ):
        largest = max(_number(ad, attribute) or 0 for ad in whole)
        if largest < wanted and any(attribute in ad for ad in whole):
            return "too_small", requirement, wanted, largest
    if all(ad.get("Draining") is True for ad in whole):
        return "draining", "", 0, 0
    return "", "", 0, 0


def _fitting(row: NotebookClass, cores: int | None, memory_mb: int | None) -> int:
    return max(0, min((cores or 0) // row.cores, (memory_mb or 0) // row.slot_memory_mb))
