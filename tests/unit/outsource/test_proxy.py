"""The proxy's address in Jupyter Server, which looks for a log-in in every handler that it is given."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from unittest.mock import Mock

import pytest
from jupyter_server.serverapp import ServerWebApplication
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

from afhub_outsource import proxy

# In the place of the one that needs jupyter-server-proxy.
OwnPortHandler = type("OwnPortHandler", (RequestHandler,), {})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Application:
    handler = ModuleType("afhub_outsource.proxy_handler")
    monkeypatch.setattr(handler, "OwnPortHandler", OwnPortHandler, raising=False)
    monkeypatch.setitem(sys.modules, "afhub_outsource.proxy_handler", handler)
    application: Application = ServerWebApplication.__new__(ServerWebApplication)
    Application.__init__(application, base_url="/user/ann/", allow_unauthenticated_access=False)
    proxy._load_jupyter_server_extension(SimpleNamespace(web_app=application))
    return application


def found(server: Application, uri: str) -> tuple[object, list[bytes]]:
    request = HTTPServerRequest(
        connection=Mock(),
        headers=HTTPHeaders({"Host": "localhost"}),
        start_line=RequestStartLine("GET", uri, "HTTP/1.1"),
    )
    delegate = server.find_handler(request)
    return getattr(delegate, "handler_class", None), list(getattr(delegate, "path_args", []))


@pytest.mark.parametrize(
    ("uri", "arguments"),
    [
        ("/user/ann/proxy/8787/status", [b"8787", b"/status"]),
        ("/user/ann/proxy/8787/", [b"8787", b"/"]),
        ("/user/ann/proxy/8787", [b"8787", b""]),
    ],
)
def test_a_port_has_an_address(server: Application, uri: str, arguments: list[bytes]) -> None:
    assert found(server, uri) == (OwnPortHandler, arguments)


@pytest.mark.parametrize(
    "uri", ["/user/ann/proxy/other.host:80/", "/user/ann/proxy/absolute/8787/", "/user/ann/api"]
)
def test_nothing_else_is_its_business(server: Application, uri: str) -> None:
    assert found(server, uri)[0] is not OwnPortHandler
