"""The last minute: HTCondor wants the job to leave, and open Labs are asked to save before the server stops."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import Callable
from typing import Any

from jupyter_afhub import documents
from jupyter_afhub.clients import Client
from jupyter_afhub.monitor import Monitor

LONGEST_S = 20.0
"""How long Labs may take to save."""

FOR_THE_REST_S = 5.0
"""What is left of the vacate time for kernels and server."""

UNKNOWN_VACATE_S = 15.0
"""The vacate time is taken to be this where the ad does not tell."""

_AT_LEAST_S = 1.0


class Leaving:
    """Asks Labs to save, once, and writes what they send."""

    def __init__(self, monitor: Monitor, contents: Callable[[], Any]) -> None:
        """`contents` gives the contents manager: it is not there yet when extensions are loaded."""
        self._monitor = monitor
        self._contents = contents
        self._message: dict[str, Any] | None = None
        self._deadline = 0.0
        self._one_at_a_time = asyncio.Lock()

    @property
    def begun(self) -> bool:
        return self._message is not None

    def deadline_s(self) -> float:
        """How long Labs may take."""
        told_s = self._monitor.job.vacate_s
        vacate_s = UNKNOWN_VACATE_S if told_s is None else float(told_s)
        return max(_AT_LEAST_S, min(vacate_s - FOR_THE_REST_S, LONGEST_S))

    async def save_everything(self) -> None:
        """Ask every open Lab to save and wait until they have; returns at once where none is open."""
        if self._message is not None:
            return
        monitor, within_s = self._monitor, self.deadline_s()
        reason = monitor.leave_reason()
        self._deadline = time.monotonic() + within_s
        self._message = {"type": "save", "id": secrets.token_hex(8), "deadline_s": within_s, "reason": reason}
        if not monitor.clients:
            return
        monitor.log.warning(
            "jupyter_afhub: this notebook has to leave (%s): asking %d open tabs to save",
            reason,
            len(monitor.clients),
        )
        monitor.clients.send_all(self._message)
        done = await monitor.clients.all_saved(self._message["id"], within_s)
        monitor.log.warning(
            "jupyter_afhub: %s",
            "all tabs have saved" if done else f"not all tabs have saved within {within_s:.0f} s",
        )
        monitor.clients.send_all({"type": "stopped", "reason": reason})

    def greet(self, client: Client) -> None:
        """Ask also a Lab that comes back in the last minute."""
        left_s = self._deadline - time.monotonic()
        if self._message and left_s > 0:
            client.socket.send({**self._message, "deadline_s": round(left_s, 1)})

    async def save(self, message: dict[str, Any]) -> documents.Saved:
        """Write a document, in answer to our question only."""
        path = str(message.get("path", ""))
        if self._message is None or message.get("save_id") != self._message["id"]:
            return documents.Saved(path, None, "nobody has asked for it")
        try:
            document = documents.Document.from_message(message)
        except documents.BadDocumentError as error:
            return documents.Saved(path, None, str(error))
        async with self._one_at_a_time:
            saved = await documents.save(self._contents(), document)
        log = self._monitor.log
        if saved.error:
            log.error("jupyter_afhub: %s was not saved: %s", saved.path, saved.error)
        else:
            log.warning("jupyter_afhub: saved %s as %s", saved.path, saved.saved_as)
        return saved

    def saved(self, client: Client, message: dict[str, Any]) -> None:
        """A Lab has sent all it had."""
        if self._message and message.get("save_id") == self._message["id"]:
            self._monitor.clients.has_saved(client, self._message["id"])

    def heed_sigterm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Save before whatever Jupyter does on SIGTERM; a second one is for Jupyter at once."""
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before):
            return

        async def leave() -> None:
            await self.save_everything()
            before(signal.SIGTERM, None)

        tasks: set[asyncio.Task[None]] = set()

        def asked() -> None:
            if self.begun:
                before(signal.SIGTERM, None)
                return
            task = loop.create_task(leave())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        loop.add_signal_handler(signal.SIGTERM, asked)
