"""The proxy's route table is gone with it, and comes back by itself; no notebook notices."""

from __future__ import annotations

import functools

from hubclient import HubUser

from minipool import Minipool, wait_for

# The proxy starts anew, then the hub finds its notebooks and writes their routes.
BACK_WITHIN_S = 90


def has_kernel(user: HubUser, kernel: str) -> bool:
    return user.notebook("GET", f"api/kernels/{kernel}").status_code == 200


def is_ready(user: HubUser) -> bool:
    return bool(user.server().get("ready"))


def test_notebooks_are_reachable_again_soon_after(
    pool: Minipool, alices_notebook: HubUser, bobs_notebook: HubUser
) -> None:
    users = (alices_notebook, bobs_notebook)
    jobs = [user.job() for user in users]
    kernels = [user.notebook("POST", "api/kernels").json()["id"] for user in users]
    pid = pool.check("hub", "systemctl show -P MainPID afhub-proxy").strip()
    pool.check("hub", f"kill -KILL {pid}")
    wait_for(
        "systemd started the proxy anew",
        lambda: pool.check("hub", "systemctl show -P MainPID afhub-proxy").strip() not in (pid, "0"),
    )
    for user, kernel in zip(users, kernels, strict=True):
        wait_for("the notebook answers", functools.partial(has_kernel, user, kernel), BACK_WITHIN_S)
        wait_for("the hub knows the notebook", functools.partial(is_ready, user))
    assert [user.job() for user in users] == jobs
