"""Where the time of a notebook's start goes, beside plain `jupyter-lab` of the same environment.

    INSTANCE=default .venv/bin/python -m benchmarks.startup_profile --host worker2

starts both programs by hand on a host of the mini-pool, in turn, and writes benchmarks/startup_profile.md. On the host
the same file runs with the system's Python and nothing else, as a demo user; it is the stand-in for the hub that a
notebook reports to.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import platform
import pwd
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ENVIRONMENT = "/opt/afhub/env/current"
PROGRAMS = ("afhub-notebook", "jupyter-lab")
WITHOUT_GRAMMAR = "jupyter-lab, without rfc3987_syntax"
"""Plain Lab where that package is not installed: it builds a grammar at every start, for a check nobody asks for."""
PHASES = {
    "python": "exec → Python runs the program",
    "launched": "→ account, log, port",
    "imported": "→ packages imported",
    "initialised": "→ server initialised",
    "listening": "→ listening",
    "reported": "→ report at the hub",
}
PACKAGES = ("jupyterlab", "jupyter-server", "jupyterhub", "tornado", "jupyter-afhub")
SERVER_NAME = "startup-profile"
PATIENCE_S = 60.0
TRY_EVERY_S = 0.005
SHOWN = 22
IMPORTS = 7

MARKS = """
import atexit, json, os, time
marks = {}
def mark(name):
    marks[name] = (time.monotonic(), time.process_time())
def before(owner, attribute, name):
    inner = getattr(owner, attribute)
    def outer(*arguments, **options):
        mark(name)
        return inner(*arguments, **options)
    setattr(owner, attribute, outer)
def after(owner, attribute, name):
    inner = getattr(owner, attribute)
    def outer(*arguments, **options):
        result = inner(*arguments, **options)
        mark(name)
        return result
    setattr(owner, attribute, outer)
path = os.environ.pop("STARTUP_MARKS")
@atexit.register
def write():
    with open(path, "w") as file:
        json.dump(marks, file)
mark("python")
"""

TRACED = {
    "afhub-notebook": MARKS
    + """
import sys
from jupyter_afhub import imports, launcher
load = imports.load
def loaded():
    mark("launched")
    load()
    from jupyter_afhub.hub import server
    before(server, "run", "imported")
    before(server.NotebookServer, "start_ioloop", "initialised")
    after(server.NotebookServer, "_bind_http_server_tcp", "listening")
imports.load = loaded
sys.exit(launcher.main(sys.argv[1:]))
""",
    "jupyter-lab": MARKS
    + """
import sys
mark("launched")
from jupyter_server.serverapp import ServerApp
from jupyterlab.labapp import main
mark("imported")
before(ServerApp, "start_ioloop", "initialised")
after(ServerApp, "_bind_http_server", "listening")
sys.exit(main())
""",
}
"""Each program as its entry point starts it, with notes of the time in between."""

START_WITHOUT_GRAMMAR = """
import sys
sys.modules["rfc3987_syntax"] = None
from jupyterlab.labapp import main
sys.exit(main())
"""

IMPORTED = {
    "as it is": "import gc; gc.disable(); from jupyter_afhub import launcher, imports; imports.load(); "
    "import jupyter_afhub.hub.server",
    "if nothing waited": "from jupyter_afhub import launcher; import jupyter_server.serverapp, "
    "jupyterhub.singleuser.extension, jupyterlab.labapp, jupyter_afhub.hub.server",
    "jupyter-lab": "import jupyter_server.serverapp, jupyterlab.labapp",
}


class StandIn(BaseHTTPRequestHandler):
    """Takes reports, and says when one came."""

    server: Hub

    def do_POST(self) -> None:
        """A report of a port, or of activity."""
        at = time.monotonic()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if self.path.endswith("/batchspawner"):
            self.server.reported_at = at
            self.server.reported.set()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


class Hub(ThreadingHTTPServer):
    """The stand-in for the hub."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StandIn)
        self.reported = threading.Event()
        self.reported_at = 0.0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def variables(self, port: int) -> dict[str, str]:
        """What a hub puts into the environment of a notebook."""
        api = f"http://127.0.0.1:{self.server_address[1]}/hub/api"
        scopes = json.dumps(["access:servers"])
        return {
            "AFHUB_PORT_RANGE": f"{port}-{port}",
            "JUPYTERHUB_API_TOKEN": "0" * 32,
            "JUPYTERHUB_API_URL": api,
            "JUPYTERHUB_ACTIVITY_URL": f"{api}/users/{SERVER_NAME}/activity",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": SERVER_NAME,
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
            "JUPYTERHUB_OAUTH_CALLBACK_URL": "/oauth_callback",
            "JUPYTERHUB_OAUTH_SCOPES": scopes,
            "JUPYTERHUB_SERVER_NAME": SERVER_NAME,
            "JUPYTERHUB_SERVICE_PREFIX": "/",
            "JUPYTERHUB_USER": pwd.getpwuid(os.getuid()).pw_name,
        }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, all of its threads, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)


