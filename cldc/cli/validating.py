"""Checking a dataset for a command."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cldc.cli.app import App
from cldc.errors import CldcError, InvalidDataset
from cldc.preflight.downloads import current_label_book, label_book_root
from cldc.progress import Observer
from cldc.render.validation import blocks
from cldc.validation import ValidationReport, validate
from cldc.validation.tensorflow_decoder import Verdict


def validated(
    app: App, folder: Path | None, *, use_cache: bool = True, observer: Observer | None = None
) -> ValidationReport:
    """The report on a dataset folder; TensorFlow itself is asked about images without a verdict.

    Args:
        app: The command's services.
        folder: The folder; None takes the project's.
        use_cache: Whether files that did not change since an earlier check are skipped.
        observer: Receives progress events in place of the command's own.
    """

    def ask(files: Mapping[str, Path]) -> Mapping[str, Verdict]:
        answer: Mapping[str, Verdict] = importlib.import_module("cldc.cli.tensorflow").verdicts(app, files)
        return answer

    return validate(
        app.dataset_folder(folder),
        app.competition,
        observer or app.observer,
        ask_tensorflow=ask,
        label_book=_known_label_book(app),
        cache_folder=app.home if use_cache else None,
    )


def _known_label_book(app: App) -> Path | None:
    """The label book that is named, or that was downloaded last, as it is now; validation does not wait for a network."""
    settings = app.settings
    if settings.withheld("label_book") and settings.project is not None:
        app.observer.note(
            f"The label book that {settings.project.path} names is not looked at: `cldc trust` shows and approves it."
        )
    if given := settings.offered("label_book"):
        return label_book_root(Path(given), app.competition)
    return current_label_book(app.home, app.competition)


def valid_reports(app: App, folders: Sequence[Path]) -> list[ValidationReport]:
    """The reports of datasets that are all valid; nothing is trained while one is not."""
    reports: list[ValidationReport] = []
    refused: list[CldcError] = []
    for folder in folders or (None,):
        try:
            report = validated(app, folder)
            if not report.ok:
                app.output.tell(blocks(report))
            report.require_valid()
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
