"""Progress events. Only the command line knows about progress bars."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Told of work as it goes; every method returns at once and never raises."""

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """A task begins, and any before it has ended. ``total`` is in ``unit``s, None where unknown."""

    def advance(self, done: float, detail: str = "") -> None:
        """The current task has come to ``done`` of its total; ``detail`` is a few words, in parts two spaces apart."""

    def note(self, text: str) -> None:
        """A sentence worth keeping on the screen."""


class _Silent:
    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        return

    def advance(self, done: float, detail: str = "") -> None:
        return

    def note(self, text: str) -> None:
        return


SILENT: Observer = _Silent()
