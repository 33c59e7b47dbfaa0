"""The kernel of the site's software tree: offered to everybody, nothing installed by anybody."""

from __future__ import annotations

import json
import re

import pytest
from hubclient import HubUser

from minipool import Minipool

EXAMPLE = "/cvmfs/af.example.org/examples/zmumu.ipynb"


@pytest.mark.parametrize("notebook", ["alices_notebook", "bobs_notebook"])
def test_it_is_offered_to_every_user_who_installed_nothing(
    pool: Minipool, notebook: str, request: pytest.FixtureRequest
) -> None:
    user: HubUser = request.getfixturevalue(notebook)
    kernels = user.notebook("GET", "api/kernelspecs").json()["kernelspecs"]
    assert kernels["analysis"]["spec"]["argv"][0].startswith("/cvmfs/af.example.org/sw/"), kernels
    own = pool.run("hub", "ls -d .local/share/jupyter/kernels .local/lib .local/bin", user=user.name)
    assert not own.stdout.strip(), "the user has software or kernels of his own"


def test_the_example_runs_from_the_first_to_the_last_cell(pool: Minipool, alices_notebook: HubUser) -> None:
    """It writes and reads a ROOT file of simulated events and finds the peak at the mass of the Z."""
    cells = json.loads(pool.check("worker1", f"cat {EXAMPLE}"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    pool.check("hub", "rm -f zmumu.root", user="alice")
    printed = alices_notebook.execute(code, kernel="analysis")
    peak = re.search(r"Peak at ([\d.]+) GeV", printed)
    assert peak and abs(float(peak[1]) - 91.19) < 0.3, printed
    header = pool.check(
        "hub", "head -c 4 zmumu.root && stat -c ' %s' zmumu.root && rm zmumu.root", user="alice"
    )
    magic, size = header.split()
    assert magic == "root" and int(size) > 500_000, header


def test_it_runs_from_the_tree_that_nobody_can_write(pool: Minipool, alices_notebook: HubUser) -> None:
    printed = alices_notebook.execute(
        "import sys, uproot; print(sys.prefix, uproot.__file__)", kernel="analysis"
    )
    for path in printed.split():
        assert path.startswith("/cvmfs/af.example.org/sw/"), printed
    assert pool.run("worker1", "touch /cvmfs/af.example.org/x").returncode != 0
