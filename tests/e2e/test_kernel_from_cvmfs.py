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
    """It writes and reads ROOT files of simulated events, finds the peak at the mass of the Z, and leaves nothing."""
    cells = json.loads(pool.check("worker1", f"cat {EXAMPLE}"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    look = "print(open(files[0], 'rb').read(4), len(files), min(os.path.getsize(file) for file in files))"
    printed = alices_notebook.execute(
        "\n\n".join([*code[:-1], f"import os\n{look}", code[-1]]), kernel="analysis"
    )
    peak = re.search(r"Z mass ([\d.]+) ± [\d.]+ GeV", printed)
    assert peak and abs(float(peak[1]) - 91.19) < 0.1, printed
    written = re.search(r"b'root' 8 (\d+)", printed)
    assert written and int(written[1]) > 500_000, printed
    assert pool.run("hub", "ls zmumu-example", user="alice").returncode != 0


def test_it_runs_from_the_tree_that_nobody_can_write(pool: Minipool, alices_notebook: HubUser) -> None:
    printed = alices_notebook.execute(
        "import sys, uproot; print(sys.prefix, uproot.__file__)", kernel="analysis"
    )
    for path in printed.split():
        assert path.startswith("/cvmfs/af.example.org/sw/"), printed
    assert pool.run("worker1", "touch /cvmfs/af.example.org/x").returncode != 0
