"""Check a dataset, and undo changes to it, for several commands."""

from __future__ import annotations

from pathlib import Path

from cldc.cli.app import App
from cldc.errors import StorageError
from cldc.preflight.inputs import current_label_book, label_book_root
from cldc.progress import Observer
from cldc.render.validation import undone_blocks, undone_data, validation_blocks
from cldc.validation import ValidationReport, validate
from cldc.validation.change_records import change_lock, undo

# Marks a ready environment in which warped copies are found, of this cldc or an older one.
_ANALYSIS = "environments/analysis-*/ready.json"


def validated(
    app: App,
    folder: Path | None,
    *,
    use_cache: bool = True,
    warped: bool = False,
    observer: Observer | None = None,
) -> ValidationReport:
    """Validate a dataset folder, and ask TensorFlow itself about images without a verdict.

    Warped copies are searched for if the environment for that is ready.

    Args:
        app: The command's services.
        folder: The folder; None takes the project's.
        use_cache: Whether to skip files that did not change since an earlier check.
        warped: Whether to create that environment if there is none.
        observer: Receives progress events instead of the command's own.
    """
    ready = any(app.home.glob(_ANALYSIS))
    return validate(
        app.dataset_folder(folder),
        app.competition,
        observer or app.observer,
        home=app.home,
        use_cache=use_cache,
        ask_tensorflow=True,
        warped="required" if warped else "if ready" if ready else "no",
        label_book=_known_label_book(app),
    )


def _known_label_book(app: App) -> Path | None:
    """Find the label book in the settings, or the last downloaded one: validation needs no network."""
    settings = app.settings
    if settings.withheld("label_book") and settings.project is not None:
        app.observer.note(
            f"The label book that {settings.project.path} names is ignored until you approve it; see `cldc trust`."
        )
    if given := settings.offered("label_book"):
        return label_book_root(Path(given), app.competition)
    return current_label_book(app.home, app.competition)


def require_valid(app: App, report: ValidationReport) -> None:
    """Show what is wrong with a dataset that has errors, and refuse it.

    Raises:
        InvalidDataset: It has errors.
    """
    if not report.ok:
        app.output.tell(validation_blocks(report))
    report.require_valid()


def undo_record(app: App, record: Path) -> int:
    """Undo what a record of `cldc validate --fix` or `cldc apply` lists, show what was undone, and return the exit code."""
    with change_lock(app.home, app.observer):
        undone = undo(record)
    app.show(undone_data(undone), *undone_blocks(undone))
    return StorageError.code if undone.left else 0
