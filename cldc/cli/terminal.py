"""Drawing on a terminal: a moving progress line, and results."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

from cldc.cli.plain_progress import fitted, parts_of
from cldc.cli.safe_streams import trusted
from cldc.render.document import Block, Table
from cldc.render.terminal import drawn
from cldc.text import duration, shown

# A bar fills the space that the words leave, up to a limit; it is left out if there is too little space.
_SHORTEST_BAR, _LONGEST_BAR = 8, 30
_SPINNER, _DONE, _STOPPED = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "✓", "✗"


def draw(blocks: Iterable[Block], stream: TextIO, *, everything: bool) -> None:
    """Draw blocks, with every column if ``everything``; their text is escaped here."""
    console = Console(file=stream, highlight=False)
    after_gap = True
    for block in blocks:
        is_table = isinstance(block, Table)
        if is_table and not after_gap:
            console.print()
        console.print(drawn(block, width=console.width, everything=everything), crop=False)
        if is_table:
            console.print()
        after_gap = is_table


class _Line(ProgressColumn):
    """One task on one line at any width: a spinner, the task, a bar, how far it is."""

    def __init__(self, console: Console) -> None:
        super().__init__(Column(no_wrap=True, overflow="crop"))
        self._console = console

    def render(self, task: Task) -> Text:
        mark = task.fields["mark"] or _SPINNER[int(10 * task.get_time()) % len(_SPINNER)]
        parts = parts_of(task.completed, task.total, task.fields["unit"], task.fields["detail"])
        elapsed = duration(task.elapsed or 0.0)
        if not (parts and parts[-1].endswith(" left")):
            parts.append(elapsed)
        width = self._console.width - 3
        words = fitted([task.description, *parts], width)
        line = Text.assemble(mark, " ")
        bar = min(_LONGEST_BAR, width - len(words) - 2)
        if task.total is None or bar < _SHORTEST_BAR or words.endswith("…"):
            return line.append(words)
        full = round(bar * min(1.0, task.completed / task.total)) if task.total else bar
        rest = words.removeprefix(task.description)
        line.append(f"{task.description}  ").append("━" * full, "green")
        return line.append("─" * (bar - full), "dim").append(rest)


class MovingLine:
    """A moving progress line on standard error."""

    def __init__(self) -> None:
        """Draw nothing before the first task."""
        self._progress: Progress | None = None
        self._task: Task | None = None

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """Start a task; the previous one stays on the screen, marked as finished."""
        progress = self._open()
        self._end(_DONE)
        added = progress.add_task(shown(task), total=total, unit=unit, detail="", mark="")
        self._task = next(known for known in progress.tasks if known.id == added)

    def advance(self, done: float, detail: str = "") -> None:
        """Move the line."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task.id, completed=done, detail=shown(detail))

    def note(self, text: str) -> None:
        """Print a line above the moving one."""
        self._open().console.print(shown(text), markup=False, highlight=False)

    def close(self, *, done: bool = True) -> None:
        """Stop drawing; unless everything is ``done``, an unfinished task is shown where it stopped."""
        if self._progress is not None:
            ended = self._task is not None and self._task.finished
            self._end(_DONE if done or ended else _STOPPED)
            self._progress.stop()
            self._progress = None

    def _end(self, mark: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task.id, mark=mark)
            if mark == _DONE and self._task.total is not None:
                self._progress.update(self._task.id, completed=self._task.total)
            self._progress.stop_task(self._task.id)
            self._task = None

    def _open(self) -> Progress:
        if self._progress is None:
            console = Console(file=trusted(sys.stderr))
            self._progress = Progress(_Line(console), console=console)
            self._progress.start()
        return self._progress
