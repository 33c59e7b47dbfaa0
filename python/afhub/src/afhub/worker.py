"""A helper process for HTCondor calls, and the hub's end of it.

One process serves one kind of call (schedd, event log or collector) for all users; requests and answers are lines of
JSON on its standard input and output. A call that does not return in time costs that process and nothing
else: it is killed, the caller learns that the daemon does not answer, and the next call starts a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import sys
from asyncio.exceptions import TimeoutError as AsyncTimeoutError
from collections.abc import Mapping
from typing import Any, Protocol

from afhub.condor import Condor, CondorCalls, CondorRefused, CondorUnreachable
from afhub.settings import Settings

log = logging.getLogger("afhub.worker")

CALLS = (
    "jobs",
    "details",
    "submit",
    "edit",
    "remove",
    "remove_by_force",
    "reschedule",
    "events",
    "slots",
)
# HTCondor's words where the other side has forgotten a session (``SECMAN_ERR_``).
_STALE = re.compile(r"SECMAN:200[47]")
_ANSWER_LIMIT = 64 * 1024 * 1024


class Caller(Protocol):
    """Runs one of :data:`CALLS` and returns what it returns."""

    async def call(self, name: str, *args: Any) -> Any:
        """Raises what :class:`afhub.condor.CondorCalls` raises."""

    async def close(self) -> None:
        """End the helper process, if one runs."""


class WorkerProcess:
    """The hub's end of one helper process."""

    def __init__(self, settings: Settings, *, timeout_s: float, command: tuple[str, ...] = ()) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._command = command or (sys.executable, "-m", "afhub.worker")
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def call(self, name: str, *args: Any) -> Any:
        """One call, in turn with others.

        A call that was begun is finished even when its caller is cancelled, so that answers never get out
        of step.
        """
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(name, args)))

    async def _in_turn(self, name: str, args: tuple[Any, ...]) -> Any:
        async with self._lock:
            answer = await self._attempt(name, args)
            if _STALE.search(str(answer.get("unreachable", ""))):
                # A schedd that was restarted does not know this process's session any more; a new one has none.
                await self._kill()
                answer = await self._attempt(name, args)
        if "refused" in answer:
            raise CondorRefused(answer["refused"])
        if "unreachable" in answer:
            raise CondorUnreachable(answer["unreachable"])
        return answer["result"]

    async def _attempt(self, name: str, args: tuple[Any, ...]) -> dict[str, Any]:
        try:
            return await asyncio.wait_for(self._ask(name, args), self._timeout_s)
        except AsyncTimeoutError as error:
            await self._kill()
            raise CondorUnreachable(f"no answer to {name!r} within {self._timeout_s:g} s") from error
        except (OSError, TypeError, ValueError) as error:
            await self._kill()
            raise CondorUnreachable(f"the helper process ended during {name!r}: {error}") from error

    async def _ask(self, name: str, args: tuple[Any, ...]) -> dict[str, Any]:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_ANSWER_LIMIT,
                env=_worker_environment(),
            )
            await self._write(process, self._settings.model_dump_json())
        await self._write(process, json.dumps([name, *args]))
        line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise ValueError("no answer")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise TypeError("not an answer")
        return answer

    @staticmethod
    async def _write(process: asyncio.subprocess.Process, line: str) -> None:
        if process.stdin is None:
            raise ValueError("no input")
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the helper process, if one runs."""
        await self._kill()


def _worker_environment() -> dict[str, str]:
    """The helper needs HTCondor's settings and Python's, none of the hub's secrets."""
    keep = (
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "CONDOR_CONFIG",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
    )
    return {
        name: value
        for name, value in os.environ.items()
        if name in keep or name.upper().startswith("_CONDOR_")
    }


def answer(condor: CondorCalls, request: list[Any]) -> dict[str, Any]:
    """Run one request and put its outcome into words for the other end."""
    name, *args = request
    if name not in CALLS:
        return {"refused": f"no such call: {name}"}
    try:
        return {"result": getattr(condor, name)(*args)}
    except CondorRefused as error:
        return {"refused": str(error) or type(error).__name__}
    except CondorUnreachable as error:
        return {"unreachable": str(error) or type(error).__name__}
    except Exception as error:
        log.exception("Call %s failed", name)
        return {"unreachable": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Serve requests until standard input ends."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings = Settings.model_validate_json(sys.stdin.readline())
    condor: Condor | None = None
    for line in sys.stdin:
        request: list[Any] = json.loads(line)
        try:
            condor = condor or Condor(settings)
        except (ImportError, OSError, RuntimeError) as error:
            outcome: Mapping[str, Any] = {"unreachable": f"HTCondor's bindings can't be used: {error}"}
        else:
            outcome = answer(condor, request)
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
