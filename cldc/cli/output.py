"""Standard output for results, standard error for progress, notes and errors."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import sys
import traceback
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from cldc import __version__
from cldc.cli.plain_progress import PlainProgress, tell
from cldc.cli.safe_streams import discard, trusted
from cldc.errors import CldcError, StorageError
from cldc.files import data_folder, private_folder, replace_atomically, storage_error, storage_errors
from cldc.progress import SILENT, Observer
from cldc.render.document import Annotation, Block, Document, Line
from cldc.render.formats import annotation, markdown, outputs, plain, render, to_json
from cldc.text import masked

if TYPE_CHECKING:
    from cldc.cli.terminal import MovingLine


class Report(NamedTuple):
    """A file that a result is written to, and its format."""

    path: Path
    form: str


class Output:
    """Writes a command's result in the requested formats."""

    def __init__(
        self,
        *,
        form: str = "text",
        reports: Sequence[Report] = (),
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        """Choose how to show progress: not at all, as a moving line on a terminal, or as plain lines.

        Args:
            form: The format of standard output.
            reports: Files to write besides.
            quiet: Whether to show no progress.
            verbose: Whether to show long lists, and every column, in full.
        """
        self.form = form
        self.verbose = verbose
        self._reports = reports
        self._line: MovingLine | None = None
        self.observer: Observer = SILENT
        if quiet:
            return
        if not _is_terminal(sys.stderr):
            self.observer = PlainProgress()
            return
        # Rich takes longer to import than a second check takes, and pipes and logs do without it.
        from cldc.cli.terminal import MovingLine  # noqa: PLC0415

        self.observer = self._line = MovingLine()

    def wants(self, form: str) -> bool:
        """Check whether the result is requested in that format."""
        return form == self.form or any(report.form == form for report in self._reports)

    def show(self, document: Document) -> None:
        """Print a result, and write the reports."""
        self.close()
        if self.form == "text":
            self.tell(document.blocks)
        else:
            # The renderer has made the commands to a job's log safe.
            stream = trusted(sys.stdout) if self.form == "github" else sys.stdout
            _write(render(self.form, document), stream)
        if self.form == "github":
            add_to_job(document)
        for report in self._reports:
            try:
                replace_atomically(report.path, masked(render(report.form, document)), mode=0o644)
            except StorageError as error:
                error.action = f"{error.action} Or name another file with --report."
                raise
            self.observer.note(f"Written: {report.path}")

    def tell(self, blocks: Iterable[Block]) -> None:
        """Print what comes before the result: on standard error if a program reads standard output."""
        self.close()
        if self.form != "text":
            if text := plain(blocks):
                tell(text.rstrip("\n"))
        elif _is_terminal(sys.stdout):
            from cldc.cli.terminal import draw  # noqa: PLC0415 - as above

            draw(blocks, trusted(sys.stdout), everything=self.verbose)
        else:
            _write(plain(blocks))

    def write(self, text: str) -> None:
        """Print a finished text."""
        self.close()
        _write(text)

    def clear(self) -> None:
        """Clear the screen, if standard output is a terminal."""
        self.close()
        if _is_terminal(sys.stdout):
            _write("\x1b[2J\x1b[H", trusted(sys.stdout))

    def close(self, *, done: bool = True) -> None:
        """End the moving line; a task that is not ``done`` is shown where it stopped."""
        if self._line is not None:
            self._line.close(done=done)


def add_to_job(document: Document) -> None:
    """Add a result to the summary and the outputs of a GitHub Actions step, if this runs in one."""
    for variable, text in (
        ("GITHUB_STEP_SUMMARY", markdown(document)),
        ("GITHUB_OUTPUT", outputs(document.data)),
    ):
        if path := os.environ.get(variable):
            with storage_errors(Path(path)), Path(path).open("a", encoding="utf-8") as file:
                file.write(text)


def _is_terminal(stream: Any) -> bool:
    """Check whether this is a terminal to draw on; CLDC_PLAIN requests plain lines instead, for screen readers."""
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
    """Find out why standard output can't be written to, such as a full disk; None if it can be."""
    try:
        os.write(sys.stdout.fileno(), b"\n")  # the text that failed may no longer be in the stream
    except OSError as error:
        discard(sys.stdout)
        return storage_error(error, Path("standard output"))
    return None


def show_error(error: CldcError | click.ClickException, arguments: Sequence[str]) -> int:
    """Print an expected error, or one in the command line, and the next action; return its exit code."""
    if isinstance(error, CldcError):
        kind, code, message, action = error.kind, error.code, error.message, error.action
    else:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "cldc"
        kind, code, message = "usage", error.exit_code, error.format_message()
        action = f"`{command} --help` shows how to use it."
    coloured = _is_terminal(sys.stderr) and not os.environ.get("NO_COLOR")
    if coloured:
        trusted(sys.stderr).write("\x1b[1;31mError:\x1b[0m ")
    tell(f"{'' if coloured else 'Error: '}{message}\n{action}")
    with contextlib.suppress(CldcError):  # the message on standard error is enough
        if _wants("github", arguments):
            # As an annotation and in the job's summary, where people look first.
            remark = Annotation("error", f"cldc {kind}", f"{message} {action}")
            _write(annotation(remark), trusted(sys.stdout))
            add_to_job(Document({"exit-code": code}, [Line(f"Failed: {message}", "bad"), Line(action)]))
        if _wants("json", arguments):
            data = {"kind": kind, "code": code, "message": message, "action": action}
            _write(to_json({"error": data}))
    return code


def _wants(form: str, arguments: Sequence[str]) -> bool:
    return f"--format={form}" in arguments or ("--format", form) in itertools.pairwise(arguments)


def report_bug(error: Exception) -> str:
    """Write the traceback, without the values of variables, to a log; return the message for the user."""
    # No command line: an argument may be private. No locals: one may hold a token.
    text = "".join(
        (
            f"cldc {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n",
            *traceback.format_exception(error),
        )
    )
    try:
        name = f"bug-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
        path = private_folder(data_folder() / "logs") / name
        replace_atomically(path, masked(text))
    except Exception as unwritten:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"This is a bug in cldc: {type(error).__name__} in {place.filename}, line {place.lineno}; please report it.\n"
            f"Its log can't be written: {unwritten.message if isinstance(unwritten, CldcError) else unwritten}"
        )
    return (
        f"This is a bug in cldc: {type(error).__name__}. Its log is {path}; please report it with that file."
    )
