"""JupyterHub's whole configuration, made from the settings file."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from jupyterhub.app import JupyterHub

from afhub import settings as settings_module
from afhub.api import BackchannelHandler
from afhub.backchannel import Backchannel
from afhub.condor import use_tokens
from afhub.handlers import CULLER, install
from afhub.notices import Ledger
from afhub.pages import Pages
from afhub.pool import Pool
from afhub.reconciler import Reconciler
from afhub.settings import Settings, SettingsError
from afhub.spawner import NotebookSpawner
from afhub.waiting import until

#: How often the hub looks at each notebook's state, in seconds, should the event log have told it nothing. All of
#: them share one query.
POLL_INTERVAL_S = 60
CULL_INTERVAL_S = 300


def configure(c: Any, path: Path | str = settings_module.DEFAULT_PATH) -> Settings:
    """Set everything in JupyterHub's config object and return the settings.

    Raises :class:`afhub.settings.SettingsError`. A site's own lines go after this call and win over it.
    """
    settings = settings_module.load(path)
    use_tokens(settings.condor.tokens_dir)
    NotebookSpawner.settings = settings
    NotebookSpawner.pool = Pool(settings)
    BackchannelHandler.backchannel = Backchannel(NotebookSpawner.pool, Ledger(settings.state_dir))
    install()
    _network(c, settings)
    _state(c, settings)
    _login(c, settings)
    _notebooks(c, settings)
    _culler(c, settings)
    _background(settings, NotebookSpawner.pool)
    return settings


def _secret(settings: Settings, name: str) -> str:
    path = settings.secrets_dir / name
    try:
        secret = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror or error}") from error
    if not secret:
        raise SettingsError(f"{path}: is empty: remove it and deploy again, so that it is made anew")
    return secret


def _network(c: Any, settings: Settings) -> None:
    """Everything on loopback: TLS ends in front of the proxy, which is a service of its own."""
    bind = settings.bind
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{bind.hub_port}"
    c.JupyterHub.bind_url = f"http://127.0.0.1:{bind.public_port}"
    c.JupyterHub.public_url = f"{settings.public_url}/"
    c.JupyterHub.proxy_class = "configurable-http-proxy"
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{bind.proxy_api_port}"
    c.ConfigurableHTTPProxy.auth_token = _secret(settings, "proxy_token")
    # The way is browser, TLS front, proxy, hub; both hops before the hub are on this host.
    c.JupyterHub.trusted_downstream_ips = ["127.0.0.1", "::1"]
    c.JupyterHub.tornado_settings = {
        # The hub itself sees plain http, so it has to be told that browsers do not.
        "cookie_options": {"secure": True, "samesite": "Lax"},
        "headers": {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"},
    }
    c.JupyterHub.template_paths = [str(files("afhub").joinpath("templates"))]
    c.JupyterHub.template_vars = {
        "afhub": lambda viewer: Pages(settings, NotebookSpawner.pool, "/hub/", viewer),
    }


def _state(c: Any, settings: Settings) -> None:
    """What survives a restart: the hub leaves notebooks and proxy alone when it stops."""
    c.JupyterHub.db_url = settings.database_url
    c.JupyterHub.cookie_secret_file = str(settings.secrets_dir / "cookie_secret")
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.cleanup_proxy = False
    c.JupyterHub.shutdown_on_logout = False
    # Serve requests while the states of many notebooks are still being checked.
    c.JupyterHub.init_spawners_timeout = 5
    # Notebooks say themselves when they were used. For the route table an open browser tab is activity, and so is every
    # figure that its status bar gets.
    c.JupyterHub.last_activity_interval = 0


def _login(c: Any, settings: Settings) -> None:
    login = settings.login
    c.JupyterHub.authenticator_class = "pam"
    c.PAMAuthenticator.service = login.pam_service
    # Sessions belong where the notebook runs; an unprivileged hub can't open them anyway.
    c.PAMAuthenticator.open_sessions = False
    c.PAMAuthenticator.check_account = True
    c.Authenticator.allow_all = login.allow_all
    c.Authenticator.allowed_users = set(login.allowed_users)
    c.LocalAuthenticator.allowed_groups = set(login.allowed_groups)
    c.Authenticator.admin_users = set(login.admin_users)
    c.Authenticator.blocked_users = set(settings.limits.refused_users)
    # Only the settings decide: who is taken off the list is out, also with an account in the database.
    c.Authenticator.allow_existing_users = False
    c.Authenticator.delete_invalid_users = False


def _notebooks(c: Any, settings: Settings) -> None:
    limits = settings.limits
    c.JupyterHub.spawner_class = NotebookSpawner
    c.JupyterHub.allow_named_servers = limits.max_per_user > 1
    # The server without a name counts as well.
    c.JupyterHub.named_server_limit_per_user = limits.max_per_user - 1
    c.JupyterHub.concurrent_spawn_limit = 100
    c.NotebookSpawner.hub_connect_url = settings.public_url
    c.NotebookSpawner.start_timeout = limits.start_timeout_s
    c.NotebookSpawner.http_timeout = 60
    c.NotebookSpawner.poll_interval = POLL_INTERVAL_S
    c.NotebookSpawner.consecutive_failure_limit = 0
    c.NotebookSpawner.env_keep = []
    # Users share one origin: what is served under their address comes from the deployed environment, not
    # from a configuration file that a program could leave in their home folder. Their kernels and Lab
    # settings stay.
    c.NotebookSpawner.disable_user_config = True
    c.NotebookSpawner.default_url = "/lab"


def _culler(c: Any, settings: Settings) -> None:
    """Stop notebooks that nobody used for a while. ``idle_timeout_s`` 0 switches it off."""
    if settings.limits.idle_timeout_s == 0:
        return
    name = CULLER
    every = min(CULL_INTERVAL_S, max(10, settings.limits.idle_timeout_s // 2))
    c.JupyterHub.services = [
        {
            "name": name,
            "command": [
                sys.executable,
                "-m",
                "jupyterhub_idle_culler",
                f"--timeout={settings.limits.idle_timeout_s}",
                f"--cull-every={every}",
            ],
            "environment": {"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        }
    ]
    c.JupyterHub.load_roles = [
        {
            "name": name,
            "description": "Stop notebooks that nobody uses",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": [name],
        }
    ]


#: Tasks of the hub's event loop; the loop itself holds them weakly.
_tasks: set[asyncio.Task[None]] = set()


def _background(settings: Settings, pool: Pool) -> None:
    """Follow the event log and compare queue and database, as soon as this is a running hub."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # The configuration is only looked at.
        return
    task = loop.create_task(_when_up(settings, pool))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _when_up(settings: Settings, pool: Pool) -> None:
    await until(lambda: JupyterHub.initialized() and JupyterHub.instance().http_server is not None, 0.2)
    app = JupyterHub.instance()
    # Into the hub's own log, in its form.
    logger = logging.getLogger("afhub")
    logger.parent = app.log
    logger.setLevel(app.log.level)
    pool.watch()
    await asyncio.gather(
        BackchannelHandler.backchannel.watch(),
        Reconciler(pool, lambda: app.db, lease_s=settings.condor.lease_s).run(),
    )
