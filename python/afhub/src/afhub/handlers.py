"""JupyterHub's start requests, with options checked before anything is stored.

JupyterHub hands options to the spawner only after it has written them to its database. These handlers refuse
them at the door; the spawner checks again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterhub import apihandlers, orm
from jupyterhub import handlers as pages
from jupyterhub.apihandlers.users import SpawnProgressAPIHandler, UserServerAPIHandler
from jupyterhub.handlers.pages import SpawnHandler
from jupyterhub.scopes import needs_scope
from tornado.httputil import url_concat
from tornado.web import HTTPError, authenticated

from afhub import api
from afhub.bodies import BodyError, read_json
from afhub.options import OptionsError, chosen_class, from_form
from afhub.outcomes import Outcome
from afhub.spawner import NotebookSpawner
from afhub.waiting import until

_SERVER_FIELDS = {"display_name", "user_options"}
_PATCH_FIELDS = {"name", "display_name", "user_options"}
#: Longest body of a start request, and longest query of a link, in bytes.
BODY_LIMIT = 16 * 1024
QUERY_LIMIT = 2 * 1024
#: Longest name of a server on the pages.
DISPLAY_NAME_LIMIT = 255
# Parameters of the spawn page that are no options.
_NO_OPTIONS = {"next", "display_name", "_xsrf"}
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
#: The service that stops notebooks which nobody uses.
CULLER = "idle-culler"


def _check_options(options: object) -> None:
    try:
        chosen_class(NotebookSpawner.settings, options)
    except OptionsError as error:
        raise HTTPError(400, str(error)) from error


def _check_size(handler: Any) -> None:
    if len(handler.request.body) > BODY_LIMIT:
        raise HTTPError(400, "The request is too long")


def _check_text(body: dict[str, Any], field: str) -> None:
    """A field that is stored and shown: one line of text, or null."""
    value = body.get(field)
    if value is None:
        return
    if not isinstance(value, str):
        raise HTTPError(400, f"{field} must be a string")
    if not value.isprintable() or len(value) > DISPLAY_NAME_LIMIT:
        raise HTTPError(400, f"{field} must be one line of at most {DISPLAY_NAME_LIMIT} printable characters")


def _refusal(options: dict[str, list[Any]]) -> str:
    """Why these options are refused, empty where they are not."""
    try:
        from_form(NotebookSpawner.settings, options)
    except OptionsError as error:
        return str(error)
    return ""


class NotebookServerAPIHandler(UserServerAPIHandler):
    """Start, create, edit and stop servers over the API."""

    def get_json_body(self) -> Any:
        """The body, None where there is none. JupyterHub would read on past bytes that are no text."""
        _check_size(self)
        if not self.request.body:
            return None
        try:
            return read_json(self.request.body)
        except BodyError as error:
            raise HTTPError(400, f"The body can't be read: {error}") from error

    def get_server_json_body(self) -> dict[str, Any]:
        """The body of a start. ``{}`` asks for the default class, no body at all for the one of last time."""
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
        _check_text(body, "display_name")
        options = body.get("user_options")
        if options is not None:
            _check_options(options)
        return {"display_name": body.get("display_name"), "user_options": options}

    async def patch(self, user_name: str, server_name: str = "") -> None:
        """Edit a server that does not run."""
        body = self.get_json_body()
        if not isinstance(body, dict) or not body:
            raise HTTPError(400, "Body must be a JSON object with at least one field")
        unknown = sorted(set(body) - _PATCH_FIELDS)
        if unknown:
            raise HTTPError(400, f"Unknown field {unknown[0][:60]!r}")
        _check_text(body, "name")
        _check_text(body, "display_name")
        if "user_options" in body:
            _check_options(body["user_options"])
        await super().patch(user_name, server_name)

    @needs_scope("delete:servers")
    async def delete(self, user_name: str, server_name: str = "") -> None:
        """Stop a notebook or cancel its start, and keep who did so where it was not the owner."""
        body = self.get_json_body()
        if body is not None and not (
            isinstance(body, dict) and set(body) <= {"remove"} and isinstance(body.get("remove", False), bool)
        ):
            raise HTTPError(400, 'The body must be empty or {"remove": true}')
        user = self.find_user(user_name)
        spawner = user.spawners.get(server_name) if user is not None else None
        if isinstance(spawner, NotebookSpawner):
            spawner.stopped_because = self._stopped_because(spawner, user_name)
            if spawner.pending == "spawn":
                spawner.cancelled = True
            if spawner.pending == "check" and spawner.adopts_start:
                # JupyterHub can't interrupt what it does when it starts; it stops the notebook in a moment.
                spawner.cancel_adopted_start()
                self.set_status(202)
                return
        await super().delete(user_name, server_name)

    def _stopped_because(self, spawner: NotebookSpawner, owner: str) -> Outcome | None:
        by = self.current_user
        values = spawner.common_values()
        if isinstance(by, orm.Service) and by.name == CULLER:
            idle = spawner.pool.words.duration(spawner.settings.limits.idle_timeout_s)
            return Outcome.make("idle", {**values, "idle": idle}, job_id=spawner.job_id)
        if by is not None and by.name != owner:
            return Outcome.make("stopped", {**values, "who": by.name}, job_id=spawner.job_id)
        return None


class NotebookProgressAPIHandler(SpawnProgressAPIHandler):
    """What goes on while a notebook starts, also for a start that an earlier hub began."""

    async def get(self, user_name: str, server_name: str | None = "") -> None:
        """A stream of events; the last one says ready or failed."""
        user = self.find_user(user_name)
        spawner = user.spawners.get(server_name or "") if user is not None else None
        if not isinstance(spawner, NotebookSpawner) or spawner.pending != "check":
            await super().get(user_name, server_name or "")
            return
        await self._adopted(user_name, server_name or "")

    @needs_scope("read:servers")
    async def _adopted(self, user_name: str, server_name: str) -> None:
        # The names of the arguments are those by which the scope is checked.
        user = self.find_user(user_name)
        spawner = user.spawners[server_name]
        self.set_header("Cache-Control", "no-cache")
        # Intermediate proxies would close a stream that is silent for long.
        keeping_alive = asyncio.ensure_future(self.keepalive())
        async for event in spawner.progress():
            await self.send_event(event)
        await until(lambda: spawner.pending != "check")
        if spawner.ready:
            await self.send_event({"progress": 100, "ready": True, "url": user.server_url(spawner.name)})
        else:
            message = spawner.pool.words("progress.failed")
            await self.send_event({"progress": 100, "failed": True, "message": message})
        keeping_alive.cancel()


class NotebookSpawnHandler(SpawnHandler):
    """The spawn page and its form."""

    async def _wrap_spawn_single_user(self, user: Any, server_name: str, *rest: Any, **options: Any) -> Any:
        # JupyterHub would say no more than "unhandled error" about a start that fails at once.
        try:
            return await super()._wrap_spawn_single_user(user, server_name, *rest, **options)
        except HTTPError:
            failure = user.spawners[server_name].start_failure
            if failure is None:
                raise
            self.set_status(failure.status_code)
            raise failure from None

    async def _render_form(
        self, for_user: Any, spawner_options_form: str, message: str = "", html_message: str = ""
    ) -> Any:
        # JupyterHub's page knows no server's name; ours shows what became of the last start of this one.
        return await self.render_template(
            "spawn.html",
            for_user=for_user,
            auth_state=await for_user.get_auth_state(),
            spawner_options_form=spawner_options_form,
            error_message=message,
            html_error_message=html_message,
            url=url_concat(self.request.uri or "", {"_xsrf": self.xsrf_token.decode("ascii")}),
            spawner=for_user.spawner,
            server_name=self.path_args[1] if len(self.path_args) > 1 else "",
        )

    async def prepare(self) -> None:
        """Refuse what is no text before JupyterHub decodes it."""
        await super().prepare()
        _check_size(self)
        if len(self.request.query) > QUERY_LIMIT:
            raise HTTPError(400, "The link is too long")
        for arguments in (self.request.query_arguments, self.request.body_arguments):
            for values in arguments.values():
                for value in values:
                    try:
                        value.decode("utf-8")
                    except UnicodeDecodeError as error:
                        raise HTTPError(400, "The request holds bytes that are no UTF-8 text") from error

    @authenticated
    async def get(self, user_name: str | None = None, server_name: str = "") -> None:
        """The page; with options in the link a start, unless anything else is in it as well."""
        display_name = self.request.query_arguments.get("display_name", [b""])[0].decode()
        _check_text({"display_name": display_name}, "display_name")
        options: dict[str, list[Any]] = {}
        for key, values in self.request.query_arguments.items():
            if key not in _NO_OPTIONS:
                options.setdefault(key.removeprefix("opt-"), []).extend(value.decode() for value in values)
        user_name = user_name or self.current_user.name
        if refusal := _refusal(options):
            await self._refuse(user_name=user_name, server_name=server_name, reason=refusal)
        else:
            await super().get(user_name, server_name)

    @authenticated
    async def post(self, user_name: str | None = None, server_name: str = "") -> None:
        """A form that was sent."""
        options: dict[str, list[Any]] = {
            key: [value.decode() for value in values] for key, values in self.request.body_arguments.items()
        }
        options.update({f"{key}_file": values for key, values in self.request.files.items()})
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        refusal = _refusal(options)
        # Of a body that is no form JupyterHub would take nothing, and start the default class.
        if self.request.body and not (content_type in _FORM_TYPES and options):
            refusal = "The request is no form."
        user_name = user_name or self.current_user.name
        if refusal:
            await self._refuse(user_name=user_name, server_name=server_name, reason=refusal)
        else:
            await super().post(user_name, server_name)

    @needs_scope("servers")
    async def _refuse(self, *, user_name: str, server_name: str, reason: str) -> None:
        """Show the form again, with the reason. Nothing is made of the request, not even a server's name."""
        user = self.find_user(user_name)
        if user is None:
            raise HTTPError(404, "No such user")
        spawner = user.spawners[server_name if server_name in user.spawners else ""]
        self.log.warning("Refused a start for %s: %s", user.name, reason)
        self.set_status(400)
        form = await spawner.get_options_form()
        self.finish(await self._render_form(for_user=user, spawner_options_form=form, message=reason))


def install() -> None:
    """Put these handlers in the place of JupyterHub's and batchspawner's. Doing so again changes nothing."""
    ours = {
        UserServerAPIHandler: NotebookServerAPIHandler,
        SpawnProgressAPIHandler: NotebookProgressAPIHandler,
        SpawnHandler: NotebookSpawnHandler,
    }
    # batchspawner adds its own route when it is imported, which afhub.spawner did.
    apihandlers.default_handlers[:] = [
        *(
            (path, ours.get(handler, handler), *rest)
            for path, handler, *rest in apihandlers.default_handlers
            if path not in (api.ROUTE, api.NOTEBOOK_ROUTE)
        ),
        (api.ROUTE, api.PortReportHandler),
        (api.NOTEBOOK_ROUTE, api.BackchannelHandler),
    ]
    pages.default_handlers[:] = [
        (path, ours.get(handler, handler), *rest) for path, handler, *rest in pages.default_handlers
    ]
