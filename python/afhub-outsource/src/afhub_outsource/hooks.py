"""Tell htmap and Dask about the site when they are imported, and not before.

Neither has a configuration file that could say what a notebook needs: htmap reads one in the home folder
only, and no file of Dask's can make a certificate. Started by `afhub_outsource.pth` in every Python of the
environment, which imports this module only where the variable `OUTSOURCE_FACTS` is set, that is in
notebooks.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

TOOLS = {
    "htmap": "afhub_outsource.htmap",
    "dask_jobqueue": "afhub_outsource.dask",
    "distributed": "afhub_outsource.guard",
}
"""Packages of others, and the module here whose `configure` is called with each once it is imported."""


class ToldAfterwards(Loader):
    """Loads a module as its own loader does, and tells it about the site then."""

    def __init__(self, loader: Loader, module_here: str) -> None:
        self._loader = loader
        self._module_here = module_here

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            # From here on nobody sees that somebody stood in between.
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        try:
            importlib.import_module(self._module_here).configure(module)
        except (AttributeError, ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
            # Another release than this was written for: the tool itself still works.
            warnings.warn(
                f"{module.__name__} does not know this site's batch pool: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


class Finder(MetaPathFinder):
    """Finds the packages of `TOOLS` as everybody else does."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module_here = TOOLS.get(name)
        if module_here is None:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = ToldAfterwards(spec.loader, module_here)
                return spec
        return None


def install() -> None:
    """Watch for these imports from now on."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
