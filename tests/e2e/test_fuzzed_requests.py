"""Requests that no honest client sends, by the thousand: each is refused with 400, and nothing comes of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote_from_bytes

import hostile
import pytest
import requests
from hubclient import HubUser
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from minipool import Minipool

# The names stand in the inventory of the mini-pool; test_the_names_below_are_those_of_the_inventory checks it.
NAMES = ("regular", "large", "xlarge")
SERVER = "fuzzed"
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "application/xml",
    "application/octet-stream",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "*/*",
    "",
)

FUZZ = effort(
    deadline=None, derandomize=True, database=None, print_blob=False,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


# Prints all that the hub's database holds, by table; when somebody was last active is left out.
DUMP = """
import json, sqlite3
base = sqlite3.connect("file:/var/lib/afhub/hub/jupyterhub.sqlite?mode=ro", uri=True, timeout=10)
tables = [row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
dump = {}
for table in tables:
    cursor = base.execute('SELECT * FROM "%s"' % table)
    names = [column[0] for column in cursor.description]
    dump[table] = sorted(repr([v for n, v in zip(names, row) if n != "last_activity"]) for row in cursor)
print(json.dumps(dump))
"""


def database(pool: Minipool) -> dict[str, list[str]]:
    """The rows of the hub's database, by table."""
    return dict(json.loads(pool.check("hub", f"python3 -c {shlex.quote(DUMP)}")))


@pytest.fixture(scope="module")
def browser(alice: HubUser) -> requests.Session:
    """alice's browser: one connection that is kept, and cookies that no answer changes."""
    page = alice.page("/hub/spawn/alice")
    assert page.status_code == 200
    session = requests.Session()
    session.trust_env = False
    session.verify = str(alice.pool.ca_file)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    cookies = [cookie for cookie in alice.session.cookies if "/hub/".startswith(cookie.path)]
    session.headers["Cookie"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
    session.headers["X-XSRFToken"] = str(alice.session.cookies.get("_xsrf", path="/hub/"))
    return session


@pytest.fixture(scope="module")
def client(alice: HubUser) -> requests.Session:
    """alice's program: one connection that is kept, and her API token."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(alice.pool.ca_file)
    session.headers["Authorization"] = f"token {alice.token}"
    return session


@pytest.fixture(scope="module", autouse=True)
def nothing_came_of_it(pool: Minipool, alice: HubUser, browser: requests.Session) -> Iterator[None]:
    """After all these requests: no job, no row in the database, no traceback in the log, and a hub that answers."""
    alice.stop_all()
    jobs = pool.queue("ClusterId,Owner,AfhubServer")
    before, since = database(pool), pool.check("hub", "date +%s").strip()
    yield
    assert alice.api("GET", "/user").json()["name"] == "alice"
    assert pool.queue("ClusterId,Owner,AfhubServer") == jobs
    assert database(pool) == before
    log = pool.check("hub", f"journalctl -u afhub-hub --since @{since} --no-pager -o cat")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
    assert " 500 " not in log


def refused(answer: requests.Response, alice: HubUser) -> None:
    """The request was refused because of what it asked for, in few words."""
    sent = answer.request
    if answer.ok:
        # What was started would hide the next one.
        alice.stop_all()
    shown = f"{sent.method} {str(sent.url)[:300]} {sent.headers.get('Content-Type')} {str(sent.body)[:300]}"
    assert answer.status_code == 400, f"{answer.status_code} to {shown}\n{answer.text[:500]}"
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        message = answer.json()["message"]
        assert message.isprintable() and len(message) < 400, f"{message!r} to {shown}"


# What an API call may ask for: only these pass.


def may_start(body: Any) -> bool:
    """Whether this body of a POST or PUT is one that the hub takes."""
    options = body
    if isinstance(body, dict) and {"user_options", "display_name"} & set(body):
        if set(body) - {"user_options", "display_name"} or not may_be_shown(body.get("display_name")):
            return False
        options = body.get("user_options")
    return options in (None, {}, *({"notebook_class": name} for name in NAMES))


def may_be_shown(name: Any) -> bool:
    """Whether a server may be called so on the pages: a text that is not from this module's stock of tricks."""
    return name is None or (
        isinstance(name, str) and name.isprintable() and name.strip() == name and len(name) < 100
    )


VALUES = hostile.values(NAMES)
OPTIONS = st.one_of(
    st.fixed_dictionaries({"notebook_class": VALUES}),
    st.fixed_dictionaries({"notebook_class": hostile.texts(NAMES)}),
    st.builds(
        lambda name, key, value: {"notebook_class": name, key: value},
        st.sampled_from(NAMES),
        st.sampled_from(["memory", "nprocs", "runtime", "options", "req_options", "environment", "Owner"])
        | hostile.texts([*NAMES, "notebook_class"]),
        VALUES,
    ),
)
BODIES = st.one_of(
    VALUES,
    OPTIONS,
    OPTIONS.map(lambda options: {"user_options": options}),
    st.builds(lambda options, name: {"user_options": options, "display_name": name}, OPTIONS, VALUES),
    st.builds(lambda options, key: {"user_options": options, key: 1}, OPTIONS, hostile.texts(NAMES)),
)
HONEST: list[Any] = [{"notebook_class": "regular"}, {"user_options": {"notebook_class": "large"}}]
BAD_NAMES = st.one_of(
    hostile.NUMBERS,
    st.booleans(),
    st.lists(hostile.texts(NAMES), max_size=2),
    st.dictionaries(hostile.texts(NAMES), VALUES, max_size=2),
    st.sampled_from(["a\nb", "a\r", "\x00", "\ud800", "\u202ea", "\u2028", "\x1b[2J", "x" * 3000]),
)
BYTES = st.one_of(
    BODIES.filter(lambda body: not may_start(body)).map(hostile.as_json),
    hostile.broken_json(HONEST),
    st.builds(
        lambda key, first, second: hostile.twice(key, first, second),
        st.sampled_from(["notebook_class", "user_options"]),
        hostile.texts(NAMES) | st.sampled_from(NAMES),
        st.sampled_from(NAMES),
    ),
    st.builds(
        lambda size, filler: hostile.as_json({"notebook_class": filler * size}),
        hostile.SIZES,
        st.sampled_from("xй\x00"),
    ),
    hostile.SIZES.map(lambda size: b'{"notebook_class": "regular"}' + b" " * size).filter(
        lambda body: len(body) > hostile.BODY_LIMIT
    ),
    BAD_NAMES.map(
        lambda name: hostile.as_json({"display_name": name, "user_options": {"notebook_class": "regular"}})
    ),
    BAD_NAMES.map(lambda name: hostile.as_json({"display_name": name})),
    st.just(b'{"display_name": "\xff", "user_options": {"notebook_class": "regular"}}'),
)
PATCHES = st.one_of(
    BODIES.filter(lambda body: not may_start(body)).map(lambda body: hostile.as_json({"user_options": body})),
    hostile.broken_json(HONEST),
    BAD_NAMES.map(lambda name: hostile.as_json({"name": name})),
    BAD_NAMES.map(lambda name: hostile.as_json({"display_name": name})),
    BAD_NAMES.map(lambda name: hostile.as_json({"name": "other", "display_name": name})),
    hostile.SIZES.map(lambda size: hostile.as_json({"display_name": "x" * size})),
)


def test_the_names_below_are_those_of_the_inventory(pool: Minipool) -> None:
    assert [row["name"] for row in pool.classes] == list(NAMES)


@effort(FUZZ, max_examples=750)
@given(
    body=BYTES,
    method=st.sampled_from(["POST", "POST", "PUT"]),
    named=st.booleans(),
    content_type=st.sampled_from(CONTENT_TYPES[:1] * 6 + CONTENT_TYPES),
)
def test_the_api_starts_nothing_of_it(
    client: requests.Session, alice: HubUser, body: bytes, method: str, named: bool, content_type: str
) -> None:
    path = f"servers/{SERVER}" if named or method == "PUT" else "server"
    refused(
        client.request(
            method,
            f"{alice.pool.url}/hub/api/users/alice/{path}",
            data=body,
            headers={"Content-Type": content_type},
        ),
        alice,
    )


@effort(FUZZ, max_examples=250)
@given(body=PATCHES)
def test_the_api_keeps_nothing_of_it_for_the_next_start(
    client: requests.Session, alice: HubUser, body: bytes
) -> None:
    refused(client.patch(f"{alice.pool.url}/hub/api/users/alice/server", data=body), alice)


# A form and a link: lists of names and values.

BYTE_TEXTS = st.one_of(
    hostile.texts(NAMES).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(NAMES).map(str.encode),
    st.binary(max_size=20),
)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"notebook_class"] * 3 + [b"memory", b"Owner", b"user_options"]) | BYTE_TEXTS,
        BYTE_TEXTS,
    ),
    min_size=1,
    max_size=4,
).filter(
    lambda fields: (
        not (len(fields) == 1 and fields[0] in [(b"notebook_class", name.encode()) for name in NAMES])
    )
)


