"""Get the script and the label book of a training: given ones, the organisers', the last downloads, or the built-in script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cldc.codalab import Rest
from cldc.competition import Competition
from cldc.errors import CldcError, ConfigurationError, SandboxError, Unreachable
from cldc.files import temporary_folder
from cldc.preflight.model import LabelBook, Script, Training
from cldc.preflight.scripts_and_label_books import (
    builtin_script,
    given_script,
    read_label_book,
    remember_label_book,
    remember_script,
    remembered_label_book,
    remembered_script,
)
from cldc.progress import SILENT, Observer
from cldc.validation import ValidationReport

Connect = Callable[[], Rest]
"""Reads the server as everyone; raises `SandboxError` or `Unreachable` if it can't be reached."""


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """The script and the label book of a training."""

    script: Script
    label_book: LabelBook

    def training(self, report: ValidationReport, competition: Competition) -> Training:
        """The training of a dataset with them."""
        return Training(report, self.script, self.label_book, competition)


def fetch_inputs(
    competition: Competition,
    connect: Connect,
    *,
    home: Path,
    script: Path | None = None,
    label_book: Path | None = None,
    observer: Observer = SILENT,
) -> TrainingInputs:
    """Script and label book: those given, else the organisers', else the last ones downloaded or the built-in script.

    Args:
        competition: Its profile names the organisers' bundles.
        connect: Called when something has to be fetched.
        home: The data folder, which remembers downloads.
        script: A script in place of the organisers'.
        label_book: A label book's folder in place of the organisers'.
        observer: Told what is used instead, and what the organisers have changed.

    Raises:
        ConfigurationError: No label book is available, or the given script can't be read.
        InvalidDataset: The folder is not a label book.
    """
    found, unreachable = _script(competition, connect, home, script, observer)
    if label_book is not None:
        return TrainingInputs(found, read_label_book(label_book, competition))
    return TrainingInputs(found, _label_book(competition, connect, home, unreachable, observer))


def _script(
    competition: Competition, connect: Connect, home: Path, given: Path | None, observer: Observer
) -> tuple[Script, CldcError | None]:
    """The script, and the error if the server can't be reached."""
    if given is not None:
        return given_script(given), None
    unreachable: CldcError | None = None
    reference = competition.bundles.script
    if reference.uuid is not None:
        try:
            content = connect().file(reference.uuid)
        except (Unreachable, SandboxError) as error:
            unreachable = error
            observer.note(f"The organisers' script is not available: {error.message}")
        else:
            script, before = remember_script(home, competition, content)
            if before is not None:
                observer.note(f"The organisers changed {reference.name}: it was {before[:12]} before.")
            return script, None
    known = remembered_script(home, competition)
    if known is not None:
        observer.note(f"Using {reference.name} as it was last downloaded.")
        return known, unreachable
    observer.note("Using the built-in training script.")
    return builtin_script(competition), unreachable


def _label_book(
    competition: Competition,
    connect: Connect,
    home: Path,
    unreachable: CldcError | None,
    observer: Observer,
) -> LabelBook:
    reference, reason = competition.bundles.label_book, unreachable
    if reference.uuid is not None and unreachable is None:
        try:
            with temporary_folder("cldc-label-book-") as folder:
                fetched = connect().download(reference.uuid, "", folder / "bundle")
                book, before = remember_label_book(home, competition, fetched)
        except (Unreachable, SandboxError) as error:
            reason = error
            observer.note(f"The organisers' label book is not available: {error.message}")
        else:
            if before is not None:
                observer.note("The organisers changed the label book.")
            return book
    known = remembered_label_book(home, competition)
    if known is not None:
        observer.note("Using the label book as it was last downloaded.")
        return known
    raise ConfigurationError(
        f"No label book is available: {reason.message if reason else 'the profile gives no uuid for it'}",
        action=f"{f'{reason.action} Or give' if reason else 'Give'} its folder with --label-book.",
    )
