"""Nobody speaks to the notebook pool without a token of it, and each token is good for one thing."""

from __future__ import annotations

import pytest

from minipool import Minipool

COLLECTOR = "nbcm.af.test"
WITHOUT_TOKEN = "_CONDOR_SEC_TOKEN_DIRECTORY=/nonexistent _CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY=/nonexistent"


@pytest.mark.parametrize("host", ["hub", "worker1", "big1", "batch"])
def test_a_tool_without_a_token_reads_nothing(pool: Minipool, host: str) -> None:
    result = pool.run(host, f"{WITHOUT_TOKEN} condor_status -pool {COLLECTOR} -any -af Name")
    assert result.returncode != 0 and not result.stdout.strip(), result.output


def test_the_same_question_is_answered_to_one_who_may_ask(pool: Minipool) -> None:
    assert "notebooks@worker1" in pool.check("hub", f"condor_status -pool {COLLECTOR} -af Name")


@pytest.mark.parametrize("host", ["hub", "nbcm", "worker1", "big1", "batch"])
@pytest.mark.parametrize("user", ["alice", "bob"])
def test_an_ordinary_user_reads_nothing_on_any_host(pool: Minipool, host: str, user: str) -> None:
    for question in (
        f"condor_status -pool {COLLECTOR} -any -af Name",
        f"condor_q -pool {COLLECTOR} -name hub.af.test -all -af Environment",
        "_CONDOR_COLLECTOR_HOST= condor_q -all -af Environment AfhubClass" if host == "hub" else "true",
    ):
        result = pool.run(host, question, user=user)
        assert not result.stdout.strip(), f"{question}: {result.output}"


@pytest.mark.parametrize("host", ["nbcm", "worker1", "big1", "batch"])
def test_root_of_another_host_does_not_read_the_hubs_queue(pool: Minipool, host: str) -> None:
    """The tokens of the other hosts are good for the collector alone."""
    for address in ("-pool nbcm.af.test -name hub.af.test", "-addr '<hub.af.test:9618?sock=schedd>'"):
        result = pool.run(host, f"condor_q {address} -all -af Environment")
        assert not result.stdout.strip(), result.output


def advertise(pool: Minipool, host: str, name: str, command: str, my_type: str, environment: str = "") -> str:
    """Tries to put an ad into the notebook collector with what tokens the host has; returns the tool's words."""
    facts = {
        "MyType": my_type,
        "Name": name,
        "Machine": name,
        "MyAddress": "<127.0.0.1:1>",
        "State": "Unclaimed",
    }
    ad = "".join(f'{key} = "{value}"\\n' for key, value in facts.items())
    send = f"{environment} condor_advertise -pool {COLLECTOR} -tcp {command} /run/test-ad"
    return pool.run(host, f"printf '{ad}' > /run/test-ad; {send}; rm /run/test-ad").output


def advertised(pool: Minipool) -> str:
    return pool.check("nbcm", "condor_status -any -af Name")


def test_a_worker_offers_slots_but_neither_a_schedd_nor_a_master(pool: Minipool) -> None:
    advertise(pool, "worker1", "test-slot", "UPDATE_STARTD_AD", "Machine")
    advertise(pool, "worker1", "test-schedd", "UPDATE_SCHEDD_AD", "Scheduler")
    advertise(pool, "worker1", "test-master", "UPDATE_MASTER_AD", "DaemonMaster")
    seen = advertised(pool)
    query = 'MyType="Query"\\nTargetType="Machine"\\nRequirements = Name == "test-slot"\\n'
    pool.check(
        "worker1", f"printf '{query}' | condor_advertise -pool {COLLECTOR} -tcp INVALIDATE_STARTD_ADS -"
    )
    assert "test-slot" in seen and "test-schedd" not in seen and "test-master" not in seen
    assert "test-slot" not in advertised(pool), "the test should leave no slot behind"


def test_a_daemon_without_a_token_or_with_one_of_another_pool_is_refused(pool: Minipool) -> None:
    assert "batch-pool" in pool.check("batch", "ls /etc/condor/tokens.d"), (
        "the batch host should have a token of its own pool"
    )
    advertise(pool, "batch", "test-other-pool", "UPDATE_STARTD_AD", "Machine")
    advertise(pool, "worker1", "test-no-token", "UPDATE_STARTD_AD", "Machine", WITHOUT_TOKEN)
    seen = advertised(pool)
    assert "test-other-pool" not in seen and "test-no-token" not in seen


def test_a_token_signed_by_another_pools_key_is_refused(pool: Minipool) -> None:
    """The identity and the issuer are right, the signature is not."""
    forge = "_CONDOR_TRUST_DOMAIN=notebooks.af.test condor_token_create -identity worker@notebooks.af.test -key POOL"
    pool.check("batch", f"umask 077; mkdir -p /run/forged && {forge} > /run/forged/token")
    use_it = "_CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY=/run/forged"
    advertise(pool, "batch", "test-forged", "UPDATE_STARTD_AD", "Machine", use_it)
    pool.check("batch", "rm -r /run/forged")
    assert "test-forged" not in advertised(pool)


def test_secrets_are_readable_by_their_owners_alone(pool: Minipool) -> None:
    folders = "/etc/condor/{passwords.d,tokens.d,afhub-issued} /etc/afhub/hub/tokens.d /var/lib/afhub/secrets"
    for host in pool.hosts:
        listing = pool.check(
            host, f"bash -c 'find {folders} -type f -printf \"%m %u %p\\n\" 2>/dev/null || true'"
        )
        assert listing, f"{host} has no secret at all"
        for line in listing.splitlines():
            mode, owner, path = line.split(maxsplit=2)
            assert mode == "600", line
            assert owner == ("afhub" if path.startswith(("/etc/afhub", "/var/lib/afhub")) else "root"), line


def test_a_batch_user_gets_no_job_into_a_notebook_slot(pool: Minipool) -> None:
    """Neither through the hub's schedd, nor with a job of the batch pool that asks for one."""
    job = 'printf \'executable=/bin/true\\n+AfhubClass="regular"\\n+AfhubHub="hub.af.test"\\nqueue\\n\''
    for host in ("hub", "batch", "worker1"):
        refused = pool.run(
            host, f"cd /tmp; {job} | condor_submit -pool {COLLECTOR} -remote hub.af.test", user="bob"
        )
        assert refused.returncode != 0, refused.output
    local = pool.run("hub", f"cd /tmp; {job} | condor_submit", user="bob")
    assert local.returncode != 0, local.output
    slots = pool.check("batch", "condor_status -af Name")
    assert "slot" in slots and "notebooks@" not in slots, "the batch collector must not know notebook slots"
