"""An observer that records its events."""

from __future__ import annotations


class Heard:
    """An observer that records its events."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, float | None, str]] = []
        self.done: list[float] = []
        self.details: list[str] = []
        self.notes: list[str] = []

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        self.tasks.append((task, total, unit))

    def advance(self, done: float, detail: str = "") -> None:
        self.done.append(done)
        self.details.append(detail)

    def note(self, text: str) -> None:
        self.notes.append(text)
