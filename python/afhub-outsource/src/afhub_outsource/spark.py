"""Spark: a session whose workers are batch jobs, in one call.

Spark has no scheduler for HTCondor. Its own standalone cluster does: the master runs beside the notebook's
kernel, each worker is a job that the user submits. Master, workers, executors and driver share a secret that
is in files of the user only: on no command line, in no job ad. The traffic between them is encrypted.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from afhub_outsource import OutsourceError, facts, pages, pool, private

MASTER_START_S = 60.0
LOOK_S = 5.0
PORT_TRIES = 5
UNTIL_THE_KERNEL_ENDS = '"$@" </dev/null & child=$!; read -r _; kill "$child"; wait "$child"'
"""A kernel that is killed says nothing, but its end of a pipe is closed."""
QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For Java programs that start, and then have little to do."""
OVERHEAD_MB = 448
"""Of a worker's memory, what its own process and Python beside the executor need."""

_running: list[Cluster] = []


def session(
    workers: int = 2,
    *,
    cores: int | None = None,
    memory_mb: int | None = None,
    app_name: str = "notebook",
    config: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Any:
    """A Spark session with so many workers in the batch pool; `spark.stop()` removes them.

    cores, memory_mb: of each worker, the site's where not given. config: further settings of Spark. timeout_s: how long
    to wait for the first worker. Raises OutsourceError where the pool takes no job or starts none in time.
    """
    site = facts.read()
    if workers < 1:
        raise ValueError(f"workers is {workers}; write 1 or more")
    # Spark has one session in a process: a new call means a new one.
    while _running:
        _running[0].stop()
    cluster = Cluster(
        workers=workers,
        cores=cores or site.worker_cores,
        memory_mb=memory_mb or site.worker_memory_mb,
        timeout_s=timeout_s if timeout_s is not None else site.start_timeout_s,
    )
    if cluster.memory_mb < OVERHEAD_MB + 512:
        raise ValueError(
            f"memory_mb is {cluster.memory_mb}; a Spark worker needs {OVERHEAD_MB + 512} or more"
        )
    try:
        return cluster.start(app_name, dict(config or {}))
    except BaseException:
        cluster.stop()
        raise


def token(key: bytes) -> str:
    """A signed token (JWS, HS256) that Spark's web pages accept."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = part(json.dumps({"sub": "notebook"}).encode())
    signature = hmac.new(key, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{part(signature)}"


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Cluster:
    """Master, worker jobs and driver of one session."""

    def __init__(self, *, workers: int, cores: int, memory_mb: int, timeout_s: float) -> None:
        self.workers = workers
        self.cores = cores
        self.memory_mb = memory_mb
        self.timeout_s = timeout_s
        self.ids: list[str] = []
        self.folder = private.folder() / f"spark-{secrets.token_hex(4)}"
        self._master: subprocess.Popen[str] | None = None
        self._session: Any = None
        self._header: Path | None = None
        self._word: Path | None = None
        self._page_token = ""
        self._watch: threading.Thread | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()

    # -- start

    def start(self, app_name: str, config: dict[str, str]) -> Any:
        """Start everything; returns the session."""
        _running.append(self)
        atexit.register(self.stop)
        home = self._home()
        self._write_files()
        host = socket.getfqdn()
        port = self._start_master(home, host)
        self._submit(home, host, port)
        self._session = self._start_driver(app_name, config, host, port)
        self._await_first_worker()
        self._watch = threading.Thread(target=self._look, name="afhub-spark", daemon=True)
        self._watch.start()
        return self._session

    def _home(self) -> Path:
        try:
            from pyspark.find_spark_home import _find_spark_home
        except ImportError as error:
            raise OutsourceError(
                f"PySpark is not in this kernel's environment ({sys.prefix}): {error}. "
                "Take a kernel that has it: Kernel, Change Kernel… in the Lab's menu."
            ) from error
        site = facts.read()
        if site.java_home:
            os.environ.setdefault("JAVA_HOME", site.java_home)
        java_home = os.environ.get("JAVA_HOME")
        if not shutil.which(f"{java_home}/bin/java" if java_home else "java"):
            where = f"in JAVA_HOME={java_home}" if java_home else "in PATH"
            raise OutsourceError(f"Spark needs Java, which is not {where}. Tell the site's admins.")
        return Path(_find_spark_home())

    def _write_files(self) -> None:
        self.folder.mkdir(mode=0o700)
        conf = self.folder / "conf"
        conf.mkdir(mode=0o700)
        site_conf = os.environ.get("SPARK_CONF_DIR")
        if site_conf:
            for file in Path(site_conf).glob("*"):
                if file.is_file():
                    shutil.copy(file, conf / file.name)
        page_key = secrets.token_bytes(32)
        common = {
            "spark.authenticate": "true",
            "spark.authenticate.secret": secrets.token_hex(32),
            "spark.network.crypto.enabled": "true",
            "spark.ui.filters": "org.apache.spark.ui.JWSFilter",
            "spark.org.apache.spark.ui.JWSFilter.param.secretKey": base64.urlsafe_b64encode(
                page_key
            ).decode(),
            "spark.ui.killEnabled": "false",
            # The master's other door, which asks nobody who they are.
            "spark.master.rest.enabled": "false",
            "spark.redaction.regex": "(?i)secret|password|token|access[.]?key",
        }
        lines = "".join(f"{name} {value}\n" for name, value in common.items())
        private.write(self.folder / "daemons.conf", lines)
        # Native parts of Spark are unpacked before they are loaded, and /tmp of a host may allow no programs.
        scratch = os.environ.get("_CONDOR_SCRATCH_DIR") or str(self.folder)
        lines += f"spark.driver.extraJavaOptions -Djava.io.tmpdir={scratch}\n"
        lines += "spark.executor.extraJavaOptions -Djava.io.tmpdir=.\n"
        private.write(self.folder / "driver.conf", lines)
        self._page_token = "Bearer " + token(page_key)
        script = (resources.files("afhub_outsource") / "worker.sh").read_text(encoding="utf-8")
        private.write(self.folder / "worker.sh", script)

    def _start_master(self, home: Path, host: str) -> int:
        log = self.folder / "master.log"
        command = [
            str(home / "bin/spark-class"), "org.apache.spark.deploy.master.Master", "--host", host, "--port", "0",
            "--webui-port", "0", "--properties-file", str(self.folder / "daemons.conf"),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "192m",
            "SPARK_DAEMON_JAVA_OPTS": QUICK_START,
            "SPARK_LAUNCHER_OPTS": QUICK_START,
            "SPARK_CONF_DIR": str(self.folder / "conf"),
        }
        with log.open("w", encoding="utf-8") as output:
            self._master = subprocess.Popen(
                ["bash", "-c", UNTIL_THE_KERNEL_ENDS, "master", *command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
                # An interrupted cell must not interrupt it.
                start_new_session=True,
            )
        deadline = time.monotonic() + MASTER_START_S
        while time.monotonic() < deadline:
            said = log.read_text(encoding="utf-8", errors="replace")
            found = re.search(r"Starting Spark master at spark://\S+?:(\d+)", said)
            if found:
                return int(found[1])
            if self._master.poll() is not None:
                break
            time.sleep(0.1)
        tail = log.read_text(encoding="utf-8", errors="replace")[-1500:]
        raise OutsourceError(
            f"Spark's master did not start within {MASTER_START_S:.0f} s. Its last words:\n{tail}"
        )

    def _submit(self, home: Path, host: str, port: int) -> None:
        site = facts.read()
        executor_mb = self.memory_mb - OVERHEAD_MB
        arguments = [
            str(self.folder / "worker.sh"), str(home), str(self.folder), host, str(port), str(self.cores),
            str(executor_mb), str(site.lost_timeout_s),
        ]  # fmt: skip
        if any(re.search(r"[\s'\"$]", word) for word in arguments):
            raise OutsourceError(f"a space, quote or $ in a path can't be passed to a job: {arguments}")
        environment = {
            "HOME": str(Path.home()),
            "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        }
        if site.java_home:
            environment["JAVA_HOME"] = site.java_home
        logs = site.log_folder
        self.ids = pool.submit(
            {
                "universe": "vanilla",
                "executable": "/bin/bash",
                "transfer_executable": "false",
                "should_transfer_files": "YES",
                "transfer_output_files": '""',
                "arguments": " ".join(arguments),
                "environment": '"' + " ".join(f"{name}={value}" for name, value in environment.items()) + '"',
                "request_cpus": str(self.cores),
                "request_memory": str(self.memory_mb),
                "request_disk": f"{site.worker_disk_mb}MB",
                "output": str(logs / "spark-worker-$(ClusterId).$(ProcId).out"),
                "error": str(logs / "spark-worker-$(ClusterId).$(ProcId).err"),
                "log": str(logs / "spark-worker-$(ClusterId).log"),
                "stream_output": "true",
                "stream_error": "true",
                "JobBatchName": "spark workers",
                "My.AfhubWorker": '"spark"',
            },
            self.workers,
        )

    def _start_driver(self, app_name: str, config: dict[str, str], host: str, port: int) -> Any:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        # Read by the process that PySpark starts; options on its command line would be for everybody to see.
        os.environ["PYSPARK_SUBMIT_ARGS"] = (
            f"--properties-file {self.folder / 'driver.conf'} --load-spark-defaults pyspark-shell"
        )
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ["SPARK_CONF_DIR"] = str(self.folder / "conf")
        # Its web page is on the loopback interface; what executors speak to is spark.driver.host.
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        error: Exception | None = None
        for _ in range(PORT_TRIES):
            try:
                return self._driver(app_name, config, host, port)
            except (Py4JError, PySparkException) as failure:
                error = failure
                # Somebody else may have taken the port of the web page meanwhile.
                if "BindException" not in str(failure):
                    break
        raise OutsourceError(f"Spark's driver did not start: {error}") from error

    def _driver(self, app_name: str, config: dict[str, str], host: str, port: int) -> Any:
        from pyspark.sql import SparkSession

        page = free_port()
        prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/").rstrip("/") + f"/proxy/{page}"
        if self._header is not None:
            self._header.unlink(missing_ok=True)
        self._header = private.write(private.header_file(page), self._page_token)
        builder = SparkSession.builder.master(f"spark://{host}:{port}").appName(app_name)
        settings = {
            "spark.driver.host": host,
            "spark.executor.memory": f"{self.memory_mb - OVERHEAD_MB}m",
            "spark.executor.cores": str(self.cores),
            "spark.ui.port": str(page),
            "spark.port.maxRetries": "0",
            "spark.ui.proxyBase": prefix,
            "spark.ui.showConsoleProgress": "false",
            **config,
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        made = builder.getOrCreate()
        made.web_page = f"{prefix}/jobs/"
        pages.withdraw(self._word)
        self._word = pages.announce("spark", page, "jobs/")
        # The session's own end is the end of everything that was started for it.
        made.stop = self.stop
        return made

    # -- while it runs

    def executors(self) -> int:
        """How many executors are there."""
        # PySpark has no word for them; the driver itself is in this list.
        return int(self._session.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1

    def _why(self) -> str:
        try:
            said = pool.explain(pool.jobs(self.ids), len(self.ids))
        except OutsourceError as error:
            return str(error)
        return said or "the workers run, and did not reach the notebook"

    def _patience_s(self) -> float:
        """How long to be without any worker: shorter where none will run again."""
        with contextlib.suppress(OutsourceError):
            if pool.hopeless(pool.jobs(self.ids)):
                return min(self.timeout_s, pool.HOPELESS_S)
        return self.timeout_s

    def _await_first_worker(self) -> None:
        begun = looked = time.monotonic()
        patience_s = self.timeout_s
        while self.executors() < 1:
            now = time.monotonic()
            if now - begun > patience_s:
                raise OutsourceError(
                    f"No Spark worker came within {now - begun:.0f} s: {self._why()}. "
                    f"Their output is in {facts.read().log_folder}."
                )
            if now - looked > LOOK_S:
                patience_s, looked = self._patience_s(), time.monotonic()
            time.sleep(0.2)

    def _look(self) -> None:
        """Cancel what would wait for ever: a job without any worker for so long."""
        from py4j.protocol import Py4JError

        since: float | None = None
        while not self._over.wait(LOOK_S):
            try:
                if self.executors():
                    since = None
                    continue
                since = since or time.monotonic()
                patience_s = self._patience_s()
                if time.monotonic() - since > patience_s:
                    reason = f"All Spark workers are gone for {patience_s:.0f} s: {self._why()}."
                    print(reason, file=sys.stderr, flush=True)
                    self._session.sparkContext.cancelAllJobs()
                    since = None
            except (AttributeError, OSError, Py4JError):
                # The driver has ended.
                return

    # -- end

    def stop(self) -> None:
        """End driver, master and workers; whatever was started of them."""
        with self._lock:
            self._over.set()
            if self in _running:
                _running.remove(self)
            session_, self._session = self._session, None
            ids, self.ids = self.ids, []
            master, self._master = self._master, None
        atexit.unregister(self.stop)
        if session_ is not None:
            type(session_).stop(session_)
        if master is not None and master.stdin is not None:
            master.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                master.wait(15)
        if self._header is not None:
            self._header.unlink(missing_ok=True)
        pages.withdraw(self._word)
        try:
            pool.remove(ids, "the notebook's Spark session ended")
        except OutsourceError as error:
            # They leave by themselves soon: their master is gone.
            print(error, file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
