"""Standard output for results, standard error for progress, notes and errors."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cldc.cli.streams import discard, trusted
from cldc.errors import CldcError, StorageError
from cldc.files import storage_error, storage_errors
from cldc.progress import SILENT, Observer
from cldc.text import shown

if TYPE_CHECKING:
    import click
    from rich.progress import Progress, TaskID

    from cldc.render.blocks import Block

# Lines of progress in a pipe or a log: often enough to see that it lives, seldom enough to read.
_PLAIN_SECONDS = 15.0
# Below this many columns the moving line has no room for a bar.
_NARROW = 64


class PlainProgress:
    """Progress as plain lines on standard error, for pipes, logs and screen readers."""

    def __init__(self) -> None:
        """Nothing has been told yet."""
        self._task, self._total, self._unit, self._last = "", None, "", 0.0  # type: str, float | None, str, float

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """One line a task."""
        self._task, self._total, self._unit, self._last = task, total, unit, time.monotonic()
        _tell(f"{task} ...")

    def advance(self, done: float, detail: str = "") -> None:
        """One line every few seconds."""
        if time.monotonic() - self._last < _PLAIN_SECONDS:
            return
        self._last = time.monotonic()
        of = f" {done:,.0f} of {self._total:,.0f} {self._unit}".rstrip() if self._total else ""
        _tell("  ".join(part for part in (f"{self._task}:{of}", detail) if part))

    def note(self, text: str) -> None:
        """One line."""
        _tell(text)


class RichProgress:
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
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                ProgressColumn,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
            )
            from rich.table import Column

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


class Output:
    """Where a command's result goes, in the format that was asked for."""

    def __init__(self, *, form: str = "text", quiet: bool = False, verbose: bool = False) -> None:
        """Choose how progress is told: not at all, as a moving line on a terminal, or as plain lines."""
        self.form = form
        self.verbose = verbose
        self.observer: Observer = SILENT
        if not quiet:
            self.observer = RichProgress() if _lively(sys.stderr) else PlainProgress()

    def show(self, result: object, blocks: Iterable[Block]) -> None:
        """Print a result: as JSON, or as the blocks that tell it."""
        self.close()
        if self.form == "json":
            from cldc.render.data import to_json

            _write(to_json(result))
            return
        told = list(blocks)
        self.tell(told)
        if self.form == "github":
            self.add_to_job(result, told)

    def add_to_job(self, result: object, blocks: Iterable[Block]) -> None:
        """Add a result to the summary and the outputs of a GitHub Actions step, where one runs this."""
        from cldc.render.markdown import to_markdown, to_outputs

        for variable, text in (
            ("GITHUB_STEP_SUMMARY", to_markdown(blocks)),
            ("GITHUB_OUTPUT", to_outputs(result)),
        ):
            if path := os.environ.get(variable):
                with storage_errors(Path(path)), Path(path).open("a", encoding="utf-8") as file:
                    file.write(text)

    def tell(self, blocks: Iterable[Block]) -> None:
        """Print blocks to standard output."""
        self.close()
        if not _lively(sys.stdout):
            from cldc.render.blocks import plain

            _write(plain(blocks))
            return
        from rich.console import Console

        from cldc.render.blocks import drawn

        console = Console(file=trusted(sys.stdout), highlight=False)
        for block in blocks:
            console.print(drawn(block, width=console.width))

    def write(self, text: str, *, commands: bool = False) -> None:
        """Print a finished text; one with commands to a job's log has been made safe where they were made."""
        self.close()
        _write(text, trusted(sys.stdout) if commands else None)

    def clear(self) -> None:
        """Empty the screen, where standard output is one."""
        self.close()
        if _lively(sys.stdout):
            _write("\x1b[2J\x1b[H", trusted(sys.stdout))

    def close(self) -> None:
        """End any moving line."""
        if isinstance(self.observer, RichProgress):
            self.observer.close()


def _lively(stream: Any) -> bool:
    """Whether a terminal is there that may be drawn on; CLDC_PLAIN asks for plain lines, as for a screen reader."""
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb" and not os.environ.get("CLDC_PLAIN")


def _write(text: str, stream: TextIO | None = None) -> None:
    try:
        (stream or sys.stdout).write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        if lost := lost_output():
            raise lost from None
        raise


def lost_output() -> StorageError | None:
    """Why standard output takes nothing, such as a full disk behind it; None where it does."""
    try:
        os.write(sys.stdout.fileno(), b"\n")  # what failed before may be gone from the stream
    except OSError as error:
        discard(sys.stdout)
        return storage_error(error, Path("standard output"))
    return None


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show_error(error: CldcError, arguments: Sequence[str]) -> int:
    """Tell an expected error and what to do next; give back its exit code."""
    _tell_error(error.message, error.action)
    told = {"kind": error.kind, "code": error.code, "message": error.message, "action": error.action}
    with contextlib.suppress(CldcError):  # where neither can be written, people are told already
        if _wants("github", arguments):
            _annotate(error)
        _write_error(told, arguments)
    return error.code


def show_usage_error(error: click.ClickException, arguments: Sequence[str]) -> int:
    """Tell an error in the command line as Click does, with the command's help named as the next action."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "cldc"
    _tell_error(error.format_message(), f"`{command} --help` shows what it takes.")
    told = {"kind": "usage", "code": error.exit_code, "message": error.format_message()}
    with contextlib.suppress(CldcError):
        _write_error(told, arguments)
    return error.exit_code


def _write_error(told: dict[str, object], arguments: Sequence[str]) -> None:
    if _wants("json", arguments):
        from cldc.render.data import to_json

        _write(to_json({"error": told}))


def _tell_error(message: str, action: str) -> None:
    if _lively(sys.stderr) and not os.environ.get("NO_COLOR"):
        trusted(sys.stderr).write("\x1b[1;31mError:\x1b[0m ")
        _tell(f"{message}\n{action}")
    else:
        _tell(f"Error: {message}\n{action}")


def _wants(form: str, arguments: Sequence[str]) -> bool:
    return f"--format={form}" in arguments or ("--format", form) in itertools.pairwise(arguments)


def _annotate(error: CldcError) -> None:
    """Tell an error where a job's reader looks first: as an annotation and in the summary."""
    from cldc.render.blocks import Line
    from cldc.render.markdown import annotation

    _write(annotation(error.kind, f"{error.message} {error.action}"), trusted(sys.stdout))
    Output(form="github", quiet=True).add_to_job(
        {"exit-code": error.code}, [Line(f"Failed: {error.message}", "bad"), Line(error.action)]
    )
