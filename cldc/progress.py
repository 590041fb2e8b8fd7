"""Progress events. Only the command line knows about progress bars."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Receives progress events; every method returns at once and never raises."""

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """Start a task, which ends the one before. ``total`` is in ``unit``s, None where unknown."""

    def advance(self, done: float, detail: str = "") -> None:
        """Report ``done`` of the current task's total; ``detail`` is a few words, in parts two spaces apart."""

    def note(self, text: str) -> None:
        """Show a sentence that stays on the screen."""


class _Silent:
    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        return

    def advance(self, done: float, detail: str = "") -> None:
        return

    def note(self, text: str) -> None:
        return


SILENT: Observer = _Silent()
