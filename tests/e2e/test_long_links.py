"""A link that is too long is refused by whoever reads it first, also while the notebook runs."""

from __future__ import annotations

import pytest
from hubclient import HubUser


@pytest.mark.parametrize("length", [7_000, 30_000])
def test_a_link_that_is_too_long_is_refused_also_while_the_notebook_runs(
    alices_notebook: HubUser, length: int
) -> None:
    answer = alices_notebook.session.get(
        f"{alices_notebook.pool.url}/hub/spawn/alice?opt-notebook_class={'x' * length}",
        allow_redirects=False,
        timeout=60,
    )
    assert 400 <= answer.status_code < 500, answer.status_code
    assert alices_notebook.notebook("GET", "api/status").status_code == 200
