"""Nobody reaches another user's notebook: not over the hub, not directly, not over HTCondor."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hubclient import HubUser

from minipool import Minipool, Result


@pytest.fixture
def both(alices_notebook: HubUser, bobs_notebook: HubUser) -> tuple[HubUser, HubUser]:
    """alice and bob, each with a notebook."""
    return alices_notebook, bobs_notebook


@pytest.mark.parametrize(
    "path", ["lab", "api/contents", "api/kernels", "api/terminals", "api/metrics/v1", "files/.bashrc"]
)
def test_a_token_opens_no_other_users_notebook(both: tuple[HubUser, HubUser], path: str) -> None:
    alice, bob = both
    answer = alice.notebook("GET", path, user="bob")
    assert answer.status_code == 403, f"{answer.status_code} {answer.url}"
    if path != "files/.bashrc":
        assert bob.notebook("GET", path).status_code == 200, (
            "bob himself should get in, or this test shows nothing"
        )


def test_a_token_starts_nothing_in_another_users_notebook(both: tuple[HubUser, HubUser]) -> None:
    alice, bob = both
    for path in ("api/kernels", "api/terminals", "api/contents"):
        assert alice.notebook("POST", path, user="bob", json={}).status_code == 403
    assert bob.notebook("GET", "api/kernels").json() == []


@pytest.mark.parametrize("path", ["/user/bob/lab", "/user/bob/api/contents", "/user/bob/api/kernels"])
def test_a_browser_that_is_logged_in_opens_no_other_users_notebook(
    both: tuple[HubUser, HubUser], path: str
) -> None:
    alice, _ = both
    own = alice.page("/user/alice/lab")
    assert own.status_code == 200, f"alice does not reach her own notebook: {own.url}"
    assert alice.page(path.replace("bob", "alice")).status_code == 200
    answer = alice.page(path)
    assert answer.status_code in (403, 404), f"{answer.status_code} {answer.url}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"),
        ("GET", "/users/bob"),
        ("GET", "/users/bob/tokens"),
        ("POST", "/users/bob/tokens"),
        ("POST", "/users/bob/server"),
        ("POST", "/users/bob/servers/x"),
        ("DELETE", "/users/bob/server"),
        ("GET", "/users/bob/server/progress"),
        ("DELETE", "/users/bob"),
        ("PATCH", "/users/alice"),
        ("GET", "/proxy"),
        ("POST", "/shutdown"),
    ],
)
def test_the_hubs_api_tells_and_does_nothing_about_others(
    both: tuple[HubUser, HubUser], method: str, path: str
) -> None:
    alice, bob = both
    body = {"admin": True} if method == "PATCH" else {}
    answer = alice.api(method, path, json=body)
    assert answer.status_code in (403, 404), answer.text
    assert bob.server()["ready"]


@dataclass(frozen=True)
class Address:
    """Where a notebook server listens: inventory name of the host, and port."""

    host: str
    port: int


def address_of(pool: Minipool, user: str) -> Address:
    """As root of the worker sees it."""
    jobs = pool.queue("Owner,AfhubServer,RemoteHost")
    job = next(job for job in jobs if (job["Owner"], job["AfhubServer"]) == (user, ""))
    host = job["RemoteHost"].rpartition("@")[2].partition(".")[0]
    find = (
        f"for pid in $(pgrep -u {user} -f '^[^ ]*python[^ ]* [^ ]*/bin/afhub-notebook'); do"
        " tr '\\0' '\\n' < /proc/$pid/environ | grep -qx 'JUPYTERHUB_SERVER_NAME='"
        ' && ss -Hltnp | grep "pid=$pid,"; done'
    )
    ports = {int(line.split()[3].rpartition(":")[2]) for line in pool.check(host, find).splitlines()}
    first, last = (pool.host_vars("hub")["notebook_port_range"][key] for key in ("first", "last"))
    ports = {port for port in ports if first <= port <= last}
    assert len(ports) == 1, f"{user}'s server on {host} listens on {ports}"
    return Address(host, ports.pop())


ASK = (
    "import http.client, sys; c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20);"
    " c.request(sys.argv[3], sys.argv[4], headers={'Authorization': 'token ' + sys.argv[5]} if sys.argv[5] else {});"
    " r = c.getresponse(); print(r.status, r.getheader('Location') or '-')"
)


@pytest.mark.parametrize("token", ["none", "alice's"])
def test_the_port_of_a_server_is_no_way_around_the_hub(
    pool: Minipool, both: tuple[HubUser, HubUser], token: str
) -> None:
    """alice knows host and port, and may log in to the very worker."""
    alice, bob = both
    address = address_of(pool, "bob")

    def ask(host: str, method: str, path: str, key: str) -> tuple[int, str]:
        arguments = f"{address.host}.af.test {address.port} {method} /user/bob/{path} '{key}'"
        status, location = pool.check(host, f'python3 -c "{ASK}" {arguments}', user="alice").split()
        return int(status), location

    assert ask("hub", "GET", "api/contents", bob.token)[0] == 200, "the server should answer bob"
    key = alice.token if token == "alice's" else ""
    for host in (address.host, "big1"):
        for method, path in (
            ("GET", "api/contents"),
            ("GET", "api/kernels"),
            ("POST", "api/kernels"),
            ("GET", "api/metrics/v1"),
            ("GET", "lab"),
        ):
            status, location = ask(host, method, path, key)
            refused = status == 403 or (status == 302 and ("/hub/" in location or "/login" in location))
            assert refused, f"{method} {path} from {host}: {status} {location}"


# What bob can try on a host. It prints whatever he gets to see; the token must not be in it. SCHEDD, STARTD and are
# addresses that root has found out for him, JOB and OWN are the jobs of alice's notebook and of his own.
LOOK = r"""
try() { echo "## $*"; timeout 15 "$@" 2>&1 < /dev/null; }
for schedd in "" "-name hub.af.test" "-pool nbcm.af.test -name hub.af.test" "-addr $SCHEDD"; do
  for what in "-l" "-json" "-af:j Owner Environment Env" "-nobatch -run -l" "-l $JOB"; do
    try condor_q $schedd -all $what
  done
