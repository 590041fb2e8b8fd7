"""What several commands share: script and label book, and the preflight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cldc import sandbox
from cldc.cli.server import ServerApp
from cldc.cli.tensorflow import tensorflow
from cldc.competition import Competition
from cldc.errors import (
    CldcError,
    ConfigurationError,
    CredentialsError,
    SandboxError,
    Unreachable,
)
from cldc.files import temporary_folder
from cldc.preflight.model import LabelBook, PreflightResult, Script, Training
from cldc.preflight.pipeline import preflight
from cldc.preflight.sources import (
    builtin_script,
    given_script,
    read_label_book,
    remember_label_book,
    remember_script,
    remembered_label_book,
    remembered_script,
)
from cldc.validation import ValidationReport


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """The script and the label book of a training."""

    script: Script
    label_book: LabelBook

    def training(self, report: ValidationReport, competition: Competition) -> Training:
        """The training of a dataset with them."""
        return Training(report, self.script, self.label_book, competition)


def training_inputs(app: ServerApp, *, organisers: bool = False) -> TrainingInputs:
    """Script and label book: those set, else the organisers', else the last ones downloaded or the built-in script.

    Args:
        app: The command's services.
        organisers: Whether to ignore the settings, because the organisers' own count.

    Raises:
        ConfigurationError: No label book is available.
    """
    names = ("script", "label_book")
    script, label_book = (None if organisers else app.settings[name] for name in names)
    given = Path(script) if script else None
    book = Path(label_book) if label_book else None
    found, unreachable = _script(app, given)
    return TrainingInputs(found, _label_book(app, book, unreachable))


def _script(app: ServerApp, given: Path | None) -> tuple[Script, CldcError | None]:
    """The script, and why the server can't be reached if it can't."""
    if given is not None:
        return given_script(given), None
    unreachable: CldcError | None = None
    reference = app.competition.bundles.script
    if reference.uuid is not None:
        try:
            content = app.anonymous.file(reference.uuid)
        except (Unreachable, SandboxError) as error:
            unreachable = error
            app.observer.note(f"The organisers' script is not available: {error.message}")
        else:
            script, before = remember_script(app.home, app.competition, content)
            if before is not None:
                app.observer.note(f"The organisers changed {reference.name}: it was {before[:12]} before.")
            return script, None
    known = remembered_script(app.home, app.competition)
    if known is not None:
        app.observer.note(f"Using {reference.name} as it was last downloaded.")
        return known, unreachable
    app.observer.note("Using the built-in training script.")
    return builtin_script(app.competition), unreachable


def _label_book(app: ServerApp, given: Path | None, unreachable: CldcError | None) -> LabelBook:
    if given is not None:
        return read_label_book(given, app.competition)
    reference = app.competition.bundles.label_book
    reason = unreachable
    if reference.uuid is not None and unreachable is None:
        try:
            with temporary_folder("cldc-label-book-") as folder:
                fetched = app.anonymous.download(reference.uuid, "", folder / "bundle")
                book, before = remember_label_book(app.home, app.competition, fetched)
        except (Unreachable, SandboxError) as error:
            reason = error
            app.observer.note(f"The organisers' label book is not available: {error.message}")
        else:
            if before is not None:
                app.observer.note("The organisers changed the label book.")
            return book
    known = remembered_label_book(app.home, app.competition)
    if known is not None:
        app.observer.note("Using the label book as it was last downloaded.")
        return known
    raise ConfigurationError(
        f"There is no label book: {reason.message if reason else 'the profile gives no uuid for it'}",
        action=f"{f'{reason.action} Or give' if reason else 'Give'} its folder with --label-book.",
    )


def preflighted(
    app: ServerApp,
    report: ValidationReport,
    inputs: TrainingInputs,
    *,
    force: bool = False,
    quick: bool = False,
) -> PreflightResult:
    """A finished preflight of a valid dataset: an earlier one of the same fingerprint, or one made now."""
    return preflight(
        inputs.training(report, app.competition),
        environment=tensorflow(app),
        home=app.home,
        observer=app.observer,
        force=force,
        quick=quick,
    )


def account_or_none(app: ServerApp) -> str | None:
    """The account's name if credentials are available, to mark one's own rows."""
    try:
        return app.credentials.username
    except CredentialsError:
        return None
    except SandboxError:  # it is down; its board can be read all the same
        known = sandbox.contestant(app.home)
        return app.settings["account"] or (known.name if known else None)
