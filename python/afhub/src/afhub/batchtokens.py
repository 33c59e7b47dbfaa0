"""Tokens with which a notebook is known to the site's batch pool as its owner, minted by HTCondor's own tool."""

from __future__ import annotations

import asyncio
import os
import re

from afhub.settings import BatchTokens

PROGRAM = "condor_token_create"
VARIABLE = "AFHUB_BATCH_TOKEN"
"""How the token reaches the notebook: in the job's environment, which only the hub and the notebook can read."""

TIMEOUT_S = 10.0
LEVELS = ("READ", "WRITE")
"""What a token is good for at most; nobody administers a pool with it, and no daemon is one."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")


class TokenError(RuntimeError):
    """No token could be minted; the text says why and is meant for the hub's log."""


async def mint(settings: BatchTokens, owner: str, lifetime_s: int) -> str:
    """A token that makes `owner` known to the batch pool for so many seconds. Raises TokenError."""
    command = [PROGRAM, "-identity", f"{owner}@{settings.identity_domain}", "-key", settings.key]
    command += ["-lifetime", str(lifetime_s)]
    for level in LEVELS:
        command += ["-authz", level]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "_CONDOR_SEC_PASSWORD_DIRECTORY": str(settings.keys_dir),
        "_CONDOR_TRUST_DOMAIN": settings.trust_domain,
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise TokenError(f"{PROGRAM} can't be run: {error.strerror}") from error
    try:
        out, problem = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise TokenError(f"{PROGRAM} took longer than {TIMEOUT_S:.0f} s") from None
    token = out.decode(errors="replace").strip()
    if process.returncode or not _TOKEN.fullmatch(token):
        said = " ".join(problem.decode(errors="replace").split())[:300] or "no reason"
        raise TokenError(f"{PROGRAM} ended with {process.returncode} and said: {said}")
    return token