def urlencoded(fields: list[tuple[bytes, bytes]], prefix: str = "") -> str:
    return "&".join(
        f"{prefix}{quote_from_bytes(key, '')}={quote_from_bytes(value, '')}" for key, value in fields
    )


def multipart(fields: list[tuple[bytes, bytes]], file_name: str) -> bytes:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (key.replace(b'"', b"%22").replace(b"\r", b"").replace(b"\n", b""), file_name.encode(), value)
        for key, value in fields
    ]
    return b"".join([*parts, b"--x--\r\n"])


FORM = "application/x-www-form-urlencoded"
FORMS = st.one_of(
    FIELDS.map(lambda fields: (FORM, urlencoded(fields).encode())),
    st.builds(
        lambda fields, file_name: ("multipart/form-data; boundary=x", multipart(fields, file_name)),
        FIELDS,
        st.sampled_from(["", '; filename="a.txt"', '; filename="../a"']),
    ),
    st.builds(
        lambda body, content_type: (content_type, hostile.as_json(body)),
        st.sampled_from(HONEST) | OPTIONS,
        st.sampled_from([kind for kind in CONTENT_TYPES if kind != FORM]),
    ),
    hostile.SIZES.map(lambda size: (FORM, b"notebook_class=" + b"x" * size)),
    hostile.SIZES.map(lambda size: (FORM, b"notebook_class=regular&" + b"&" * size)).filter(
        lambda form: len(form[1]) > hostile.BODY_LIMIT
    ),
    st.integers(2, 4000).map(lambda count: (FORM, b"&".join([b"notebook_class=regular"] * count))),
)


