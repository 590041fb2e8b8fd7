"""Check a dataset: every rule is asked, every finding is kept, nothing stops the check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cldc.competition import Competition
from cldc.dataset import Listing, scan
from cldc.progress import SILENT, Observer
from cldc.validation.collecting import no_collections
from cldc.validation.memory import Memory
from cldc.validation.model import Finding, Rule, Severity, Subject, ValidationReport
from cldc.validation.sniffing import formats_passed_over

if TYPE_CHECKING:
    from cldc.validation.inspection import AskTensorFlow

__all__ = ["Finding", "Rule", "Severity", "Subject", "ValidationReport", "examine", "validate"]


def validate(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    name: str | None = None,
    ask_tensorflow: AskTensorFlow | None = None,
    label_book: Path | None = None,
    cache: Path | None = None,
    thorough: bool = True,
) -> ValidationReport:
    """Check ``folder`` against every rule.

    Args:
        folder: The dataset's folder, whose direct children are the splits.
        competition: Whose rules apply.
        observer: Told of images as they are read.
        name: The dataset's name where it is not to be made from the folder's.
        ask_tensorflow: Asks the real TensorFlow where `judge` gives no verdict; without it such images get a warning.
        label_book: The label book's folder, with one folder a class, where it is at hand.
        cache: A folder in which checks are remembered, so that only what changed is read again.
        thorough: Whether images are looked at too. If not, and little is remembered of them, only what decides is
            found out, in a fifth of the time: every error, but not which drawings are alike or blank.

    Raises:
        InvalidDataset: ``folder`` is no folder. Whatever is wrong in a folder is a finding instead.
        StorageError: ``folder`` can't be listed.
    """
    with no_collections():
        listing = _walk(folder, competition, name)
        book = label_book and scan(
            label_book.absolute().parent,
            splits=(label_book.absolute().name,),
            extensions=competition.dataset.extensions,
        )
        with Memory(cache) as memory:
            recalled = memory.recall(listing)
            known = book and (book.root, book.files)
            formats = formats_passed_over(listing, competition.dataset.extensions)
            key = repr((competition, listing.name, known, ask_tensorflow is not None, formats))
            if recalled.key == key and (dataset := recalled.dataset()):
                return ValidationReport.make(dataset, competition, recalled.findings, recalled.metadata)
            # Imported here, since a check that finds nothing changed needs no rule.
            from cldc.validation.check import Check
            from cldc.validation.rules import report_on

            check = Check(listing, memory, recalled, observer, thorough=thorough)
            report = report_on(check.subject(competition, ask_tensorflow, book or None))
            check.keep(key, report)
    return report


def examine(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    ask_tensorflow: AskTensorFlow | None = None,
    cache: Path | None = None,
) -> Subject:
    """What `validate` looks at, for those who go on from it; arguments and errors are the same."""
    from cldc.validation.check import Check

    with no_collections():
        listing = _walk(folder, competition)
        with Memory(cache) as memory:
            return Check(listing, memory, memory.recall(listing), observer).subject(
                competition, ask_tensorflow, None
            )


def _walk(folder: Path, competition: Competition, name: str | None = None) -> Listing:
    rules = competition.dataset
    return scan(folder, splits=rules.splits, extensions=rules.extensions, name=name)
