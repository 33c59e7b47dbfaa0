"""A port report is a port in range, once, from the pending server itself; everything else is refused."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from jupyterhub import apihandlers
from jupyterhub import handlers as pages

from afhub import handlers
from afhub.api import ROUTE, PortReportHandler, ReportError, parse_report
from afhub.settings import PortRange
from hub_fakes import FakeCondor, Hub

RANGE = PortRange(first=40000, last=40999)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(40000, 40999).map(str)
)


@pytest.mark.parametrize("port", [40000, 40500, 40999])
def test_a_port_in_range_is_taken(port: int) -> None:
    assert parse_report(json.dumps({"port": port}).encode(), RANGE) == port


@effort(max_examples=500, deadline=None)
@given(
    body=st.binary(max_size=80)
    | (SCALARS | st.lists(SCALARS) | st.dictionaries(st.sampled_from(["port", "ip", "x"]), SCALARS)).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_nothing_but_a_port_in_range_is_taken(body: bytes) -> None:
    try:
        port = parse_report(body, RANGE)
    except ReportError:
        return
    assert json.loads(body) == {"port": port}
    assert type(port) is int
    assert port in RANGE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[40001]",
        b'{"port": 39999}',
        b'{"port": 41000}',
        b'{"port": true}',
        b'{"port": 40001.0}',
        b'{"port": "40001"}',
        b'{"port": 40001, "ip": "10.0.0.1"}',
        b'{"port": 40001, "port": 40002}',
        b"[" * 200,
        b'{"port": 40001}' + b" " * 300,
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(ReportError):
        parse_report(body, RANGE)


def test_a_report_is_taken_once_and_only_while_the_start_is_pending(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        assert not spawner.awaits_port
        with pytest.raises(ValueError, match="expected"):
            spawner.accept_port(40001)
        start = asyncio.ensure_future(spawner.start())
        while not spawner.job_id:
            await asyncio.sleep(0.005)
        with pytest.raises(ValueError, match="expected"):
            spawner.accept_port(22)
        spawner.accept_port(40001)
        with pytest.raises(ValueError, match="expected"):
            spawner.accept_port(40002)
        start.cancel()
        assert spawner.port == 40001

    asyncio.run(scenario())


def test_only_the_servers_own_token_is_known(hub: Hub, condor: FakeCondor) -> None:
    async def scenario() -> None:
        spawner = hub.spawner()
        assert not spawner.knows_token("")
        start = asyncio.ensure_future(spawner.start())
        while not spawner.job_id:
            await asyncio.sleep(0.005)
        assert spawner.knows_token("secret-token")
        assert not spawner.knows_token("other-token")
        start.cancel()
        spawner.clear_state()
        assert not spawner.knows_token("secret-token")
        assert not spawner.knows_token("")

    asyncio.run(scenario())


def test_the_stock_route_is_replaced() -> None:
    handlers.install()
    handlers.install()
    routes = [(path, handler) for path, handler, *_ in apihandlers.default_handlers]
    assert [handler for path, handler in routes if path == ROUTE] == [PortReportHandler]
    starts = {handler for path, handler in routes if path.endswith(("/server", "/servers/([^/]*)"))}
    assert starts == {handlers.NotebookServerAPIHandler}
    assert {handler for path, handler, *_ in pages.default_handlers if path.startswith("/spawn/")} == {
        handlers.NotebookSpawnHandler
    }
