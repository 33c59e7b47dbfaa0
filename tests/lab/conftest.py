"""A plain JupyterLab with our wheel in it, outside any pool."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import chromium
from labpage import LabPage, lab_page
from playwright.sync_api import Browser

from minipool import ROOT, wait_for
from plainlab import Environment, Server, Start

PACKAGE = ROOT / "python/jupyter-afhub"
SUPPORT = Path(__file__).resolve().parent / "support"
JOB_AD = """\
ClusterId = 4711
ProcId = 0
Owner = "alice"
AfhubClass = "regular"
AfhubMemoryLimitMb = 4096
AllowedJobDuration = 7200
JobMaxVacateTime = 30
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources as the role notebook_env builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run(
        [*command, "--wheel-dir", folder, PACKAGE], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that borrows the packages of this one, and has our wheel installed into it."""
    prefix = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(prefix)
    (site,) = prefix.glob("lib/python3*/site-packages")
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(prefix / "bin/python"), "install", "--no-deps"]
    installed = subprocess.run([*command, "--no-index", wheel], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return Environment(prefix)


def _kept_port() -> socket.socket:
    """Nobody else is given its port while it is open; a server, which shares addresses, can listen there."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


@pytest.fixture(scope="module")
def start(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers, with our server extension, with the fake in its place (`fake_afhub`), or with none ("")."""
    running: list[Server] = []

    def start(extension: str = "jupyter_afhub", **variables: str) -> Server:
        home = tmp_path_factory.mktemp("home")
        kept = _kept_port()
        port, token = int(kept.getsockname()[1]), secrets.token_hex(8)
        others = ("fake_afhub", "jupyter_afhub", "jupyter_lsp")
        config = {
            "ServerApp": {
                "jpserver_extensions": {name: name == extension for name in others} | {"notebook": True},
                "token": token,
                "port_retries": 0,
                "root_dir": str(home),
                "allow_root": True,
            },
            "LabApp": {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
            "IdentityProvider": {"token": token},
        }
        news = home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
        news.mkdir(parents=True)
        (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}', encoding="utf-8")
        settings = home / ".config.json"
        settings.write_text(json.dumps(config), encoding="utf-8")
        surroundings = {**environment.variables(), "HOME": str(home), "PYTHONPATH": str(SUPPORT), **variables}
        log = home / ".log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    environment.prefix / "bin/python",
                    *("-m", "jupyterlab", "--no-browser", f"--port={port}", f"--config={settings}"),
                ],
                env=surroundings,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(f"http://127.0.0.1:{port}/", token, home, log, process)
        running.append(server)
        wait_for("the plain JupyterLab answers", server.answers, timeout_s=60)
        kept.close()
        return server

    yield start
    for server in running:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
    for server in running:
        try:
            server.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def in_a_job(tmp_path: Path) -> dict[str, str]:
    """The variables HTCondor and the hub give a job; there is no HTCondor behind them."""
    ad = tmp_path / "job.ad"
    ad.write_text(JOB_AD, encoding="utf-8")
    return {
        "_CONDOR_JOB_AD": str(ad),
        "_CONDOR_SCRATCH_DIR": str(tmp_path),
        "AFHUB_CLASS_TITLE": "Regular",
    }


@pytest.fixture(scope="module")
def faked(start: Start) -> Server:
    """A server with the fake."""
    return start("fake_afhub")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[LabPage]:
    with lab_page(browser) as tab:
        yield tab


@pytest.fixture
def lab(faked: Server, tab: LabPage) -> LabPage:
    """Lab on a server with the fake, where all is well."""
    faked.say(calm=True)
    tab.open(faked.address())
    tab.wait_for_status()
    # Its words come with the first answer, before the stream is open that messages go through.
    wait_for("the Lab listens", lambda: faked.heard("visible"), every_s=0.1)
    return tab
