"""Work that leaves a notebook for the batch pool.

`spark` makes a Spark session whose workers are batch jobs, `wait` waits for jobs. Dask and htmap are used as
ever; `hooks` sees to it that they know the site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afhub_outsource.spark import session as spark
    from afhub_outsource.waiting import wait

__version__ = "0.1.0"
__all__ = ["OutsourceError", "spark", "wait"]


class OutsourceError(RuntimeError):
    """Work did not get into the batch pool; the text says why, and what can be done."""


def __getattr__(name: str) -> Any:
    if name == "spark":
        from afhub_outsource.spark import session

        # The import above has bound the module of that name in its place.
        globals()["spark"] = session
        return session
    if name == "wait":
        from afhub_outsource.waiting import wait

        return wait
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
