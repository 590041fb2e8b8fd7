"""`cldc validate`."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import FOLDER, command
from cldc.cli.validating import undo_record, validated
from cldc.errors import InvalidDataset, StorageError, UsageError
from cldc.render.validation import fixed_blocks, validation_document
from cldc.validation import ValidationReport
from cldc.validation.change_records import Fixed, change_lock, records_folder
from cldc.validation.watching import changes

_FILE = click.Path(dir_okay=False, path_type=Path)


@command(App, formats=("html", "sarif"))
@FOLDER
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--label-book", type=click.Path(), help="Also find images that are in this label book.")
@click.option(
    "--warped",
    is_flag=True,
    help="Also find rotated, stretched and sheared copies; creates an environment for it, which later checks always use.",
)
@click.option("--watch", is_flag=True, help="Check again whenever the folder changes, until Ctrl-C.")
@click.option("--no-cache", is_flag=True, help="Read every file again, even if it did not change.")
@click.option(
    "--fix",
    is_flag=True,
    help="Fix what is safe to fix, and remove metadata; no image is deleted and no pixel changed.",
)
@click.option("--into", type=click.Path(path_type=Path), help="With --fix: fix a copy in this new folder.")
@click.option("--undo", "record", type=_FILE, help="Undo what --fix did, by the record that it named.")
def validate(
    app: App,
    *,
    folder: Path | None,
    strict: bool,
    warped: bool,
    watch: bool,
    no_cache: bool,
    fix: bool,
    into: Path | None,
    record: Path | None,
) -> int:
    """Check a dataset by the rules of the training script.

    Each finding says what it means for the script and what to do. The exit code is 0 if a submission would run, and 3 if
    it would not.

    \b
    Examples:
      cldc validate my-images
      cldc validate --fix --into clean-images
      cldc validate --report report.html --report findings.sarif
    """
    if into is not None and not fix:
        raise UsageError("--into needs --fix.", action="Use --fix --into FOLDER.")
    if record is not None:
        return undo_record(app, record)
    fixed: Fixed | None = None
    if fix:
        fixed = _fix(app, app.dataset_folder(folder), into)
        folder = fixed.root
    if watch:
        return _watch(app, app.dataset_folder(folder), strict=strict, warped=warped, fixed=fixed)
    report = validated(app, folder, use_cache=not no_cache, warped=warped)
    _show(app, report, fixed)
    return report.exit_code(strict=strict)


def _fix(app: App, folder: Path, into: Path | None) -> Fixed:
    """Fix the folder, or a copy of it, and show what was done before anything else can fail."""
    # Pillow and numpy take longer to import than a check that finds nothing changed.
    from cldc.validation.fixing import fix_copy, fix_in_place  # noqa: PLC0415
    from cldc.validation.inspect_images import inspect_dataset  # noqa: PLC0415

    with change_lock(app.home, app.observer) if into is None else contextlib.nullcontext():
        inspected = inspect_dataset(folder, app.competition, app.observer, home=app.home)
        if into is not None:
            fixed = fix_copy(inspected, into, app.observer)
        else:
            fixed = fix_in_place(inspected, records_folder(app.home), app.observer)
    app.output.tell(fixed_blocks(fixed))
    return fixed


def _watch(app: App, folder: Path, *, strict: bool, warped: bool, fixed: Fixed | None) -> int:
    code, checked = 0, False
    for _ in changes(folder, app.competition):
        # What --fix did must stay readable.
        if app.output.form == "text" and (checked or not fixed):
            app.output.clear()
        try:
            report = validated(app, folder, warped=warped)
            _show(app, report, None if checked else fixed)
            code = report.exit_code(strict=strict)
        except (InvalidDataset, StorageError) as error:
            if not checked:
                raise
            # The folder was deleted or moved; another may replace it.
            app.observer.note(error.message)
            code = error.code
        checked = True
        app.observer.note("Watching; Ctrl-C ends it.")
    return code


def _show(app: App, report: ValidationReport, fixed: Fixed | None) -> None:
    pictures = functools.partial(_thumbnails, report)
    app.output.show(validation_document(report, fixed, everything=app.output.verbose, thumbnails=pictures))


def _thumbnails(report: ValidationReport) -> dict[str, str]:
    from cldc.validation.thumbnails import thumbnails  # noqa: PLC0415 - Pillow, which only a page needs

    return thumbnails(report)