done
try condor_q -pool nbcm.af.test -global -all -l
try condor_q -direct schedd -all -l
for pool in "" "-pool nbcm.af.test"; do
  for what in "" -any -schedd -submitters -master -claimed -collector -negotiator; do
    try condor_status $pool $what -l
  done
  try condor_history $pool -name hub.af.test -l -limit 100
  try condor_history $pool -startd -name $WORKER -l -limit 100
  try condor_userprio $pool -all -l
done
try condor_status -direct notebooks@$WORKER -pool nbcm.af.test -l
try condor_who -l
try condor_who -allpids -af Owner Environment
try condor_who -daemons
try condor_who -address "$STARTD" -l
try condor_history -l -limit 100
for folder in /var/spool/condor /var/log/condor /var/lib/condor/afhub-execute; do
  try find $folder
  for file in $(find $folder -name '*history*' -type f 2>/dev/null); do try condor_history -file $file -l; done
done
for ad in /var/lib/condor/*/dir_*/.job.ad; do try condor_q -jobads $ad -l; done
try condor_history -epochs -l -limit 100
for schedd in "" "-pool nbcm.af.test -name hub.af.test"; do
  try condor_ssh_to_job $schedd $JOB env
  try condor_tail $schedd $JOB
  try condor_tail $schedd -no-stdout $JOB .job.ad
  try condor_transfer_data $schedd $JOB
  try condor_qedit $schedd $JOB Owner '"bob"'
  try condor_hold $schedd $JOB
  try condor_vacate_job $schedd $JOB
  try condor_rm $schedd $JOB
done
for daemon in SCHEDD STARTD STARTD_NB MASTER COLLECTOR; do
  for host in hub.af.test $WORKER nbcm.af.test; do try condor_fetchlog -pool nbcm.af.test $host $daemon; done
