"""Check a dataset: inspect its images, apply every rule, keep the result."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Listing, SplitState, assemble, scan
from cldc.decisions import CORRECT, default_path, match, read
from cldc.files import hash_bytes
from cldc.progress import SILENT, Observer
from cldc.validation.cache import ValidationCache
from cldc.validation.inspection import AskTensorFlow
from cldc.validation.model import Finding, InspectedDataset, Severity, ValidationReport
from cldc.validation.near_duplicates import FindWarpedCopies
from cldc.validation.rules import RULES, apply_rules, publishing
from cldc.validation.sniffing import formats_of_ignored

# What the reason of "correct as is" can name: a rule, or "label" for a label that looks wrong, which no rule checks.
QUESTIONS = frozenset(("label", *(rule.id for rule in RULES)))
# Someone who calls a drawing correct has not considered what a submission would publish with it.
_PUBLISHING = frozenset(rule.id for rule in publishing.RULES)


def validate(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    ask_tensorflow: AskTensorFlow | None = None,
    find_warped_copies: FindWarpedCopies | None = None,
    label_book: Path | None = None,
    cache_folder: Path | None = None,
) -> ValidationReport:
    """Check ``folder`` against every rule; what ``decisions.csv`` calls correct is left out.

    Args:
        folder: The dataset's folder, whose direct children are the splits.
        competition: Whose rules apply.
        observer: Receives progress.
        ask_tensorflow: Asks the real TensorFlow if `judge` gives no verdict; without it such images get a warning.
        find_warped_copies: Finds them between splits and the label book; without it they are not looked for.
        label_book: The label book's folder, with one folder for each class, if there is one.
        cache_folder: Where the results of checks are kept, so that the next one reads only what changed.

    Raises:
        InvalidDataset: ``folder`` does not exist or is not a folder. Whatever is wrong inside it is a finding instead.
        InvalidTable: A line of ``decisions.csv`` is invalid.
        StorageError: ``folder`` can't be listed.
    """
    rules = competition.dataset
    listing = scan(folder, rules)
    book = None
    if label_book is not None:
        # It is laid out like a split: the only one of the folder that holds it.
        label_book = label_book.absolute()
        book = scan(label_book.parent, replace(rules, splits=(label_book.name,)))
    ways = (ask_tensorflow is not None, find_warped_copies is not None)
    with ValidationCache(cache_folder, listing) as cache:
        key = _report_key(listing, competition, book, cache, ways)
        if key and cache.key == key:
            dataset = assemble(listing, filter(None, cache.images))
            report = ValidationReport(dataset, competition, cache.findings, cache.metadata)
            warped = find_warped_copies is not None
        else:
            inspected: InspectedDataset = importlib.import_module("cldc.validation.inspecting").inspect(
                listing,
                cache,
                competition,
                observer,
                ask_tensorflow=ask_tensorflow,
                find_warped_copies=find_warped_copies,
                book=book,
            )
            report, warped = apply_rules(inspected), inspected.warped_compared
            # If the search for warped copies failed, the next check tries again.
            whole = warped == (find_warped_copies is not None)
            cache.store(report, inspected.inspections, key if whole else "")
    return replace(_silence(report), warped_compared=warped)


def _report_key(
    listing: Listing,
    competition: Competition,
    book: Listing | None,
    cache: ValidationCache,
    ways: tuple[bool, bool],
) -> str:
    """A hash of everything but the images that a report depends on; empty if the report must not be used again."""
    # Advice on a missing split depends on the folders around the dataset.
    whole = all(split.state == SplitState.FOLDER for split in listing.splits)
    if not whole or (book and not all(map(cache.is_settled, book.files))):
        return ""
    unreadable = [(file.path, file.error) for file in listing.files if file.error]
    formats = formats_of_ignored(listing, competition.dataset.extensions)
    seen = replace(listing, files=()), unreadable, formats, book and (book.root, book.files)
    return hash_bytes(repr((competition, seen, ways)).encode("utf-8", "surrogatepass"))


def _silence(report: ValidationReport) -> ValidationReport:
    """Leave out, and count, the findings that a person has called correct as they are.

    A finding about several images is left out once all of them are correct. Errors are never left out, and neither is a
    finding about a folder; one about what a submission would publish only if the reason names its rule.
    """
    rules = report.competition.dataset
    table = read(default_path(report.dataset.root), rules)
    correct = [decision for decision in table if decision.action == CORRECT]
    if not correct:
        return report
    matched = match(correct, report.dataset, rules.classes)
    contents = {image.path: image.sha256 for image in report.dataset.images}
    asked = {finding.rule for finding in report.findings}
    answered = {
        question: matched.correct(question, QUESTIONS, only_named=question in _PUBLISHING)
        for question in asked
    }

    def is_silent(finding: Finding) -> bool:
        return (
            finding.severity != Severity.ERROR
            and bool(finding.paths)
            and all(contents.get(path) in answered[finding.rule] for path in finding.paths)
        )

    left = tuple(finding for finding in report.findings if not is_silent(finding))
    return replace(report, findings=left, silenced=len(report.findings) - len(left))
