"""Check a dataset: inspect its images, apply every rule, keep the result."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from cldc.competition import Competition, DatasetRules
from cldc.dataset import Dataset, scan
from cldc.decisions import CORRECT, default_path, match, read
from cldc.progress import SILENT, Observer
from cldc.validation.cache import ValidationCache
from cldc.validation.model import Finding, Severity, ValidationReport, WarpedSearch
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
    home: Path | None = None,
    use_cache: bool = True,
    ask_tensorflow: bool = False,
    warped: WarpedSearch = "no",
    label_book: Path | None = None,
) -> ValidationReport:
    """Check ``folder`` against every rule; findings that ``decisions.csv`` calls correct are hidden.

    Args:
        folder: The dataset's folder, whose direct children are the splits.
        competition: The competition with the rules.
        observer: Receives progress.
        home: The data folder. It stores results, so that the next check reads only changed files, and holds the
            environments that ask TensorFlow and find warped copies. Without it, none of this happens.
        use_cache: Whether to skip reading files that did not change since an earlier check.
        ask_tensorflow: Whether to ask TensorFlow about images without a verdict; if not, they get a warning.
        warped: Whether to search for copies that were rotated, stretched or sheared.
        label_book: The label book's folder, with one folder for each class, if there is one.

    Raises:
        InvalidDataset: ``folder`` does not exist or is not a folder. Whatever is wrong inside it is a finding instead.
        InvalidTable: A line of ``decisions.csv`` is invalid.
        StorageError: ``folder`` can't be listed.
        EnvironmentFailed: An environment that is needed can't be created.
    """
    rules = competition.dataset
    book = _scan_label_book(label_book.absolute(), rules) if label_book else None
    with contextlib.closing(ValidationCache(home if use_cache else None)) as cache:
        dataset = scan(folder, rules)
        formats = formats_of_ignored(dataset, rules.extensions)
        dataset, cached = cache.load(dataset, competition, book, (formats, ask_tensorflow, warped != "no"))
        report = cached.report
        if report is None:
            # Pillow and the pool take longer to import than a check that finds nothing changed.
            from cldc.validation.inspect_images import (  # noqa: PLC0415
                ask_about_unknown,
                compare_images,
                inspect_images,
            )

            hashed, inspections = inspect_images(dataset, cached.inspections, observer)
            if ask_tensorflow and home:
                choices = competition.training.tensorflow
                inspections |= ask_about_unknown(hashed, inspections, choices, home, observer)
            inspected = compare_images(
                hashed, inspections, formats, competition, observer, home=home, warped=warped, book=book
            )
            report = apply_rules(inspected)
            if warped != "no" and not report.warped_compared:
                cached = replace(cached, key="")  # the search failed, and the next check tries again
            cache.store(dataset, cached, report, inspected.inspections)
    return _silence(report)


def _scan_label_book(folder: Path, rules: DatasetRules) -> Dataset:
    """Scan the label book as the only split of its parent folder."""
    return scan(folder.parent, replace(rules, splits=(folder.name,)))


def _silence(report: ValidationReport) -> ValidationReport:
    """Hide, and count, the findings that a person has called correct.

    A finding about several images is hidden once all of them are correct. Errors and findings about folders are never
    hidden. A finding about what a submission would publish is hidden only if the reason names its rule.
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
