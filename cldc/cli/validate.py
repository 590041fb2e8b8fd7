"""`cldc validate`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cldc.cli.app import App
from cldc.cli.options import DATASET, command
from cldc.errors import CldcError, InvalidDataset, StorageError, UsageError

if TYPE_CHECKING:
    from cldc.validation import ValidationReport
    from cldc.validation.fixing import Fixed

_FILE = click.Path(dir_okay=False, path_type=Path)
# In the data folder: records of what was mended, with what was set aside.
_FIXES = "fixes"


@click.command()
@click.argument("folder", type=DATASET, required=False)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--label-book", type=click.Path(), help="A label book to look for copies of its images.")
@click.option("--report", "page", type=_FILE, help="Write a page with pictures (HTML) to this file.")
@click.option("--watch", is_flag=True, help="Check again whenever the folder changes, until Ctrl-C.")
@click.option("--no-cache", is_flag=True, help="Read every file again, also those that did not change.")
@click.option(
    "--fix",
    is_flag=True,
    help="Mend what has one right answer, and remove metadata; no image is deleted and no pixel changed.",
)
@click.option("--into", type=click.Path(path_type=Path), help="With --fix: mend a copy in this new folder.")
@click.option("--undo", type=_FILE, help="Take back what --fix did, by the record that it named.")
@command(formats=("github", "sarif"))
def validate(
    app: App,
    *,
    folder: Path | None,
    strict: bool,
    page: Path | None,
    watch: bool,
    no_cache: bool,
    fix: bool,
    into: Path | None,
    undo: Path | None,
) -> int:
    """Check a dataset by the rules of the training script.

    Everything that is found is told, each with what the script would make of it and what to do. The exit code is
    0 where a submission would run, 3 where it would not.
    """
    if into is not None and not fix:
        raise UsageError("--into goes with --fix.", action="Say --fix --into FOLDER.")
    if undo is not None:
        return _undo(app, undo)
    fixed = _fix(app, folder, into) if fix else None
    folder = fixed.root if fixed else folder
    if watch:
        return _watch(app, folder, page, strict=strict, fixed=fixed)
    return _check(app, folder, page, remember=not no_cache, fixed=fixed).exit_code(strict=strict)


def _check(
    app: App, folder: Path | None, page: Path | None, *, remember: bool, fixed: Fixed | None = None
) -> ValidationReport:
    from cldc.cli.work import validated

    try:
        report = validated(app, folder, remember=remember)
    except CldcError:
        # The report would have told it.
        if fixed and app.output.form == "json":
            _tell_fixed_beside(fixed)
        raise
    _tell(app, report, fixed)
    if page is not None:
        _write_page(app, report, page)
    return report


def _tell(app: App, report: ValidationReport, fixed: Fixed | None) -> None:
    from cldc.render import validation

    if app.output.form == "json":
        app.output.write(validation.to_json(report, fixed))
    elif app.output.form == "text":
        app.output.tell(validation.blocks(report, everything=app.output.verbose))
    else:
        from cldc.render import validation_ci

        forms = {"github": validation_ci.to_github, "sarif": validation_ci.to_sarif}
        app.output.write(forms[app.output.form](report), commands=app.output.form == "github")
        if app.output.form == "github":
            app.output.add_to_job(validation.data(report, fixed), validation.blocks(report))


def _write_page(app: App, report: ValidationReport, page: Path) -> None:
    from cldc.files import replace_atomically
    from cldc.render.validation_html import to_html
    from cldc.validation.thumbnails import thumbnails

    replace_atomically(page, to_html(report, thumbnails(report)), mode=0o644)
    app.observer.note(f"The page with pictures is {page}.")


def _watch(
    app: App, folder: Path | None, page: Path | None, *, strict: bool, fixed: Fixed | None = None
) -> int:
    from cldc.validation.watching import changes

    chosen, code, begun = app.dataset_folder(folder), 0, False
    for _ in changes(chosen, app.competition):
        # What --fix did is still to be read.
        if app.output.form == "text" and (begun or not fixed):
            app.output.clear()
        try:
            told = None if begun else fixed
            code = _check(app, chosen, page, remember=True, fixed=told).exit_code(strict=strict)
        except (InvalidDataset, StorageError) as error:
            if not begun:
                raise
            # Deleted or moved away; another may come in its place.
            app.observer.note(error.message)
            code = error.code
        begun = True
        app.observer.note("Watching; Ctrl-C ends it.")
    return code


def _fix(app: App, folder: Path | None, into: Path | None) -> Fixed:
    """Mend the folder, or a copy of it, and tell what was done before anything else can fail."""
    from cldc.validation import examine
    from cldc.validation.fixing import fix_copy, fix_in_place

    chosen = app.dataset_folder(folder)
    with _alone(app) if into is None else contextlib.nullcontext():
        subject = examine(chosen, app.competition, app.observer, cache=app.home)
        if into is not None:
            fixed = fix_copy(subject, into, app.observer)
        else:
            fixed = fix_in_place(subject, app.home / _FIXES, app.observer)
    if app.output.form == "text":
        from cldc.render.validation import fixed_blocks

        app.output.tell(fixed_blocks(fixed))
    elif app.output.form != "json":
        app.output.close()
        _tell_fixed_beside(fixed)
    return fixed


def _tell_fixed_beside(fixed: Fixed) -> None:
    """On standard error, where standard output has a form of its own without a place for it."""
    from cldc.render.blocks import plain
    from cldc.render.validation import fixed_blocks

    click.echo(plain(fixed_blocks(fixed)), err=True, nl=False)


def _alone(app: App) -> contextlib.AbstractContextManager[None]:
    """One at a time: what another one mends while this one looks would be mended twice."""
    from cldc.files import lock

    return lock(app.home / _FIXES / ".lock", purpose="mending a dataset", observer=app.observer)


def _undo(app: App, record: Path) -> int:
    from cldc.render.validation import undone_blocks, undone_data
    from cldc.validation.fixing import undo

    with _alone(app):
        undone = undo(record)
    app.output.show(undone_data(undone), undone_blocks(undone))
    return StorageError.code if undone.left else 0
