"""Who gets in, and how what he carries is protected on the way."""

from __future__ import annotations

import json
from http.cookiejar import Cookie
from typing import Any, cast

import pytest
import requests
from hubclient import HubUser

from minipool import Minipool


def test_the_right_password_works(pool: Minipool) -> None:
    alice = HubUser(pool, "alice")
    answer = alice.login()
    assert answer.status_code == 302, answer.text
    assert alice.api("GET", "/user").json()["name"] == "alice"
    home = alice.page("/hub/home")
    assert home.status_code == 200
    assert home.url.endswith("/hub/home"), "the browser was sent back to the login page"


@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", "bob"), ("alice", ""), ("mallory", "mallory"), ("root", "root"), ("", "")],
)
def test_a_wrong_password_and_an_unknown_account_are_refused(
    pool: Minipool, name: str, password: str
) -> None:
    stranger = HubUser(pool, name)
    answer = stranger.login(password)
    assert answer.status_code == 403
    assert "Invalid username or password" in answer.text
    assert {cookie.name for cookie in stranger.session.cookies} == {"_xsrf"}
    assert stranger.page("/hub/home").url.partition("?")[0].endswith("/hub/login")


def test_a_login_that_another_site_sends_is_refused(pool: Minipool) -> None:
    stranger = HubUser(pool, "alice")
    answer = requests.post(
        f"{pool.url}/hub/login",
        data={"username": "alice", "password": "alice"},
        headers={"Origin": "https://elsewhere.example.org", "Sec-Fetch-Site": "cross-site"},
        verify=str(pool.ca_file),
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code == 403, answer.text
    assert not stranger.token
    assert "jupyterhub-hub-login" not in answer.cookies


def test_cookies_go_over_https_alone_and_scripts_do_not_see_the_login(
    pool: Minipool, alices_notebook: HubUser
) -> None:
    """Those of the hub and those of her notebook."""
    alice = HubUser(pool, "alice")
    alice.login()
    assert alice.page("/user/alice/lab").status_code == 200
    cookies = cast("list[Cookie]", list(alice.session.cookies))
    names = {(cookie.path, cookie.name) for cookie in cookies}
    assert {("/hub/", "jupyterhub-hub-login"), ("/", "jupyterhub-session-id"), ("/hub/", "_xsrf")} <= names
    assert {("/user/alice/", "jupyterhub-user-alice"), ("/user/alice/", "_xsrf")} <= names, names
    for cookie in cookies:
        assert cookie.secure, f"{cookie.name} would go over plain http"
        assert cookie.get_nonstandard_attr("SameSite") in ("Lax", "Strict"), cookie.name
        if cookie.name != "_xsrf":
            assert cookie.has_nonstandard_attr("HttpOnly"), f"a script can read {cookie.name}"


@pytest.mark.parametrize("token", ["", "0" * 32])
@pytest.mark.parametrize("path", ["/user", "/users", "/users/alice", "/proxy", "/info"])
def test_the_api_wants_a_token(pool: Minipool, path: str, token: str) -> None:
    answer = requests.get(
        f"{pool.url}/hub/api{path}",
        headers={"Authorization": f"token {token}"} if token else {},
        verify=str(pool.ca_file),
        timeout=60,
    )
    assert answer.status_code in (401, 403), answer.text


def asked(pool: Minipool, address: str) -> dict[str, Any]:
    """Status and headers of what a host of the site gets from an address of the hub, by the hub's own name."""
    script = (
        "import http.client, json, sys; from urllib.parse import urlsplit; u = urlsplit(sys.argv[1]);"
        "kind = http.client.HTTPSConnection if u.scheme == 'https' else http.client.HTTPConnection;"
        "c = kind(u.netloc, timeout=20);"
        "c.request('GET', u.path); r = c.getresponse();"
        "print(json.dumps({'status': r.status, **{k.lower(): v for k, v in r.getheaders()}}))"
    )
    return dict(json.loads(pool.check("worker1", f"python3 -c \"{script}\" '{address}'")))


def test_plain_http_leads_to_https(pool: Minipool) -> None:
    answer = asked(pool, "http://hub.af.test/hub/login")
    assert (answer["status"], answer["location"]) == (301, "https://hub.af.test/hub/login")


@pytest.mark.parametrize("path", ["/", "/hub", "/hub/", "/user/alice/lab", "/no-such-page"])
def test_a_browser_stays_with_the_name_and_port_that_it_was_given(pool: Minipool, path: str) -> None:
    """The address that make up prints is not the hub's own name."""
    answer = requests.get(f"{pool.url}{path}", verify=str(pool.ca_file), timeout=60, allow_redirects=False)
    assert answer.is_redirect, answer.status_code
    location = answer.headers["Location"]
    assert location.startswith(("/", f"{pool.url}/")), location


def test_a_browser_remembers_that_the_hub_speaks_https_alone(pool: Minipool) -> None:
    """For the hub's own name, which the worker reaches with a certificate that it trusts."""
    answer = asked(pool, "https://hub.af.test/hub/login")
    assert answer["status"] == 200
    setting, _, seconds = answer["strict-transport-security"].partition("=")
    assert setting == "max-age" and int(seconds) >= 180 * 86400, answer
    assert answer["x-content-type-options"] == "nosniff"


def test_other_names_of_this_machine_do_not_become_https_alone(pool: Minipool) -> None:
    """HSTS counts for a name whatever the port: localhost serves other programs as well."""
    answer = requests.get(f"{pool.url}/hub/login", verify=str(pool.ca_file), timeout=60)
    assert "Strict-Transport-Security" not in answer.headers


def test_a_name_that_is_not_the_hubs_does_not_reach_it(pool: Minipool) -> None:
    answer = requests.get(
        f"{pool.url}/hub/login",
        headers={"Host": "elsewhere.example.org"},
        verify=str(pool.ca_file),
        timeout=60,
    )
    assert answer.status_code == 421
