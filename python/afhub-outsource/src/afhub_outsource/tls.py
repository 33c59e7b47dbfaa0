"""One encrypted connection that breaks must not take the others with it.

OpenSSL keeps the errors of a thread in a queue, and asks for an empty one before each read and write. From 3.4 on
it puts the error of a write to a closed connection there (also where the handshake went well, and only the tickets
that follow it found nobody), and Python 3.13 reports it without taking it out. The next connection of the same
thread that has nothing to read is told "Broken pipe" then, and closed. Dask has all its connections in one
thread, and ends some of them in the middle of things as a matter of course.
"""

from __future__ import annotations

import _ssl
import ctypes
import functools
from collections.abc import Callable
from typing import Any

MENDED = "_afhub_clears_errors"


def error_queue() -> Callable[[], object]:
    """What empties this thread's queue, in the very OpenSSL that Python's ssl uses.

    Raises AttributeError or OSError where that can't be found.
    """
    # PyDLL keeps the interpreter's lock: no other thread comes between the clearing and the read.
    library = ctypes.PyDLL(getattr(_ssl, "__file__", None))
    clear = library.ERR_clear_error
    clear.argtypes = []
    clear.restype = None
    return clear


def mend() -> None:
    """Have tornado's encrypted connections in this process start each read and write with an empty queue."""
    from tornado.iostream import SSLIOStream

    if getattr(SSLIOStream, MENDED, False):
        return
    clear = error_queue()

    def cleared(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def transfer(*arguments: Any) -> Any:
            clear()
            return method(*arguments)

        return transfer

    for name in ("read_from_fd", "write_to_fd"):
        setattr(SSLIOStream, name, cleared(getattr(SSLIOStream, name)))
    setattr(SSLIOStream, MENDED, True)


def dask_setup(_node: object) -> None:
    """Called by Dask with a nanny that starts."""
    mend()
