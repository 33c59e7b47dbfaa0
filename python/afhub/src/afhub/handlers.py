"""JupyterHub's start requests, with options checked before anything is stored.

JupyterHub hands options to the spawner only after it has written them to its database. These handlers refuse
them at the door; the spawner checks again.
"""

from __future__ import annotations

from typing import Any

from jupyterhub import apihandlers
from jupyterhub import handlers as pages
from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.handlers.pages import SpawnHandler
from tornado.web import HTTPError

from afhub import api
from afhub.options import OptionsError, chosen_class
from afhub.spawner import NotebookSpawner

_SERVER_FIELDS = {"display_name", "user_options"}
_PATCH_FIELDS = {"name", "display_name", "user_options"}
#: Longest body of a start request, in bytes.
BODY_LIMIT = 16 * 1024


def _check_options(options: object) -> None:
    try:
        chosen_class(NotebookSpawner.settings, options)
    except OptionsError as error:
        raise HTTPError(400, str(error)) from error


def _check_size(handler: Any) -> None:
    if len(handler.request.body) > BODY_LIMIT:
        raise HTTPError(400, "The request is too long")


class NotebookServerAPIHandler(UserServerAPIHandler):
    """Start, create and edit servers over the API."""

    def get_server_json_body(self) -> dict[str, Any]:
        """The body of a start. ``{}`` asks for the default class, no body at all for the one of last time."""
        _check_size(self)
        body = self.get_json_body()
        if body is None:
            return {"display_name": None, "user_options": None}
        if not isinstance(body, dict):
            raise HTTPError(400, "Body must be a JSON object")
        if _SERVER_FIELDS.isdisjoint(body):
            # An older way to start: the body itself is the options.
            body = {"user_options": body}
        unknown = sorted(set(body) - _SERVER_FIELDS)
        if unknown:
            raise HTTPError(400, f"Unknown field {unknown[0][:60]!r}")
        display_name = body.get("display_name")
        if display_name is not None and not isinstance(display_name, str):
            raise HTTPError(400, "display_name must be a string")
        options = body.get("user_options")
        if options is not None:
            _check_options(options)
        return {"display_name": display_name, "user_options": options}

    async def patch(self, user_name: str, server_name: str = "") -> None:
        """Edit a server that does not run."""
        _check_size(self)
        body = self.get_json_body()
        if not isinstance(body, dict) or not body:
            raise HTTPError(400, "Body must be a JSON object with at least one field")
        unknown = sorted(set(body) - _PATCH_FIELDS)
        if unknown:
            raise HTTPError(400, f"Unknown field {unknown[0][:60]!r}")
        if "user_options" in body:
            _check_options(body["user_options"])
        await super().patch(user_name, server_name)


class NotebookSpawnHandler(SpawnHandler):
    """The spawn page and its form."""

    async def prepare(self) -> None:
        """Refuse what is no text before JupyterHub decodes it."""
        await super().prepare()
        _check_size(self)
        for arguments in (self.request.query_arguments, self.request.body_arguments):
            for values in arguments.values():
                for value in values:
                    try:
                        value.decode("utf-8")
                    except UnicodeDecodeError as error:
                        raise HTTPError(400, "The request holds bytes that are no UTF-8 text") from error


def install() -> None:
    """Put these handlers in the place of JupyterHub's and batchspawner's. Doing so again changes nothing."""
    # batchspawner adds its own route when it is imported, which afhub.spawner did.
    apihandlers.default_handlers[:] = [
        *(
            (path, NotebookServerAPIHandler if handler is UserServerAPIHandler else handler, *rest)
            for path, handler, *rest in apihandlers.default_handlers
            if path != api.ROUTE
        ),
        (api.ROUTE, api.PortReportHandler),
    ]
    pages.default_handlers[:] = [
        (path, NotebookSpawnHandler if handler is SpawnHandler else handler, *rest)
        for path, handler, *rest in pages.default_handlers
    ]
