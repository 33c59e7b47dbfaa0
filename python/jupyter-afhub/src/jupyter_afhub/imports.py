"""Imports that wait until they are used.

Half of what the server's packages import at start is for others: JupyterHub's own database, extensions from a package
index, a client for requests that nobody sends yet. While such a package is imported, stand-ins take the place of these
modules. Afterwards the stand-ins are out of `sys.modules`, so whoever else imports the modules gets them as ever, and
a stand-in that is used loads the real module then: later, never differently.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

Waiting = Mapping[str, Mapping[str, object]]
"""Modules that wait, by name, and what their stand-ins hold already because it is asked for by name."""


def forward(module: str, name: str) -> Callable[..., Any]:
    """A function that calls the function or class of that name, and imports its module no earlier."""

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **options)

    return call


class Never(Exception):
    """In the place of classes of the hub alone: nothing here is one of them, and nothing raises one."""


HUB: Waiting = {
    # The hub's database: what compares scopes, which is needed here, is in one module with what looks them up there.
    "jupyterhub.orm": {},
    "jupyterhub.roles": {},
    "sqlalchemy": {},
    "sqlalchemy.exc": {"SQLAlchemyError": Never},
    # The hub's pages; the log leaves out one of them.
    "jupyterhub.handlers.pages": {"HealthCheckHandler": Never},
    # Requests to the hub. The first one is sent when somebody has to be authenticated.
    "jupyterhub.httpclient": {"fetch": forward("jupyterhub.httpclient", "fetch")},
    "aiohttp": {},
}
"""What JupyterHub's extension does not need at start: two thirds of what it imports."""

LAB: Waiting = {
    # Lists of allowed extensions, and extensions from a package index: nothing is installed into this environment.
    "requests": {},
    "jupyterlab.extensions.pypi": {
        "PyPIExtensionManager": forward("jupyterlab.extensions.pypi", "PyPIExtensionManager")
    },
}
"""What JupyterLab does not need at start."""

FORMATS = ("isoduration", "rfc3987_syntax")
"""Checks of durations and of international addresses in JSON. Nothing here has any, and one of them builds a grammar
for a whole second when it is imported. jsonschema does without those that are absent."""


def load() -> None:
    """Import what the server consists of."""
    with absent(*FORMATS):
        importlib.import_module("jsonschema")
    lean("jupyterhub.singleuser.extension", HUB)
    if importlib.util.find_spec("jupyterlab"):
        lean("jupyterlab.labapp", LAB)


def lean(module: str, waiting: Waiting) -> ModuleType:
    """Import a module while others wait; a release that can't do without them is imported as anybody would."""
    before = set(sys.modules)
    try:
        with deferred(waiting):
            return importlib.import_module(module)
    except (AttributeError, ImportError, TypeError):
        package = module.partition(".")[0]
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == package:
                del sys.modules[name]
        return importlib.import_module(module)


class Later(ModuleType):
    """Stands in for a module until something in it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or sys.modules.get(self.__name__) is self:
            raise AttributeError(f"{self.__name__}.{name} is not there yet")
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def deferred(waiting: Waiting) -> Iterator[None]:
    """Let modules wait while others are imported; what is loaded already stays as it is."""
    stand_ins: dict[str, Later] = {}
    for name, content in waiting.items():
        if name not in sys.modules:
            stand_ins[name] = Later(name)
            vars(stand_ins[name]).update(content)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


@contextmanager
def absent(*modules: str) -> Iterator[None]:
    """Let modules be absent while others are imported, for packages that do with or without them."""
    hidden = dict.fromkeys(name for name in modules if name not in sys.modules)
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
