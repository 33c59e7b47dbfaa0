"""The token with which a notebook speaks to the hub is where its owner, the schedd and the starter need it, only."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hubclient import HubUser

from minipool import Minipool

# Where the schedd keeps its jobs, and where the starter keeps one: neither lets anybody else in.
JOB_QUEUE = r"/var/spool/condor/(.*/)?job_queue\.log.*"
SCRATCH = r"/var/lib/condor/afhub-execute/dir_\d+/.*"

# The token comes in reverse, so that neither this command nor a log of it holds what is looked for. It is looked for in
# files (with their owners and those accounts that may read them), processes, the journal, and what daemons tell root.
SEARCH = r"""
token=$(echo {reversed} | rev)
holds() {{ grep -qaF -f <(echo "$token"); }}
folders="/var /etc /run /root /home /tmp /dev/shm"
for file in $(grep -rsalF --exclude-dir=dpkg --exclude-dir=apt -f <(echo "$token") $folders); do
  readers=
  for account in nobody daemon www-data afhub-proxy deploy bob; do
    setpriv --reuid $account --regid $(id -g $account) --init-groups test -r "$file" 2>/dev/null &&
      readers="$readers $account"
  done
  echo "file $(stat -c %U "$file") $file readable by:$readers"
done
for process in $(grep -lsaF -f <(echo "$token") /proc/[0-9]*/cmdline /proc/[0-9]*/environ); do
  echo "process ${{process##*/}} of $(stat -c %U "$process")"
done
journalctl --no-pager -o cat 2>/dev/null | holds && echo journal
for what in "" -any -schedd -submitters -master -claimed -collector -negotiator; do
  condor_status $what -l 2>/dev/null | holds && echo "condor_status $what"
done
echo searched
"""


@pytest.fixture
def found(pool: Minipool, alices_notebook: HubUser, bobs_notebook: HubUser) -> dict[str, list[str]]:
    """Where root finds the token of alice's notebook, by host. bob has a notebook too, perhaps beside hers."""
    token = alices_notebook.execute("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    script = SEARCH.format(reversed=token[::-1])

    def search(host: str) -> list[str]:
        lines = pool.engine("exec", pool.container(host), "bash", "-c", script, timeout_s=120).splitlines()
        assert lines[-1] == "searched", lines
        return lines[:-1]

    with ThreadPoolExecutor(2) as threads:
        return dict(zip(pool.hosts, threads.map(search, pool.hosts), strict=True))


def test_a_token_is_only_where_schedd_starter_and_owner_need_it(
    found: dict[str, list[str]], alice: HubUser
) -> None:
    expected = {"hub": JOB_QUEUE, alice.worker(): SCRATCH}
    for host, places in found.items():
        files = [place for place in places if place.startswith("file ")]
        for file in files:
            owner, path = file.split()[1:3]
            assert host in expected and re.fullmatch(expected[host], path), f"{host}: {file}"
            assert owner in ("condor", "alice"), f"{host}: {file}"
            assert file.endswith("readable by:"), f"{host}: {file}"
        others = [place for place in places if place not in files]
        allowed = ["process environ of alice"] if host == alice.worker() else []
        assert set(others) <= set(allowed), f"{host}: {others}"
    # The search does find what it looks for.
    assert any(re.search(JOB_QUEUE, place) for place in found["hub"])
    assert any(re.search(SCRATCH, place) for place in found[alice.worker()])
    assert "process environ of alice" in found[alice.worker()]
