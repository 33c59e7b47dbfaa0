"""`afhub-notebook`: what HTCondor starts for a user's notebook, launcher and server in one process."""

from __future__ import annotations

import argparse
import gc
import os
import pwd
import socket
import sys
import time
from pathlib import Path

from jupyter_afhub import __version__, batchtoken, environment, imports, logs, ports

EXIT_FAILED = 1
EXIT_NO_HUB = 2


def main(argv: list[str] | None = None) -> int:
    """Run a notebook server until it is stopped; the exit code is one of the README's."""
    parser = argparse.ArgumentParser(
        prog="afhub-notebook",
        description="Runs a notebook as an HTCondor job of a JupyterHub, which starts it.",
        epilog="Further options go to Jupyter Server.",
    )
    parser.add_argument("--version", action="version", version=f"afhub-notebook {__version__}")
    _, server_options = parser.parse_known_args(argv)

    absent = environment.missing(os.environ)
    if absent:
        print(
            "afhub-notebook: this is the notebook server that a JupyterHub starts as an HTCondor job, "
            f"and no hub started it: {', '.join(absent)} not set. "
            "To work in a notebook, log in to the hub with a browser.",
            file=sys.stderr,
        )
        return EXIT_NO_HUB

    entry = pwd.getpwuid(os.getuid())
    account = environment.Account(entry.pw_name, entry.pw_dir, entry.pw_shell)
    os.environ.update(environment.for_account(os.environ, account, str(Path(sys.prefix) / "bin")))
    try:
        _redirect_output(account)
    except OSError as error:
        print(f"afhub-notebook: {error}", file=sys.stderr)
        return EXIT_FAILED

    try:
        batchtoken.keep(os.environ)
    except (OSError, ValueError) as error:
        _say(f"the token for the batch pool could not be kept, so no work can be sent there: {error}")
    slot = os.environ.get("_CONDOR_SLOT", "-")
    _say(f"afhub-notebook {__version__} for {account.name} on {socket.gethostname()}, slot {slot}")
    try:
        os.chdir(account.home)
        port, sockets = ports.listen(ports.PortRange.parse(os.environ[ports.VARIABLE]))
    except OSError as error:
        _say(f"the home folder {account.home} of {account.name} can't be used on this host: {error.strerror}")
        return EXIT_FAILED
    except ports.PortError as error:
        _say(str(error))
        return EXIT_FAILED
    _say(f"listening on port {port}")
    os.environ["JUPYTERHUB_SERVICE_URL"] = environment.service_url(os.environ, port)
    os.environ.setdefault("JUPYTERHUB_ROOT_DIR", account.home)

    # Only now: everything above is done within milliseconds, this takes most of the start. Almost nothing of what it
    # makes is ever garbage, and looking for some takes a tenth of it: the server switches the collector on again.
    gc.disable()
    imports.load()
    from jupyter_afhub.hub import server

    return server.run(port, sockets, server_options)


def _redirect_output(account: environment.Account) -> None:
    """Make the log the standard output and error of this process and of every kernel."""
    job = environment.job_number(os.environ) or str(os.getpid())
    candidates = logs.folders(account.home, os.environ.get("_CONDOR_SCRATCH_DIR"))
    descriptor, path = logs.open_log(candidates, os.environ.get("JUPYTERHUB_SERVER_NAME", ""), job)
    if sys.stderr.isatty():
        print(f"afhub-notebook: log in {path}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.environ["AFHUB_LOG"] = str(path)


def _say(text: str) -> None:
    """One line for the log, before Jupyter's own logging exists."""
    print(time.strftime("[%Y-%m-%d %H:%M:%S] ") + text, file=sys.stderr, flush=True)
