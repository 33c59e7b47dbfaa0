"""`%afhub` in a notebook: where it runs, what it may use, what it uses."""

from __future__ import annotations

import contextlib


def afhub(line: str = "") -> None:
    """Show what this notebook may use and uses: `%afhub`, or `%afhub --json`."""
    from jupyter_afhub.cli import main

    # A wrong option ends a command, and would be the end of the cell with a warning that has nothing to do with it.
    with contextlib.suppress(SystemExit):
        main(["info", *line.split()])