done
for level in READ WRITE ADMINISTRATOR DAEMON; do try condor_ping -addr "$SCHEDD" -type schedd $level; done
try condor_token_fetch -pool nbcm.af.test
try condor_token_fetch -pool nbcm.af.test -name hub.af.test -type schedd
try condor_token_list
try condor_config_val -dump
try condor_config_val -pool nbcm.af.test -name hub.af.test -schedd -dump
try condor_chirp get_job_attr Environment
try ps axeww -o user,args
try sh -c 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline'
try ls -laR /home/alice
echo "## files"
folders="/var/lib/condor /var/log /var/spool /var/lib/afhub /etc /run /tmp /var/tmp /dev/shm /home"
grep -rsaohE '[0-9a-f]{32}' $folders 2>/dev/null | sort -u
"""


@dataclass(frozen=True)
class Target:
    """alice's token as her server has it, and what an attacker may know about the notebook."""

    token: str
    variables: str


@pytest.fixture
def target(pool: Minipool, both: tuple[HubUser, HubUser]) -> Target:
    alice, _ = both
    token = alice.execute("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    assert re.fullmatch(r"[0-9a-f]{32}", token), "the search in files would not find such a token"
    jobs = pool.queue("ClusterId,ProcId,Owner,AfhubServer,RemoteHost")
    job = next(job for job in jobs if (job["Owner"], job["AfhubServer"]) == ("alice", ""))
    slot = next(ad for ad in pool.slots() if ad["Name"] == job["RemoteHost"])
    schedd = pool.check("hub", "head -1 $(condor_config_val SCHEDD_ADDRESS_FILE)").strip()
    facts = {
        "SCHEDD": schedd,
        "STARTD": slot["MyAddress"],
        "WORKER": slot["Machine"],
        "JOB": f"{job['ClusterId']}.{job['ProcId']}",
    }
    return Target(token, " ".join(f"{name}='{value}'" for name, value in facts.items()))


IDTOKEN = re.compile(r"eyJ[\w-]+\.(eyJ[\w-]+)\.[\w-]+")


def issuer_of(payload: str) -> str:
    """Trust domain of an IDTOKEN. The batch pool gives its users tokens, with their own names, as its manual says."""
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"])


def look(pool: Minipool, target: Target, user: str, host: str) -> Result:
    # The token itself is in no command: it would be found in the list of processes.
    return pool.run(host, f"{target.variables}; {LOOK}", user=user, timeout_s=300)


def test_no_tool_of_htcondor_shows_alices_token_to_bob_on_any_host(pool: Minipool, target: Target) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = dict(
            zip(
                pool.hosts, threads.map(lambda host: look(pool, target, "bob", host), pool.hosts), strict=True
            )
        )
    for host, result in results.items():
        assert "## files" in result.stdout, (
            f"{host}: the search did not reach its end: {result.output[-500:]}"
        )
        tries = re.split(r"^## ", result.stdout, flags=re.MULTILINE)
        shown = [each.partition("\n")[0] for each in tries if target.token in each]
        assert not shown, f"bob sees alice's token on {host} with: {shown}"
        issuers = {issuer_of(token) for token in IDTOKEN.findall(result.stdout)}
        assert not any("notebooks" in issuer for issuer in issuers), (
            f"bob has a token of the notebook pool on {host}"
        )


def test_alices_notebook_is_none_the_worse_for_it(both: tuple[HubUser, HubUser]) -> None:
    alice, _ = both
    assert alice.notebook("GET", "api/status").status_code == 200


@pytest.mark.parametrize(
    ("where", "command"),
    [
        ("hub", lambda job: "condor_q -all -af Environment"),
        ("hub", lambda job: f"condor_q -l {job}"),
        ("worker", lambda job: "cat /var/lib/condor/afhub-execute/dir_*/.job.ad"),
        ("worker", lambda job: "cat /proc/[0-9]*/environ"),
        ("worker", lambda job: "grep -rsaohE '[0-9a-f]{32}' /var/lib/condor"),
    ],
    ids=["queue", "one job", "job ad on the worker", "environment of processes", "search in files"],
)
def test_root_finds_the_token_in_the_same_places(
    pool: Minipool, target: Target, where: str, command: Callable[[str], str]
) -> None:
    """The search above would find it, if only bob were let in."""
    values = dict(re.findall(r"(\w+)='([^']*)'", target.variables))
    host = values["WORKER"].partition(".")[0] if where == "worker" else where
    assert target.token in pool.run(host, command(values["JOB"])).stdout
