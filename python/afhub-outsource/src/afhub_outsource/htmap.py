"""htmap: maps run with this environment's Python, from the software tree that all hosts have.

htmap reads settings from the home folder alone, so the site's are put below the user's and above htmap's own.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType

from afhub_outsource import facts, maps

LEAVES_WITHIN_S = 20


def site_settings() -> dict[str, object]:
    """The site's settings, in htmap's words."""
    site = facts.read()
    search = f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    return {
        # The software is on every host already: nothing is packed, and no container is needed.
        "DELIVERY_METHOD": "assume",
        "MAP_OPTIONS": {
            "request_cpus": str(site.worker_cores),
            "request_memory": f"{site.worker_memory_mb}MB",
            "request_disk": f"{site.worker_disk_mb}MB",
            "environment": f'"PATH={search}"',
            # htmap asks for its files also from a job that is removed. Where they are not there yet, the worker would
            # keep the slot for as long as it lets any job take to leave, ten minutes by default.
            "job_max_vacate_time": str(LEAVES_WITHIN_S),
        },
    }


def configure(htmap: ModuleType) -> None:
    """Add the site's settings to htmap's, and see to it that its waits end."""
    settings = htmap.settings
    settings.maps.insert(len(settings.maps) - 1, site_settings())
    maps.configure(htmap)
    # htmap's users can do nothing about what it calls.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"htcondor\._deprecation")
