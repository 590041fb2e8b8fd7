"""Checking a dataset for a command."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cldc.cli.app import App
from cldc.errors import CldcError, InvalidDataset
from cldc.preflight.label_book_paths import current_label_book, label_book_root
from cldc.progress import Observer
from cldc.render.validation import blocks
from cldc.validation import ValidationReport, validate
from cldc.validation.near_duplicates import Pair, Side
from cldc.validation.tensorflow_decoder import Verdict

# Where an environment that finds warped copies is, ready, of this cldc or an older one.
_ANALYSIS = "environments/analysis-*/ready.json"


def validated(
    app: App,
    folder: Path | None,
    *,
    use_cache: bool = True,
    warped: bool = False,
    observer: Observer | None = None,
) -> ValidationReport:
    """The report on a dataset folder; TensorFlow itself is asked about images without a verdict.

    It looks for warped copies if their environment is ready.

    Args:
        app: The command's services.
        folder: The folder; None takes the project's.
        use_cache: Whether to skip files that did not change since an earlier check.
        warped: Whether to create that environment if it is missing.
        observer: Receives progress events in place of the command's own.
    """
    told = observer or app.observer
    look = warped or any(app.home.glob(_ANALYSIS))

    def ask(files: Mapping[str, Path]) -> Mapping[str, Verdict]:
        answer: Mapping[str, Verdict] = importlib.import_module("cldc.cli.tensorflow").verdicts(app, files)
        return answer

    return validate(
        app.dataset_folder(folder),
        app.competition,
        told,
        ask_tensorflow=ask,
        find_warped_copies=functools.partial(_find_warped_copies, app, told, make=warped) if look else None,
        label_book=_known_label_book(app),
        cache_folder=app.home if use_cache else None,
    )


def _find_warped_copies(
    app: App, observer: Observer, sides: Sequence[Side], *, make: bool
) -> Sequence[Pair] | None:
    # A second check has the result already, and what finds them takes a quarter of its time to import.
    find = importlib.import_module("cldc.validation.warped_copies").find_if_ready
    found: Sequence[Pair] | None = find(sides, home=app.home, observer=observer, make=make)
    return found


def _known_label_book(app: App) -> Path | None:
    """The label book that is set, or the one downloaded last; validation never waits for a network."""
    settings = app.settings
    if settings.withheld("label_book") and settings.project is not None:
        app.observer.note(
            f"The label book that {settings.project.path} names is not looked at: `cldc trust` shows and approves it."
        )
    if given := settings.offered("label_book"):
        return label_book_root(Path(given), app.competition)
    return current_label_book(app.home, app.competition)


def require_valid(app: App, report: ValidationReport) -> None:
    """Show what is wrong with a dataset, if anything is, and go no further.

    Raises:
        InvalidDataset: It has errors.
    """
    if not report.ok:
        app.output.tell(blocks(report))
    report.require_valid()


def valid_reports(app: App, folders: Sequence[Path]) -> list[ValidationReport]:
    """The reports of datasets that are all valid; nothing is trained if one is not."""
    reports: list[ValidationReport] = []
    refused: list[CldcError] = []
    for folder in folders or (None,):
        try:
            report = validated(app, folder)
            require_valid(app, report)
        except InvalidDataset as error:
            refused.append(error)
        else:
            reports.append(report)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise InvalidDataset(
            f"{len(refused)} of {len(folders)} datasets can't be used, so nothing was trained:\n"
            + "\n".join(f"  {error.message}" for error in refused),
            action="Fix them or leave them out; `cldc validate` shows everything that was found in each.",
        )
    return reports
