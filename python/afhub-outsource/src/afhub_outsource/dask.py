"""Dask: `HTCondorCluster()` with encryption, own keys, and a word about workers that do not come.

Sizes, names and addresses are in the site's Dask configuration (`DASK_ROOT_CONFIG`). What no file can say is
here: keys are made for each process, so that nobody else's process may join, and HTCondor is asked about
workers that are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import sys
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import dask
from dask_jobqueue.htcondor import HTCondorCluster as BareCluster
from dask_jobqueue.htcondor import HTCondorJob as BareJob
from distributed.security import Security

from afhub_outsource import OutsourceError, facts, pages, pool, private

LOOK_S = 10.0
"""How often HTCondor is asked about workers that are missing."""


def configure(dask_jobqueue: ModuleType) -> None:
    """Put this class in the place of the one that it is derived from."""
    dask_jobqueue.HTCondorCluster = HTCondorCluster  # type: ignore[attr-defined]
    sys.modules["dask_jobqueue.htcondor"].HTCondorCluster = HTCondorCluster  # type: ignore[attr-defined]


def make_security() -> Security:
    """Keys with which this process's scheduler, clients and workers know each other, and nobody else.

    They are files that only the owner can read: a worker gets their paths, never the keys, so that no job ad has them.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"dask of {socket.gethostname()}")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of hosts differ.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("dask")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = private.folder()
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key_file = str(private.write(folder / "dask-key.pem", key.private_bytes(*form).decode()))
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    certificate_file = str(private.write(folder / "dask-certificate.pem", text))
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=certificate_file,
        **{f"tls_{role}_key": key_file for role in roles},
        **{f"tls_{role}_cert": certificate_file for role in roles},
    )


class HTCondorJob(BareJob):
    """One worker. A submission that fails is told to the cluster, which can tell the user."""

    async def start(self) -> None:
        try:
            await super().start()
        except (OSError, RuntimeError, ValueError) as error:
            cluster = HTCondorCluster.by_scheduler.get(self.scheduler)
            if cluster is not None:
                cluster.tell(f"A Dask worker could not be submitted: {' '.join(str(error).split())}")
            raise


class HTCondorCluster(BareCluster):
    """dask-jobqueue's cluster with keys of its own, and eyes on the batch pool."""

    job_cls = HTCondorJob
    by_scheduler: ClassVar[weakref.WeakValueDictionary[str, HTCondorCluster]] = weakref.WeakValueDictionary()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._told: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._word: Path | None = None
        self._patience_s: float | None = None
        if options.get("security") in (None, True):
            options["security"] = make_security()
        if options.get("log_directory") is None:
            options["log_directory"] = str(facts.read().log_folder)
        extra = options.get("worker_extra_args")
        if extra is None:
            extra = dask.config.get("jobqueue.htcondor.worker-extra-args", None) or []
        # The web page of a worker has no log-in either.
        options["worker_extra_args"] = [
            *extra,
            "--preload",
            "afhub_outsource.guard",
            "--preload-nanny",
            "afhub_outsource.tls",
        ]
        super().__init__(*arguments, **options)

    async def _start(self) -> Any:
        started = await super()._start()
        self.by_scheduler[self.scheduler.address] = self
        self._patience_s = self.scheduler.no_workers_timeout
        self._looking = asyncio.ensure_future(self._look())
        port = self.scheduler_info.get("services", {}).get("dashboard")
        if port:
            self._word = pages.announce("dask", port, "status")
        return started

    async def _close(self) -> Any:
        pages.withdraw(self._word)
        if self._looking is not None:
            self._looking.cancel()
        return await super()._close()

    def wait_for_workers(self, n_workers: int, timeout: float | None = None) -> Any:
        """Wait for so many workers; TimeoutError after the site's limit where no other is given, and not never."""
        return super().wait_for_workers(n_workers, timeout or facts.read().start_timeout_s)

    def tell(self, text: str) -> None:
        """Warn every client of this cluster, once."""
        if text in self._told:
            return
        self._told.add(text)
        with contextlib.suppress(AttributeError):
            self.scheduler.log_event("warn", text)

    async def _look(self) -> None:
        """Ask HTCondor about workers that are missing, as long as the cluster lives."""
        while True:
            await asyncio.sleep(LOOK_S)
            ids = [job.job_id for job in self.workers.values() if getattr(job, "job_id", None)]
            if not ids or len(self.scheduler.workers) >= len(self.worker_spec):
                self._told.clear()
                self.scheduler.no_workers_timeout = self._patience_s
                continue
            try:
                found = await asyncio.to_thread(pool.jobs, ids)
            except OutsourceError as error:
                self.tell(str(error))
                continue
            # A worker that has a slot is on its way; one that waits is worth a word only where none works.
            some_work = bool(self.scheduler.workers)
            worth = [job for job in found if job.status == pool.HELD or not some_work]
            listed = [job for job in worth if job.status != pool.RUNNING]
            gone = 0 if some_work else len(ids) - len(found)
            said = pool.explain(listed, len(listed) + gone)
            limit_s = self._patience_s
            if limit_s is not None and not some_work and pool.hopeless(found):
                limit_s = min(limit_s, pool.HOPELESS_S)
            self.scheduler.no_workers_timeout = limit_s
            if said:
                rest = (
                    f". Without any worker, tasks fail after {limit_s:.0f} s"
                    if limit_s and not some_work
                    else ""
                )
                self.tell(f"Dask on HTCondor: {said}{rest}.")