@effort(FUZZ, max_examples=550)
@given(form=FORMS)
def test_the_form_starts_nothing_of_it(
    browser: requests.Session, alice: HubUser, form: tuple[str, bytes]
) -> None:
    content_type, body = form
    refused(
        browser.post(
            f"{alice.pool.url}/hub/spawn/alice",
            data=body,
            headers={"Content-Type": content_type},
            allow_redirects=False,
        ),
        alice,
    )


@effort(FUZZ, max_examples=250)
@given(fields=FIELDS, prefix=st.sampled_from(["opt-", "opt-", ""]))
def test_a_link_starts_nothing_of_it(
    browser: requests.Session, alice: HubUser, fields: list[tuple[bytes, bytes]], prefix: str
) -> None:
    query = urlencoded(fields, prefix)
    refused(browser.get(f"{alice.pool.url}/hub/spawn/alice?{query[:3000]}", allow_redirects=False), alice)


@pytest.mark.parametrize(
    "query",
    [
        "opt-notebook_class=regular&memory=900G",
        "opt-notebook_class=regular&notebook_class=large",
        "opt-=regular",
        "opt-notebook_class=regular&opt-",
        "opt-notebook_class=regular&display_name=a%0Ab",
    ],
)
def test_a_link_of_two_minds_starts_nothing(browser: requests.Session, alice: HubUser, query: str) -> None:
    refused(browser.get(f"{alice.pool.url}/hub/spawn/alice?{query}", allow_redirects=False), alice)


@pytest.mark.parametrize(
    "body", [[1], "remove", {"remove": "yes"}, {"remove": True, "more": 1}, 1], ids=json.dumps
)
def test_a_request_to_stop_that_makes_no_sense_is_refused(
    client: requests.Session, alice: HubUser, body: Any
) -> None:
    refused(client.delete(f"{alice.pool.url}/hub/api/users/alice/server", json=body), alice)
