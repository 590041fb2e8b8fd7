"""Leave out findings that a person has called correct as they are."""

from __future__ import annotations

from dataclasses import replace

from cldc.competition import Competition
from cldc.decisions import CORRECT, default_path, match, read
from cldc.validation.model import Finding, Severity, ValidationReport
from cldc.validation.rules import RULES, publishing

# The question whether a label looks wrong, which no rule asks.
LABEL_QUESTION = "label"
# What the reason of "correct as is" may name.
QUESTIONS = frozenset((LABEL_QUESTION, *(rule.id for rule in RULES)))
# Who calls a drawing correct has not thought of what a submission would publish with it.
_PUBLISHING = frozenset(rule.id for rule in publishing.RULES)


def silence(report: ValidationReport, competition: Competition) -> ValidationReport:
    """The report without the findings that are correct as they are by the dataset's decisions, which it counts.

    A finding about several images is silent once all of them are correct. Errors are never silent, and neither is a
    finding about a folder; one about what a submission would publish only if the reason names its rule.

    Args:
        report: Everything that was found.
        competition: Whose classes and splits decisions may name.

    Raises:
        InvalidTable: A line of the table is invalid.
        StorageError: It can't be read.
    """
    table = read(default_path(report.dataset.root), competition.dataset)
    correct = [decision for decision in table if decision.action == CORRECT]
    if not correct:
        return report
    matched = match(correct, report.dataset, competition.dataset.classes)
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
