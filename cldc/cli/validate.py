"""`cldc validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cldc.cli.app import App
from cldc.cli.options import DATASET, command
from cldc.errors import InvalidDataset, StorageError, UsageError

if TYPE_CHECKING:
    from cldc.validation import ValidationReport
    from cldc.validation.fixing import Fixed

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=DATASET, required=False)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--label-book", type=click.Path(), help="A label book to look for copies of its images.")
@click.option("--report", "page", type=_FILE, help="Write a page with pictures (HTML) to this file.")
@click.option("--watch", is_flag=True, help="Check again whenever the folder changes, until Ctrl-C.")
@click.option("--no-cache", is_flag=True, help="Read every file again, also those that did not change.")
@click.option("--fix", is_flag=True, help="Mend what has one right answer; no image is ever deleted.")
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
    if fix:
        folder = _fix(app, folder, into)
    if watch:
        return _watch(app, folder, page, strict=strict)
    return _check(app, folder, page, remember=not no_cache).exit_code(strict=strict)


def _check(app: App, folder: Path | None, page: Path | None, *, remember: bool) -> ValidationReport:
    from cldc.cli.work import validated

    report = validated(app, folder, remember=remember)
    _tell(app, report)
    if page is not None:
        _write_page(app, report, page)
    return report


def _tell(app: App, report: ValidationReport) -> None:
    from cldc.render import validation

    if app.output.form == "json":
        app.output.write(validation.to_json(report))
    elif app.output.form == "text":
        app.output.tell(validation.blocks(report, everything=app.output.verbose))
    else:
        from cldc.render import validation_ci

        forms = {"github": validation_ci.to_github, "sarif": validation_ci.to_sarif}
        app.output.write(forms[app.output.form](report))
        if app.output.form == "github":
            app.output.add_to_job(validation.data(report), validation.blocks(report))


def _write_page(app: App, report: ValidationReport, page: Path) -> None:
    from cldc.files import replace_atomically
    from cldc.render.validation_html import to_html
    from cldc.validation.thumbnails import thumbnails

    replace_atomically(page, to_html(report, thumbnails(report)), mode=0o644)
    app.observer.note(f"The page with pictures is {page}.")


def _watch(app: App, folder: Path | None, page: Path | None, *, strict: bool) -> int:
    from cldc.validation.watching import changes

    chosen, code, begun = app.dataset_folder(folder), 0, False
    for _ in changes(chosen, app.competition):
        if app.output.form == "text":
            click.clear()
        try:
            code = _check(app, chosen, page, remember=True).exit_code(strict=strict)
        except (InvalidDataset, StorageError) as error:
            if not begun:
                raise
            # Deleted or moved away; another may come in its place.
            app.observer.note(error.message)
            code = error.code
        begun = True
        app.observer.note("Watching; Ctrl-C ends it.")
    return code


def _fix(app: App, folder: Path | None, into: Path | None) -> Path:
    """Mend the folder, or a copy of it, and give back the one that is mended."""
    from datetime import UTC, datetime

    from cldc.files import private_folder
    from cldc.validation import examine
    from cldc.validation.fixing import fix_copy, fix_in_place

    chosen = app.dataset_folder(folder)
    subject = examine(chosen, app.competition, app.observer, cache=app.home)
    if into is not None:
        fixed = fix_copy(subject, into, app.observer)
    else:
        keep = (
            private_folder(app.home / "fixes") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{chosen.absolute().name}"
        )
        fixed = fix_in_place(subject, keep, app.observer)
    _tell_fixed(app, fixed)
    return fixed.root


def _tell_fixed(app: App, fixed: Fixed) -> None:
    for change in fixed.changes:
        done = (
            f"{change.source} -> {change.target}" if change.kind == "rename" else f"{change.source} set aside"
        )
        app.observer.note(f"Mended {done} [{change.rule}]")
    if not fixed.changes:
        app.observer.note("There was nothing to mend.")
    elif fixed.record is not None:
        app.observer.note(f"To take it back: cldc validate --undo {fixed.record}")


def _undo(app: App, record: Path) -> int:
    from cldc.render.blocks import Line
    from cldc.validation.fixing import undo

    changes = undo(record)
    text = f"Took back {len(changes)} change{'' if len(changes) == 1 else 's'}."
    app.output.show({"undone": changes}, [Line(text, "good")])
    return 0
