"""What this notebook may use, and for how long: from the job's ad, and from the environment that a hub gave it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from jupyter_afhub import ads as condor
from jupyter_afhub.measure import MB

SKEW_S = 120.0
"""Clocks that differ by less than this are taken to agree."""


@dataclass(frozen=True)
class Job:
    """Facts that hold as long as the job runs. None is unknown."""

    in_job: bool
    id: str | None
    owner: str | None
    slot: str | None
    class_name: str | None
    class_title: str | None
    memory_limit_mb: int | None
    cores: int | None
    runtime_s: int | None
    vacate_s: int | None
    home_url: str | None
    spawn_url: str | None
    hub_started_at: int | None
    """When the job began by the clock of the host it was submitted on."""

    def time_left_s(self, age_s: float) -> int | None:
        return None if self.runtime_s is None else max(0, round(self.runtime_s - age_s))

    def clock_skew_s(self, age_s: float) -> float:
        """How far this machine's clock is behind the hub's, 0 where they agree or nobody knows."""
        if self.hub_started_at is None:
            return 0.0
        skew_s = self.hub_started_at + age_s - time.time()
        return skew_s if abs(skew_s) > SKEW_S else 0.0


def describe(ads: condor.Ads, environ: Mapping[str, str]) -> Job:
    """The job that these ads and variables describe."""
    job, machine = ads.job, ads.machine
    cluster, process = job.integer("ClusterId"), job.integer("ProcId")
    bytes_allowed = _number(environ.get("MEM_LIMIT"))
    memory_limit_mb = (
        job.integer("AfhubMemoryLimitMb")
        or (bytes_allowed // MB if bytes_allowed else None)
        or job.integer("RequestMemory")
        or machine.integer("Memory")
    )
    name = job.text("AfhubClass") or environ.get("AFHUB_CLASS") or None
    home, spawn = _hub_links(environ)
    begin = (job.integer(attribute) for attribute in ("JobCurrentStartDate", "ShadowBday", "JobStartDate"))
    return Job(
        in_job=condor.in_job(environ),
        id=None if cluster is None else f"{cluster}.{process or 0}",
        owner=job.text("Owner"),
        slot=machine.text("Name") or environ.get(condor.SLOT) or None,
        class_name=name,
        class_title=environ.get("AFHUB_CLASS_TITLE") or name,
        memory_limit_mb=memory_limit_mb,
        cores=job.integer("RequestCpus") or _number(environ.get("CPU_LIMIT")) or machine.integer("Cpus"),
        runtime_s=job.integer("AllowedJobDuration") or _number(environ.get("AFHUB_RUNTIME_S")),
        vacate_s=job.integer("JobMaxVacateTime"),
        home_url=home,
        spawn_url=spawn,
        hub_started_at=next((when for when in begin if when), None),
    )


def _number(text: str | None) -> int | None:
    """A positive whole number, also one written with a fraction."""
    try:
        value = int(float(text or ""))
    except (ValueError, OverflowError):
        return None
    return value if value > 0 else None


def _hub_links(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Where the hub's pages are: home, and the one that starts this server again."""
    try:
        told = json.loads(environ.get("AFHUB_HUB", ""))
        return str(told["home"]), str(told["spawn"])
    except (ValueError, TypeError, KeyError):
        pass
    base, user = environ.get("JUPYTERHUB_BASE_URL"), environ.get("JUPYTERHUB_USER")
    if not base or not user:
        return None, None
    hub = f"{environ.get('JUPYTERHUB_HOST', '')}{base.rstrip('/')}/hub"
    server = environ.get("JUPYTERHUB_SERVER_NAME", "")
    spawn = f"{hub}/spawn/{quote(user)}" + (f"/{quote(server)}" if server else "")
    return f"{hub}/home", spawn
