"""Let one thread end the programs of another, such as its training."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cldc.process.guarded import Running

current_group: ContextVar[Group | None] = ContextVar("group", default=None)
"""The group that this thread's programs belong to."""


class Cancelled(BaseException):
    """Raised in a thread whose group was ended. It is not a failure, so ``except Exception`` does not catch it."""


class Group:
    """The programs that are started within ``with group.entered():``, in any thread."""

    def __init__(self) -> None:
        """Start with no programs."""
        self._lock = threading.Lock()
        self._running: weakref.WeakSet[Running] = weakref.WeakSet()
        self._ended = False

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Count the programs that this thread starts in the block as the group's."""
        token = current_group.set(self)
        try:
            yield
        finally:
            current_group.reset(token)

    def end(self) -> None:
        """End all its programs without waiting; a thread that waits for one, or starts one, gets `Cancelled`."""
        with self._lock:
            self._ended = True
            programs = list(self._running)
        for program in programs:
            program.ask_to_end()

    def check(self) -> None:
        """Raise `Cancelled` if the group was ended."""
        if self._ended:
            raise Cancelled

    def add(self, running: Running) -> None:
        """Add a program that has just started.

        Raises:
            Cancelled: The group was ended meanwhile.
        """
        with self._lock:
            self.check()
            self._running.add(running)
