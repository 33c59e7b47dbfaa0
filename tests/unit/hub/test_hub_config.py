"""JupyterHub's configuration follows the settings, and the hub keeps its doors on loopback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.auth import PAMAuthenticator
from jupyterhub.proxy import ConfigurableHTTPProxy
from traitlets.config import Config

from afhub.hub_config import configure
from afhub.settings import SettingsError
from afhub.spawner import NotebookSpawner


@pytest.fixture
def configured(data: dict[str, Any], tmp_path: Path) -> Config:
    (tmp_path / "proxy_token").write_text("proxy-secret\n")
    data["secrets_dir"] = str(tmp_path)
    return _configure(data, tmp_path)


def _configure(data: dict[str, Any], folder: Path) -> Config:
    path = folder / "settings.json"
    path.write_text(json.dumps(data))
    c = Config()
    configure(c, path)
    return c


def test_every_name_that_is_set_exists(configured: Config) -> None:
    known = {
        "JupyterHub": JupyterHub,
        "ConfigurableHTTPProxy": ConfigurableHTTPProxy,
        "NotebookSpawner": NotebookSpawner,
        "PAMAuthenticator": PAMAuthenticator,
        "LocalAuthenticator": PAMAuthenticator,
        "Authenticator": PAMAuthenticator,
    }
    assert set(configured) == set(known)
    for section, cls in known.items():
        for name in configured[section]:
            assert cls.class_traits(config=True).get(name) is not None, f"{section}.{name}"


def test_only_loopback_is_bound(configured: Config) -> None:
    assert configured.JupyterHub.hub_bind_url == "http://127.0.0.1:8081"
    assert configured.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8001"
    assert configured.ConfigurableHTTPProxy.auth_token == "proxy-secret"
    assert configured.ConfigurableHTTPProxy.should_start is False
    assert configured.NotebookSpawner.hub_connect_url == "https://hub.example.org"


def test_a_restart_of_the_hub_drops_nobody(configured: Config) -> None:
    assert configured.JupyterHub.cleanup_servers is False
    assert configured.JupyterHub.cleanup_proxy is False
    assert configured.JupyterHub.shutdown_on_logout is False


def test_the_limit_counts_the_server_without_a_name(configured: Config) -> None:
    assert configured.JupyterHub.allow_named_servers is True
    assert configured.JupyterHub.named_server_limit_per_user == 2


def test_one_notebook_per_user_means_no_named_servers(data: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "proxy_token").write_text("x")
    data.update(secrets_dir=str(tmp_path), limits={"max_per_user": 1})
    assert _configure(data, tmp_path).JupyterHub.allow_named_servers is False


def test_refused_users_can_not_log_in(configured: Config) -> None:
    assert configured.Authenticator.blocked_users == {"root"}
    assert configured.Authenticator.allow_all is False


def test_the_culler_may_do_no_more_than_it_must(configured: Config) -> None:
    (role,) = configured.JupyterHub.load_roles
    assert role["services"] == ["idle-culler"]
    assert set(role["scopes"]) == {"list:users", "read:users:activity", "read:servers", "delete:servers"}
    assert "--timeout=14400" in configured.JupyterHub.services[0]["command"]


def test_an_open_browser_tab_alone_is_no_activity(configured: Config) -> None:
    assert configured.JupyterHub.last_activity_interval == 0


def test_no_culler_without_an_idle_timeout(data: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "proxy_token").write_text("x")
    data.update(secrets_dir=str(tmp_path), limits={"idle_timeout_s": 0})
    assert "services" not in _configure(data, tmp_path).JupyterHub


def test_cookies_are_for_https_only(configured: Config) -> None:
    assert configured.JupyterHub.tornado_settings["cookie_options"] == {"secure": True, "samesite": "Lax"}


def test_a_missing_or_empty_secret_is_named(data: dict[str, Any], tmp_path: Path) -> None:
    data["secrets_dir"] = str(tmp_path)
    with pytest.raises(SettingsError, match="proxy_token: can't be read"):
        _configure(data, tmp_path)
    (tmp_path / "proxy_token").write_text("\n")
    with pytest.raises(SettingsError, match="proxy_token: is empty"):
        _configure(data, tmp_path)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CONDOR_SEC_TOKEN_DIRECTORY", "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
