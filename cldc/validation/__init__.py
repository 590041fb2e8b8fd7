"""Check a dataset: every rule is asked, every finding is kept, nothing stops the check."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Dataset, Image, Listing, assemble, read_entry, survey
from cldc.progress import SILENT, Observer
from cldc.validation import content, images, names, structure
from cldc.validation.alike import same_drawings
from cldc.validation.decoding import Readable
from cldc.validation.inspection import Inspection, Settle
from cldc.validation.model import Finding, Rule, Severity, Subject, ValidationReport
from cldc.validation.words import number
from cldc.validation.workers import inspect_all

__all__ = [
    "RULES",
    "Finding",
    "Inspection",
    "Rule",
    "Settle",
    "Severity",
    "Subject",
    "ValidationReport",
    "validate",
]

# Every rule there is, in the order in which findings of one severity are told.
RULES: tuple[Rule, ...] = (*structure.RULES, *images.RULES, *content.RULES, *names.RULES)
_ORDER = tuple(Severity)


def validate(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    name: str | None = None,
    settle: Settle | None = None,
    label_book: Path | None = None,
) -> ValidationReport:
    """Check ``folder`` against every rule.

    Args:
        folder: The dataset's folder, whose direct children are the splits.
        competition: Whose rules apply.
        observer: Told of images as they are read.
        name: The dataset's name where it is not to be made from the folder's.
        settle: Asks the real TensorFlow where `judge` is unsure; without it such images get a warning.
        label_book: The label book's folder, with one folder a class, where it is at hand.

    Raises:
        InvalidDataset: ``folder`` is no folder. Whatever is wrong in a folder is a finding instead.
        StorageError: ``folder`` can't be listed.
    """
    rules = competition.dataset
    listing = survey(folder, splits=rules.splits, extensions=rules.extensions, name=name)
    taken, inspections = _inspect(listing, observer)
    if settle is not None:
        _settle(listing.root, taken, inspections, settle, observer)
    features = {sha: found.features for sha, found in inspections.items() if found.features}
    return report_on(
        Subject(
            dataset=assemble(listing, taken),
            competition=competition,
            inspections=inspections,
            label_book=_label_book(label_book, competition) if label_book else {},
            pairs=same_drawings(features),
        )
    )


def _inspect(listing: Listing, observer: Observer) -> tuple[list[Image], dict[str, Inspection]]:
    """Images in the order of the listing, and for each content's SHA-256 what it shows."""
    observer.start("Checking images", total=len(listing.entries), unit="images")
    found = sorted(inspect_all(str(listing.root), listing.entries, observer), key=itemgetter(0))
    inspections = {image.sha256: seen for _, (image, seen) in found if seen is not None}
    return [image for _, (image, _) in found], inspections


def _settle(
    root: Path, images: list[Image], inspections: dict[str, Inspection], settle: Settle, observer: Observer
) -> None:
    """Replace unsure verdicts by TensorFlow's own, asked for all of them at once."""
    unsure = {sha for sha, found in inspections.items() if found.verdict.readable == Readable.UNSURE}
    if not unsure:
        return
    observer.start(f"Asking TensorFlow about {number(len(unsure), 'image')}")
    files = {image.sha256: root / image.path for image in images if image.sha256 in unsure}
    for sha, verdict in settle(files).items():
        inspections[sha] = Inspection(verdict, inspections[sha].features)


def _label_book(folder: Path, competition: Competition) -> dict[str, tuple[str, ...]]:
    """Paths in the label book by their contents' SHA-256."""
    listing = survey(folder.parent, splits=(folder.name,), extensions=competition.dataset.extensions)
    known: dict[str, tuple[str, ...]] = {}
    for entry in listing.entries:
        image = read_entry(listing.root, entry, keep=False).image
        if image.sha256:
            known[image.sha256] = (*known.get(image.sha256, ()), image.path)
    return known


def report_on(subject: Subject) -> ValidationReport:
    """Ask every rule about a dataset that has been read."""
    found = [finding for rule in RULES for finding in rule.findings(subject)]
    limits = subject.competition.dataset
    counts = _counts(subject.dataset, subject.competition)
    totals = [sum(classes.values()) for classes in counts.values()]
    return ValidationReport(
        dataset=subject.dataset,
        competition=subject.competition.name,
        findings=tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity))),
        counts=counts,
        total=sum(totals),
        padded=limits.padded(totals),
        max_images=limits.max_images,
        max_padded=limits.max_padded,
    )


def _counts(dataset: Dataset, competition: Competition) -> dict[str, dict[str, int]]:
    counts = {split: dict.fromkeys(competition.dataset.classes, 0) for split in competition.dataset.splits}
    for image in dataset.images:
        counts[image.split][image.label] = counts[image.split].get(image.label, 0) + 1
    return counts
