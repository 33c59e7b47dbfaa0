"""Port reports that no notebook sends, while one is expected: each is refused, and the notebook's own still counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hostile
import pytest
import requests
from breakage import no_matches
from hubclient import HubUser
from hypothesis import HealthCheck, example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from minipool import Minipool, wait_for

SERVER = "reporting"
TOKEN = re.compile(r"JUPYTERHUB_API_TOKEN='?(\w{32,})")
FIRST, LAST = 40000, 40999
HONEST = [{"port": FIRST}, {"port": LAST}]

FUZZ = effort(
    deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@dataclass(frozen=True)
class Reporter:
    """One connection that is kept, and the API token of a server whose start waits in the queue."""

    session: requests.Session
    address: str
    token: str

    def report(self, body: bytes, authorization: str | None = None) -> requests.Response:
        header = f"token {self.token}" if authorization is None else authorization
        return self.session.post(self.address, data=body, headers={"Authorization": header} if header else {})


@pytest.fixture(scope="module")
def reporter(pool: Minipool, alice: HubUser) -> Iterator[Reporter]:
    """alice's start that waits for a slot. After the tests it gets one, and its own report has to count."""
    since = pool.check("hub", "date +%s").strip()

    def token() -> str:
        ads = pool.queue("Owner,AfhubServer,Environment")
        mine = [ad for ad in ads if (ad["Owner"], ad.get("AfhubServer")) == ("alice", SERVER)]
        found = TOKEN.search(mine[0]["Environment"]) if mine else None
        return found[1] if found else ""

    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(pool.ca_file)
        with no_matches(pool):
            alice.ask({"notebook_class": "regular"}, SERVER)
            yield Reporter(
                session, f"{pool.url}/hub/api/batchspawner", wait_for("alice's job waits in the queue", token)
            )
            assert alice.job(SERVER)["JobStatus"] == 1, "the notebook should still wait for a slot"
        assert alice.wait_until_ready(SERVER)["ready"]
        assert alice.notebook("GET", f"{SERVER}/api/status").status_code == 200
        alice.stop(SERVER)
    log = pool.check("hub", f"journalctl -u afhub-hub --since @{since} --no-pager -o cat")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]


def counts(body: Any) -> bool:
    """Whether this is a port report."""
    return (
        isinstance(body, dict)
        and list(body) == ["port"]
        and type(body["port"]) is int
        and FIRST <= body["port"] <= LAST
    )


NAMES = ("port", str(FIRST))
PORTS = st.one_of(
    hostile.NUMBERS,
    hostile.texts(NAMES),
    st.sampled_from(
        [FIRST - 1, LAST + 1, -FIRST, FIRST + 0.5, float(FIRST), f"{FIRST}", True, None, [FIRST], 22, 8081]
    ),
)
BODIES = st.one_of(
    hostile.values(NAMES),
    PORTS.map(lambda port: {"port": port}),
    st.builds(
        lambda key, value: {"port": FIRST, key: value},
        st.sampled_from(["ip", "host", "hostname", "job_id", "url", "user", "server", "PORT"])
        | hostile.texts(NAMES),
        hostile.values(NAMES),
    ),
    hostile.texts(NAMES).map(lambda key: {key: FIRST}),
)
BYTES = st.one_of(
    BODIES.filter(lambda body: not counts(body)).map(hostile.as_json),
    hostile.broken_json(HONEST),
    st.just(b'{"port": 40000, "port": 40001}'),
    st.integers(300, 40_000).map(lambda size: b'{"port": 40000' + b" " * size + b"}"),
)


def test_the_range_above_is_that_of_the_inventory(pool: Minipool) -> None:
    assert pool.host_vars("hub")["notebook_port_range"] == {"first": FIRST, "last": LAST}


@effort(FUZZ, max_examples=250)
@given(body=BYTES)
@example(body=b"")
def test_anything_but_a_port_in_the_range_is_refused(reporter: Reporter, body: bytes) -> None:
    answer = reporter.report(body)
    assert answer.status_code == 400, f"{answer.status_code} to {body[:300]!r}\n{answer.text[:500]}"
    message = answer.json()["message"]
    assert message.isprintable() and len(message) < 400


HEADER_TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60).map(str.strip)


@effort(FUZZ, max_examples=100)
@given(
    kind=st.sampled_from(["token ", "Bearer ", "Basic ", "token", ""]),
    secret=st.one_of(HEADER_TEXTS, st.text("0123456789abcdef", min_size=31, max_size=33)),
    body=st.sampled_from([hostile.as_json(body) for body in HONEST]) | BYTES,
)
def test_a_stranger_is_refused_whatever_he_reports(
    reporter: Reporter, kind: str, secret: str, body: bytes
) -> None:
    answer = reporter.report(body, (kind + secret).strip())
    assert answer.status_code == 403, f"{answer.status_code} to {kind}{secret!r}\n{answer.text[:500]}"


@pytest.mark.parametrize("change", ["upper", "shortened", "lengthened", "reversed"])
def test_what_is_nearly_the_token_of_the_server_is_refused(reporter: Reporter, change: str) -> None:
    token = reporter.token
    near = {
        "upper": token.upper() if token.upper() != token else token[::-1],
        "shortened": token[:-1],
        "lengthened": f"{token}0",
        "reversed": token[::-1],
    }[change]
    assert reporter.report(hostile.as_json(HONEST[0]), f"token {near}").status_code == 403


@effort(FUZZ, max_examples=40)
@given(body=st.sampled_from([hostile.as_json(body) for body in HONEST]) | BYTES)
def test_the_tokens_of_users_are_refused_whatever_they_report(
    reporter: Reporter, alice: HubUser, bob: HubUser, body: bytes
) -> None:
    for user in (alice, bob):
        assert reporter.report(body, f"token {user.token}").status_code == 403
