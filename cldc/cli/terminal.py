"""What is drawn on a terminal: a line that moves while a command works, and its result."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from cldc.cli.streams import trusted
from cldc.render.blocks import Block
from cldc.render.terminal import drawn
from cldc.text import shown

# Below this many columns the moving line has no room for a bar.
_NARROW = 64


def draw(blocks: Iterable[Block], stream: TextIO) -> None:
    """Draw blocks, whose texts are made safe here."""
    console = Console(file=stream, highlight=False)
    for block in blocks:
        console.print(drawn(block, width=console.width))


class MovingLine:
    """One moving line on standard error: what is done now, how far it is, how long it will take."""

    def __init__(self) -> None:
        """Start nothing before the first task."""
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """Replace the line; the task before it stays as a finished one."""
        progress = self._open()
        self._finish()
        self._task = progress.add_task(shown(task), total=total, unit=unit, detail="")

    def advance(self, done: float, detail: str = "") -> None:
        """Move the line."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, detail=shown(detail))

    def note(self, text: str) -> None:
        """A line above the moving one."""
        self._open().console.print(shown(text), markup=False, highlight=False)

    def close(self) -> None:
        """Leave the screen as it should be for what comes next."""
        if self._progress is not None:
            self._finish()
            self._progress.stop()
            self._progress = None

    def _finish(self) -> None:
        if self._progress is not None and self._task is not None:
            task = next((t for t in self._progress.tasks if t.id == self._task), None)
            if task is not None and not task.finished:
                total = task.total if task.total is not None else 1
                self._progress.update(self._task, total=total, completed=total)
            self._task = None

    def _open(self) -> Progress:
        if self._progress is None:
            console = Console(file=trusted(sys.stderr))
            what = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=2))
            detail = TextColumn("{task.fields[detail]}", markup=False, table_column=Column(ratio=2))
            spinner, elapsed = SpinnerColumn(finished_text="✓"), TimeElapsedColumn()
            columns: tuple[ProgressColumn, ...] = (spinner, what, BarColumn(bar_width=20), detail, elapsed)
            if console.width < _NARROW:
                columns = (spinner, what, elapsed)
            self._progress = Progress(*columns, console=console)
            self._progress.start()
        return self._progress