def start(hub: Hub, environment: str, program: str, folder: Path, *, traced: bool) -> dict[str, Any]:
    """One start by hand: seconds and CPU seconds from exec to the first answer, and with `traced` the phases."""
    port = free_port()
    marks = folder / "marks.json"
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    command = [f"{environment}/bin/{program}"]
    if traced:
        command = [f"{environment}/bin/python3", "-I", "-c", TRACED[program]]
        variables["STARTUP_MARKS"] = str(marks)
    elif program == WITHOUT_GRAMMAR:
        command = [f"{environment}/bin/python3", "-I", "-c", START_WITHOUT_GRAMMAR]
    if program == "afhub-notebook":
        hub.reported.clear()
        variables.update(hub.variables(port), JUPYTER_RUNTIME_DIR=str(folder / "runtime"))
    else:
        command += ["--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    log = (folder / "log").open("wb")
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    try:
        wait_for_answer(process, port, began)
        result: dict[str, Any] = {"wall": time.monotonic() - began, "cpu": cpu_s(process.pid)}
        if program == "afhub-notebook":
            if not hub.reported.wait(PATIENCE_S):
                raise RuntimeError("no report of the port")
            result["reported"] = hub.reported_at - began
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        result["stop"] = time.monotonic() - asked
    finally:
        process.kill()
        process.wait()
        log.close()
    if traced:
        times = json.loads(marks.read_text())
        result["phases"] = {name: [wall - began, cpu] for name, (wall, cpu) in times.items()}
    return result


def wait_for_answer(process: subprocess.Popen[bytes], port: int, began: float) -> None:
    """Until the server answers; RuntimeError where it ends or takes too long."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/api")
            answer = connection.getresponse()
            answer.read()
        except ConnectionError:
            if process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode}") from None
            if time.monotonic() - began > PATIENCE_S:
                raise RuntimeError("no answer") from None
            time.sleep(TRY_EVERY_S)
        else:
            if answer.status != 200:
                raise RuntimeError(f"answers {answer.status}")
            return
        finally:
            connection.close()


def import_times(environment: str, code: str) -> dict[str, Any]:
    """Milliseconds of each package's own modules, and how many there are, as Python itself counts them."""
    done = subprocess.run(
        [f"{environment}/bin/python3", "-I", "-X", "importtime", "-c", code],
        capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for line in done.stderr.splitlines():
        head, _, rest = line.partition(":")
        fields = rest.split("|")
        if head == "import time" and len(fields) == 3 and fields[0].strip().isdigit():
            name = fields[2].strip().partition(".")[0]
            package = "Python itself" if name.lstrip("_") in standard() or name in standard() else name
            found[package][0] += int(fields[0]) / 1000
            found[package][1] += 1
    return dict(found)


def standard() -> frozenset[str]:
    """Names of Python's own modules."""
    return frozenset(sys.stdlib_module_names) | {
        "sitecustomize",
        "apport_python_hook",
        "encodings",
        "zipimport",
    }


def on_host(environment: str, rounds: int) -> None:
    """The measurement; prints it as JSON."""
    hub = Hub()
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts: dict[str, list[dict[str, Any]]] = {program: [] for program in (*PROGRAMS, WITHOUT_GRAMMAR)}
        traced: dict[str, list[dict[str, Any]]] = {program: [] for program in PROGRAMS}
        for number in range(rounds + 1):
            for kind, traces in ((starts, False), (traced, True)):
                for program, rows in kind.items():
                    row = start(hub, environment, program, folder, traced=traces)
                    # The first ones fill the file cache.
                    if number:
                        rows.append(row)
        imports: dict[str, list[dict[str, Any]]] = {title: [] for title in IMPORTED}
        for _ in range(IMPORTS):
            for title, code in IMPORTED.items():
                imports[title].append(import_times(environment, code))
    for log in (home / ".local/state/afhub").glob(f"{SERVER_NAME}-*.log"):
        log.unlink()
    code = "import sys, importlib.metadata as m; print(*(m.version(name) for name in sys.argv[1:]))"
    versions = subprocess.run(
        [f"{environment}/bin/python3", "-c", code, *PACKAGES], capture_output=True, text=True, check=True
    ).stdout.split()
    cpu = next(
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    )
    facts = {
        "Processor": f"{cpu.partition(':')[2].strip()}, {os.cpu_count()} cores",
        "Load when it ended": f"{os.getloadavg()[0]:.1f}",
        "Kernel": platform.release(),
        "Python": platform.python_version(),
        **dict(zip(PACKAGES, versions, strict=True)),
        "Environment": Path(environment).resolve().name,
    }
    print(json.dumps({"starts": starts, "traced": traced, "imports": imports, "facts": facts}))


def median(rows: list[dict[str, Any]], key: str) -> float:
    """The median of one value of several starts."""
    return float(statistics.median(row[key] for row in rows))


def phases(rows: list[dict[str, Any]], program: str) -> list[tuple[str, float, float | None]]:
    """Medians of the seconds and CPU seconds that each phase took."""
    result: list[tuple[str, float, float | None]] = []
    earlier: list[tuple[float, float]] = [(0.0, 0.0)] * len(rows)
    for name, title in PHASES.items():
        if name == "reported":
            if program == "afhub-notebook":
                waits = [row["reported"] - before[0] for row, before in zip(rows, earlier, strict=True)]
                result.append((title, statistics.median(waits), None))
            continue
        now = [(row["phases"][name][0], row["phases"][name][1]) for row in rows]
        steps = [(a[0] - b[0], a[1] - b[1]) for a, b in zip(now, earlier, strict=True)]
        result.append((title, statistics.median(s[0] for s in steps), statistics.median(s[1] for s in steps)))
        earlier = now
    return result


def document(measured: dict[str, Any], host: str, rounds: int) -> str:
    """The page."""
    starts = measured["starts"]
    ours, lab = (starts[program] for program in PROGRAMS)
    lines = [
        "# Where the time of a notebook's start goes",
        "",
        f"Written by `benchmarks/startup_profile.py` on {datetime.datetime.now(datetime.UTC):%d %B %Y}: both programs"
        f" of one environment, started by hand on {host} of the mini-pool, in turn, {rounds} times each, with warm file"
        " caches; medians. CPU seconds, user and system, are the figure to compare: other work on the machine, which"
        " holds all hosts of the mini-pool, lengthens the seconds on the clock.",
        "",
        "| exec → first answer over HTTP | CPU s | least | s on the clock | least | SIGTERM → ended, s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for program, rows in starts.items():
        lines.append(
            f"| `{program}` | {median(rows, 'cpu'):.2f} | {min(row['cpu'] for row in rows):.2f}"
            f" | {median(rows, 'wall'):.2f} | {min(row['wall'] for row in rows):.2f} | {median(rows, 'stop'):.2f} |"
        )
    lines += [
        f"| `afhub-notebook` ÷ `jupyter-lab` | {median(ours, 'cpu') / median(lab, 'cpu'):.2f}"
        f" | {min(r['cpu'] for r in ours) / min(r['cpu'] for r in lab):.2f}"
        f" | {median(ours, 'wall') / median(lab, 'wall'):.2f}"
        f" | {min(r['wall'] for r in ours) / min(r['wall'] for r in lab):.2f} | |",
        "",
        "## Phases",
        "",
        "| phase | `afhub-notebook` CPU ms | ms on the clock | `jupyter-lab` CPU ms | ms on the clock |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    columns = [{title: times for title, *times in phases(measured["traced"][p], p)} for p in PROGRAMS]
    for title in PHASES.values():
        cells = []
        for column in columns:
            wall, cpu = column.get(title, (None, None))
            cells += ["" if value is None else f"{1000 * value:.0f}" for value in (cpu, wall)]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Imports",
        "",
        f"Milliseconds, the least of {IMPORTS} runs, in the packages' own modules as `python -X importtime` counts"
        " them, which itself costs about a third; in brackets how many modules. *As it is*: what `afhub-notebook`"
        " imports at start, with Python's garbage collector off as there. The others import as plain programs do.",
        "",
        "| package | " + " | ".join(IMPORTED) + " |",
        "| --- | " + " | ".join("---:" for _ in IMPORTED) + " |",
    ]
    tables = [packages(measured["imports"][title]) for title in IMPORTED]
    most = {name: max(table.get(name, (0.0, 0))[0] for table in tables) for table in tables for name in table}
    order = sorted(most, key=lambda name: -most[name])
    for name in order[:SHOWN]:
        cells = [f"{t[name][0]:.0f} ({t[name][1]})" if name in t else "" for t in tables]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    rest = [
        (sum(t[n][0] for n in order[SHOWN:] if n in t), sum(t[n][1] for n in order[SHOWN:] if n in t))
        for t in tables
    ]
    lines.append("| others | " + " | ".join(f"{ms:.0f} ({count})" for ms, count in rest) + " |")
    total = [(sum(v[0] for v in t.values()), sum(v[1] for v in t.values())) for t in tables]
    lines.append("| all | " + " | ".join(f"{ms:.0f} ({count})" for ms, count in total) + " |")
    lines += ["", "## Machine and versions", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in measured["facts"].items()]
    return "\n".join(lines) + "\n"


def packages(runs: list[dict[str, Any]]) -> dict[str, tuple[float, int]]:
    """The least of several imports: what else the machine does adds to a time and never takes from it."""
    names = {name for run in runs for name in run}
    return {
        name: min((ms, int(count)) for run in runs if name in run for ms, count in [run[name]])
        for name in names
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--on-host", action="store_true", help="measure here, and print JSON")
    parser.add_argument("--environment", default=ENVIRONMENT, help="the environment to start from")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--host", default="worker1", help="a host of the mini-pool $INSTANCE")
    parser.add_argument("--user", default="alice")
    parser.add_argument("--out", type=Path, help="where to write the page")
    wanted = parser.parse_args()
    if wanted.on_host:
        on_host(wanted.environment, wanted.rounds)
        return

    from minipool import ROOT, Minipool

    source = ROOT / "benchmarks/startup_profile.py"
    pool = Minipool.from_environment()
    remote = [
        "sudo",
        "-H",
        "-u",
        wanted.user,
        "python3",
        "-",
        "--on-host",
        "--environment",
        wanted.environment,
    ]
    remote += ["--rounds", str(wanted.rounds)]
    done = subprocess.run(
        ["ssh", "-F", str(pool.state / "ssh_config"), wanted.host, shlex.join(remote)],
        input=source.read_text(encoding="utf-8"), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    page = document(json.loads(done.stdout), wanted.host, wanted.rounds)
    (wanted.out or ROOT / "benchmarks/startup_profile.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
