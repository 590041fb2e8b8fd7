"""Check a dataset: every rule is asked, every finding is kept, nothing stops the check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cldc.competition import Competition
from cldc.dataset import Dataset, Image, Listing, assemble, read_entry, survey
from cldc.progress import SILENT, Observer
from cldc.validation import content, images, names, structure
from cldc.validation.alike import joined
from cldc.validation.check import Book, Check
from cldc.validation.collecting import rare_collections
from cldc.validation.inspection import Inspection, Settle
from cldc.validation.memory import Memory
from cldc.validation.model import Finding, Rule, Severity, Subject, ValidationReport

__all__ = [
    "RULES",
    "Finding",
    "Inspection",
    "Rule",
    "Settle",
    "Severity",
    "Subject",
    "ValidationReport",
    "examine",
    "report_on",
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
    cache: Path | None = None,
) -> ValidationReport:
    """Check ``folder`` against every rule.

    Args:
        folder: The dataset's folder, whose direct children are the splits.
        competition: Whose rules apply.
        observer: Told of images as they are read.
        name: The dataset's name where it is not to be made from the folder's.
        settle: Asks the real TensorFlow where `judge` is unsure; without it such images get a warning.
        label_book: The label book's folder, with one folder a class, where it is at hand.
        cache: A folder in which checks are remembered, so that only what changed is read again.

    Raises:
        InvalidDataset: ``folder`` is no folder. Whatever is wrong in a folder is a finding instead.
        StorageError: ``folder`` can't be listed.
    """
    rules = competition.dataset
    listing = survey(folder, splits=rules.splits, extensions=rules.extensions, name=name)
    book = _label_book(label_book, competition) if label_book else {}
    paths = {sha: tuple(entry.path for _, entry in found) for sha, found in book.items()}
    key = repr((competition, listing.name, sorted(paths.items()), settle is not None))
    with rare_collections(), Memory(cache) as memory:
        remembered = memory.report(listing, key)
        if remembered is not None:
            return report_again(listing, competition, remembered)
        check = Check(listing, memory, observer)
        subject = _subject(check, competition, settle, book)
        report = report_on(subject)
        check.keep(key, plain_report(report))
    return report


def examine(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    settle: Settle | None = None,
    cache: Path | None = None,
) -> Subject:
    """What `validate` looks at, for those who go on from it; arguments and errors are the same."""
    rules = competition.dataset
    listing = survey(folder, splits=rules.splits, extensions=rules.extensions)
    with rare_collections(), Memory(cache) as memory:
        return _subject(Check(listing, memory, observer), competition, settle, {})


def _subject(check: Check, competition: Competition, settle: Settle | None, book: Book) -> Subject:
    if settle is not None:
        check.settle(settle)
    check.look_at(book)
    pairs, known = check.pairs(), check.inspections
    return Subject(
        dataset=assemble(check.listing, check.images),
        competition=competition,
        inspections=known,
        label_book={sha: tuple(entry.path for _, entry in found) for sha, found in book.items()},
        pairs=tuple(pair for pair in pairs if pair.first in known and pair.second in known),
        book_groups=tuple(group for group in joined(pairs) if not book.keys().isdisjoint(group[0]))
        if book
        else (),
    )


def _label_book(folder: Path, competition: Competition) -> Book:
    """The label book's files by their contents' SHA-256."""
    root = folder.absolute()
    listing = survey(root.parent, splits=(root.name,), extensions=competition.dataset.extensions)
    known: Book = {}
    for entry in listing.entries:
        image = read_entry(listing.root, entry, keep=False).image
        if image.sha256:
            known.setdefault(image.sha256, []).append((listing.root, entry))
    return known


def report_on(subject: Subject) -> ValidationReport:
    """Ask every rule about a dataset that has been read."""
    found = [finding for rule in RULES for finding in rule.findings(subject)]
    found.sort(key=lambda finding: _ORDER.index(finding.severity))
    return _report(subject.dataset, subject.competition, tuple(found))


def _report(dataset: Dataset, competition: Competition, findings: tuple[Finding, ...]) -> ValidationReport:
    limits = competition.dataset
    counts = {split: dict.fromkeys(limits.classes, 0) for split in limits.splits}
    for image in dataset.images:
        counts[image.split][image.label] = counts[image.split].get(image.label, 0) + 1
    totals = [sum(classes.values()) for classes in counts.values()]
    return ValidationReport(
        dataset=dataset,
        competition=competition.name,
        findings=findings,
        counts=counts,
        total=sum(totals),
        padded=limits.padded(totals),
        max_images=limits.max_images,
        max_padded=limits.max_padded,
    )


def plain_report(report: ValidationReport) -> tuple[Any, ...]:
    """A report as plain values, without what a walk of the folder tells."""
    findings = [
        (f.rule, f.severity.value, f.message, f.consequence, f.remedy, f.paths, f.fixable)
        for f in report.findings
    ]
    images = [(image.size, image.sha256, image.trouble) for image in report.dataset.images]
    return report.dataset.hash, images, findings


def report_again(listing: Listing, competition: Competition, plain: tuple[Any, ...]) -> ValidationReport:
    """The report that `plain_report` was made of; ``listing`` is what it was made from."""
    identity, images, findings = plain
    taken = tuple(
        Image(entry.split, entry.label, entry.path, size, sha256, entry.link, trouble)
        for entry, (size, sha256, trouble) in zip(listing.entries, images, strict=True)
    )
    dataset = Dataset(listing.root, listing.name, listing.splits, taken, listing.others, identity)
    told = (Finding(rule, Severity(severity), *rest) for rule, severity, *rest in findings)
    return _report(dataset, competition, tuple(told))
