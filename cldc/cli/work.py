"""What several commands do: validate, get script and label book, preflight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.cli.app import App
from cldc.errors import (
    CldcError,
    ConfigurationError,
    CredentialsError,
    InvalidDataset,
    SandboxError,
    Unreachable,
)
from cldc.preflight.model import Training
from cldc.render.validation import blocks

if TYPE_CHECKING:
    from cldc.competition import Competition
    from cldc.preflight.model import LabelBook, PreflightResult, Script
    from cldc.progress import Observer
    from cldc.validation import ValidationReport
    from cldc.validation.tensorflow_decoder import Verdict


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """What a dataset is trained and judged with."""

    script: Script
    label_book: LabelBook

    def training(self, report: ValidationReport, competition: Competition) -> Training:
        """The training of a dataset with them."""
        return Training(report, self.script, self.label_book, competition)


def validated(
    app: App, folder: Path | None, *, use_cache: bool = True, observer: Observer | None = None
) -> ValidationReport:
    """The report on a dataset folder; TensorFlow itself is asked about images without a verdict.

    Args:
        app: The command's surroundings.
        folder: The folder; None takes the project's.
        use_cache: Whether files that did not change since an earlier check are skipped.
        observer: Told of progress in place of the command's own.
    """
    from cldc.validation import validate

    def ask(files: Mapping[str, Path]) -> Mapping[str, Verdict]:
        from cldc.validation.real_tensorflow import ask_tensorflow, kept_verdicts

        # Making the environment takes minutes, and kept answers don't need it.
        for choice in app.competition.training.tensorflow:
            if (known := kept_verdicts(files, choice.version, app.home)) is not None:
                return known
        return ask_tensorflow(files, app.tensorflow(), app.home)

    return validate(
        app.dataset_folder(folder),
        app.competition,
        observer or app.observer,
        ask_tensorflow=ask,
        label_book=_known_label_book(app),
        cache_folder=app.home if use_cache else None,
    )


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
            action="Mend them or leave them out; `cldc validate` shows everything that was found in each.",
        )
    return reports


def _known_label_book(app: App) -> Path | None:
    """The label book that is named, or that was downloaded last, as it is now; validation does not wait for a network."""
    settings = app.settings
    if settings.withheld("label_book") and settings.project is not None:
        app.observer.note(
            f"The label book that {settings.project.path} names is not looked at: `cldc trust` shows and approves it."
        )
    if given := settings.offered("label_book"):
        from cldc.preflight.sources import label_book_root

        return label_book_root(Path(given), app.competition)
    from cldc.preflight.downloads import current_label_book

    return current_label_book(app.home, app.competition)


def training_inputs(app: App, *, organisers: bool = False) -> TrainingInputs:
    """Script and label book: those named, else the organisers', else what is remembered or built in.

    Args:
        app: The command's surroundings.
        organisers: Whether what is named is passed over, since the organisers' own counts.

    Raises:
        ConfigurationError: There is no label book to be had.
    """
    names = ("script", "label_book")
    script, label_book = (None if organisers else app.settings[name] for name in names)
    given = Path(script) if script else None
    book = Path(label_book) if label_book else None
    found, unreachable = _script(app, given)
    return TrainingInputs(found, _label_book(app, book, unreachable))


def _script(app: App, given: Path | None) -> tuple[Script, CldcError | None]:
    """The script, and why the server can't be reached where that was found out."""
    from cldc.preflight.sources import builtin_script, given_script, remember_script, remembered_script

    if given is not None:
        return given_script(given), None
    unreachable: CldcError | None = None
    reference = app.competition.bundles.script
    if reference.uuid is not None:
        try:
            content = app.anonymous.file(reference.uuid)
        except (Unreachable, SandboxError) as error:
            unreachable = error
            app.observer.note(f"The organisers' script can't be had: {error.message}")
        else:
            seen = remember_script(app.home, app.competition, content)
            if seen.changed:
                app.observer.note(
                    f"The organisers changed {reference.name}: it was {(seen.previous or '')[:12]} before."
                )
            return seen.script, None
    known = remembered_script(app.home, app.competition)
    if known is not None:
        app.observer.note(f"Using {reference.name} as it was last downloaded.")
        return known, unreachable
    app.observer.note("Using the built-in training script.")
    return builtin_script(app.competition), unreachable


def _label_book(app: App, given: Path | None, unreachable: CldcError | None) -> LabelBook:
    from cldc.files import temporary_folder
    from cldc.preflight.sources import read_label_book, remember_label_book, remembered_label_book

    if given is not None:
        return read_label_book(given, app.competition)
    reference = app.competition.bundles.label_book
    reason = unreachable
    if reference.uuid is not None and unreachable is None:
        try:
            with temporary_folder("cldc-label-book-") as folder:
                fetched = app.anonymous.download(reference.uuid, "", folder / "bundle")
                seen = remember_label_book(app.home, app.competition, fetched)
        except (Unreachable, SandboxError) as error:
            reason = error
            app.observer.note(f"The organisers' label book can't be had: {error.message}")
        else:
            if seen.changed:
                app.observer.note("The organisers changed the label book.")
            return seen.label_book
    known = remembered_label_book(app.home, app.competition)
    if known is not None:
        app.observer.note("Using the label book as it was last downloaded.")
        return known
    raise ConfigurationError(
        f"There is no label book: {reason.message if reason else 'the profile gives no uuid for it'}",
        action="Give its folder with --label-book.",
    )


def preflighted(
    app: App, report: ValidationReport, inputs: TrainingInputs, *, force: bool = False, quick: bool = False
) -> PreflightResult:
    """A finished preflight of a valid dataset: an earlier one of the same fingerprint, or one made now."""
    from cldc.preflight.pipeline import preflight

    return preflight(
        inputs.training(report, app.competition),
        environment=app.tensorflow(),
        home=app.home,
        observer=app.observer,
        force=force,
        quick=quick,
    )


def account_or_none(app: App) -> str | None:
    """The account's name where credentials are at hand, for marking one's own rows."""
    try:
        return app.credentials.username
    except (CredentialsError, SandboxError):
        return None
