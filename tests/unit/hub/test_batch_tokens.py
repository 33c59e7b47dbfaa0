"""The hub's tokens for the batch pool, with a stand-in for HTCondor's tool; tests/e2e has the real one."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from afhub import batchtokens
from afhub.pool import Pool
from afhub.settings import BatchTokens, Settings
from hub_fakes import FakeCondor, Hub, started

SETTINGS = BatchTokens(
    keys_dir=Path("/etc/keys"), key="notebooks", trust_domain="batch.af.test", identity_domain="af.test"
)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """A program of the tool's name that keeps what it was called with."""
    program = folder / batchtokens.PROGRAM
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\nenv > {folder}/environment\n{script}\n')
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def test_a_token_is_its_owners_and_good_for_reading_and_writing_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "of the hub")
    stand_in(tmp_path, monkeypatch, "echo aa-a.b_b.cc")
    assert asyncio.run(batchtokens.mint(SETTINGS, "alice", 3600)) == "aa-a.b_b.cc"
    assert (tmp_path / "called").read_text().split() == [
        "-identity", "alice@af.test", "-key", "notebooks", "-lifetime", "3600", "-authz", "READ", "-authz", "WRITE",
    ]  # fmt: skip
    environment = (tmp_path / "environment").read_text()
    assert "_CONDOR_SEC_PASSWORD_DIRECTORY=/etc/keys\n" in environment
    assert "_CONDOR_TRUST_DOMAIN=batch.af.test\n" in environment
    assert "CRYPT_KEY" not in environment


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Cannot read the key' >&2; exit 1", "ended with 1 and said: Cannot read the key"),
        ("echo 'no token at all'", "ended with 0"),
        ("exec sleep 60", "took longer than 1 s"),
    ],
)
def test_why_there_is_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    if "longer" in words:
        monkeypatch.setattr(batchtokens, "TIMEOUT_S", 1.0)
    stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(batchtokens.TokenError, match=words):
        asyncio.run(batchtokens.mint(SETTINGS, "alice", 3600))


def test_a_host_without_the_tool_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(batchtokens.TokenError, match="condor_token_create can't be run: No such file"):
        asyncio.run(batchtokens.mint(SETTINGS, "alice", 3600))


@pytest.mark.usefixtures("quick", "known_accounts")
def test_a_notebook_starts_with_a_token_for_as_long_as_it_may_live(
    settings: Settings, pool: Pool, condor: FakeCondor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    async def mint(_: BatchTokens, owner: str, lifetime_s: int) -> str:
        asked.append((owner, lifetime_s))
        return "aa.bb.cc"

    monkeypatch.setattr(batchtokens, "mint", mint)
    known = settings.model_copy(update={"batch_tokens": SETTINGS})
    asyncio.run(started(Hub(known, pool).spawner(), condor))
    assert "AFHUB_BATCH_TOKEN='aa.bb.cc'" in condor.submitted[0]["environment"]
    ((owner, lifetime_s),) = asked
    assert owner == "alice"
    assert 0 < lifetime_s - known.default_class.runtime_s - known.limits.start_timeout_s < 3600


@pytest.mark.usefixtures("quick", "known_accounts")
def test_a_notebook_starts_without_one_where_there_is_none(
    settings: Settings, pool: Pool, condor: FakeCondor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "exit 1")
    known = settings.model_copy(update={"batch_tokens": SETTINGS})
    asyncio.run(started(Hub(known, pool).spawner(), condor))
    assert "AFHUB_BATCH_TOKEN" not in condor.submitted[0]["environment"]
