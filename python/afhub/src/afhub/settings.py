"""The hub's settings file, as frozen models.

The file is JSON, written by the deployment, and holds no secret. Every model forbids unknown keys, so that a
misspelt key stops the hub at start instead of being ignored. :func:`load` turns every fault into one line
that names the variable, the value found and what to write instead.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from afhub import words

DEFAULT_PATH = Path("/etc/afhub/hub/settings.json")

CLASS_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Positive = Annotated[int, Field(gt=0, strict=True)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Line = Annotated[str, Field(min_length=1, max_length=200)]


class SettingsError(ValueError):
    """The settings file can't be used; the text says what to change."""


class Model(BaseModel):
    """Base of all settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _printable(value: str, variable: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{variable} is {value!r}: write it in one line of printable characters")
    return value


class NotebookClass(Model):
    """One row of ``notebook_classes``: what a notebook of this class may use and where it runs.

    ``memory_limit_mb`` is the soft stop, ``slot_memory_mb`` what its slot reserves, ``runtime_s`` the longest
    life.
    """

    name: str
    title: Line
    description: Annotated[str, Field(max_length=300)] = ""
    memory_limit_mb: Positive
    slot_memory_mb: Positive
    cores: Positive
    runtime_s: Positive
    run_on: Line
    slots_per_host: Positive | None = None
    default: bool = False

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not CLASS_NAME.fullmatch(value):
            raise ValueError(
                f"name is {value!r}: write 1 to 32 of a-z, 0-9, '_' and '-', beginning with a letter"
            )
        return value

    @field_validator("title", "description")
    @classmethod
    def _text(cls, value: str) -> str:
        return _printable(value, "title or description") if value else value

    @model_validator(mode="after")
    def _memory(self) -> NotebookClass:
        if self.memory_limit_mb < self.slot_memory_mb:
            raise ValueError(
                f"memory_limit_mb of class {self.name!r} is {self.memory_limit_mb}, less than its "
                f"slot_memory_mb {self.slot_memory_mb}: write {self.slot_memory_mb} or more or shrink the slot"
            )
        return self


class Bind(Model):
    """Loopback ports of the hub and of configurable-http-proxy."""

    hub_port: Port = 8081
    proxy_api_port: Port = 8001
    public_port: Port = 8000


class Condor(Model):
    """The schedd that notebooks are submitted to and the collector that knows their slots.

    ``event_log`` is the file into which the schedd writes what happens to jobs; without it the hub asks the schedd
    more often and knows fewer reasons. ``lease_s`` is how long HTCondor goes on trying to reach a node.
    """

    schedd: str
    collector: str
    tokens_dir: Path
    event_log: Path | None = None
    lease_s: Positive = 1200

    @field_validator("schedd")
    @classmethod
    def _schedd(cls, value: str) -> str:
        if not HOST_NAME.fullmatch(value.rpartition("@")[2]):
            raise ValueError(
                f"schedd is {value!r}: write the schedd's name, which is the hub's full host name"
            )
        return value

    @field_validator("collector")
    @classmethod
    def _collector(cls, value: str) -> str:
        host, colon, port = value.partition(":")
        if not HOST_NAME.fullmatch(host) or (colon and not (port.isdigit() and 0 < int(port) < 65536)):
            raise ValueError(f"collector is {value!r}: write host or host:port, as in nbcm.example.org:9618")
        return value


class BatchTokens(Model):
    """How the hub vouches for the owner of a notebook before the batch pool: HTCondor tokens, one for each notebook.

    ``keys_dir`` holds the signing key named ``key``, which the batch pool's schedd and collector have as well.
    ``identity_domain`` is what follows the account in an identity.
    """

    keys_dir: Path
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    trust_domain: Line
    identity_domain: Line


class PortRange(Model):
    """Ports that notebook servers listen on, both ends included."""

    first: Annotated[int, Field(ge=1024, le=65535, strict=True)]
    last: Annotated[int, Field(ge=1024, le=65535, strict=True)]

    @model_validator(mode="after")
    def _order(self) -> PortRange:
        if self.last < self.first:
            raise ValueError(f"last is {self.last}, below first {self.first}: write {self.first} or more")
        return self

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and not isinstance(port, bool) and self.first <= port <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class Notebook(Model):
    """What runs in the job, with the environment that every notebook gets."""

    command: Path
    port_range: PortRange
    jupyter_path: tuple[Path, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)

    @field_validator("command")
    @classmethod
    def _command(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError(
                f"command is {str(value)!r}: write the full path of the program on the notebook hosts"
            )
        _printable(str(value), "command")
        return value

    @field_validator("environment")
    @classmethod
    def _environment(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not VARIABLE_NAME.fullmatch(name):
                raise ValueError(
                    f"environment has the name {name!r}: write letters, digits and '_', no digit first"
                )
            if name.startswith(("JUPYTERHUB_", "AFHUB_")):
                raise ValueError(f"environment sets {name}: leave it out, the hub sets that one itself")
            if not (text.isprintable() or text == ""):
                raise ValueError(
                    f"environment {name} is {text!r}: write it in one line of printable characters"
                )
            if "$$" in text:
                raise ValueError(
                    f"environment {name} is {text!r}: leave '$$' out, HTCondor would substitute it"
                )
        return value


class Login(Model):
    """Who may log in. Without any rule nobody may."""

    pam_service: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "afhub"
    allow_all: bool = False
    allowed_users: tuple[str, ...] = ()
    allowed_groups: tuple[str, ...] = ()
    admin_users: tuple[str, ...] = ()


class Limits(Model):
    """Limits of the hub itself; those of a class are held by the schedd."""

    max_per_user: Positive = 3
    start_timeout_s: Positive = 300
    idle_timeout_s: Annotated[int, Field(ge=0, strict=True)] = 14400
    refused_users: tuple[str, ...] = ("root",)


class Settings(Model):
    """Everything the hub reads from its settings file."""

    hub_name: str
    hub_port: Port = 443
    bind: Bind = Field(default_factory=Bind)
    state_dir: Path
    secrets_dir: Path
    database_url: Line
    classes: Annotated[tuple[NotebookClass, ...], Field(min_length=1)]
    condor: Condor
    notebook: Notebook
    batch_tokens: BatchTokens | None = None
    login: Login = Field(default_factory=Login)
    limits: Limits = Field(default_factory=Limits)
    words: dict[str, Any] = Field(default_factory=dict)

    @field_validator("words")
    @classmethod
    def _words(cls, value: dict[str, Any]) -> dict[str, Any]:
        words.check(value)
        return value

    @field_validator("hub_name")
    @classmethod
    def _hub_name(cls, value: str) -> str:
        if not HOST_NAME.fullmatch(value):
            raise ValueError(f"hub_name is {value!r}: write the host name by which browsers reach the hub")
        return value

    @model_validator(mode="after")
    def _classes(self) -> Settings:
        names = [row.name for row in self.classes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"classes has {', '.join(twice)} more than once: give every class a name of its own"
            )
        defaults = [row.name for row in self.classes if row.default]
        if len(defaults) > 1:
            raise ValueError(f"classes has default: true in {', '.join(defaults)}: leave it in one of them")
        if not defaults and len(self.classes) > 1:
            raise ValueError(
                f"classes has no default among {', '.join(names)}: write default: true in one of them"
            )
        return self

    @property
    def default_class(self) -> NotebookClass:
        """The class of a start that names none."""
        return next((row for row in self.classes if row.default), self.classes[0])

    def class_named(self, name: str) -> NotebookClass | None:
        """The class with this exact name, or None."""
        return next((row for row in self.classes if row.name == name), None)

    @property
    def public_url(self) -> str:
        """The hub's address as browsers and notebooks use it, without a slash at the end."""
        return f"https://{self.hub_name}" + ("" if self.hub_port == 443 else f":{self.hub_port}")


def explain(error: ValidationError) -> str:
    """One line per fault: variable, value, cure."""
    lines = []
    for fault in error.errors(include_url=False):
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(
            "."
        )
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "no such key: check the spelling or leave it out"
        elif fault["type"] == "missing":
            message = "missing: add it"
        elif fault["type"] != "value_error":
            message = f"is {fault['input']!r}: {message[0].lower()}{message[1:]}"
        lines.append(f"{where}: {message}" if where else message)
    return "\n".join(lines)


def parse(data: Any) -> Settings:
    """Settings from decoded JSON; raises :class:`SettingsError`."""
    try:
        settings: Settings = Settings.model_validate(data)
    except ValidationError as error:
        raise SettingsError(explain(error)) from error
    return settings


def load(path: Path | str = DEFAULT_PATH) -> Settings:
    """Settings from a file; raises :class:`SettingsError` naming the file and the fault."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: is not valid JSON: {error}") from error
    try:
        return parse(data)
    except SettingsError as error:
        raise SettingsError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
