"""Fixes a dataset for `cldc validate`, and undoes a fix or an `apply`; loaded only with these options."""

from __future__ import annotations

import contextlib
from pathlib import Path

from cldc.cli.app import App
from cldc.errors import StorageError
from cldc.render.validation import fixed_blocks, undone_blocks, undone_data
from cldc.validation.fixing import fix_copy, fix_in_place
from cldc.validation.inspect_images import inspect_dataset
from cldc.validation.journal import Fixed, journal_lock, records_folder, undo


def fix(app: App, folder: Path, into: Path | None) -> Fixed:
    """Fix the folder, or a copy of it, and show what was done before anything else can fail."""
    with journal_lock(app.home, app.observer) if into is None else contextlib.nullcontext():
        inspected = inspect_dataset(folder, app.competition, app.observer, home=app.home)
        if into is not None:
            fixed = fix_copy(inspected, into, app.observer)
        else:
            fixed = fix_in_place(inspected, records_folder(app.home), app.observer)
    app.output.tell(fixed_blocks(fixed))
    return fixed


def undo_record(app: App, record: Path) -> int:
    """Undo what a record lists, and show what was undone; the exit code."""
    with journal_lock(app.home, app.observer):
        undone = undo(record)
    app.show(undone_data(undone), *undone_blocks(undone))
    return StorageError.code if undone.left else 0
