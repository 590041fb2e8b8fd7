"""Every rule there is, and what they find in a dataset that has been read."""

from __future__ import annotations

from cldc.validation import content, images, names, publishing, structure
from cldc.validation.metadata.model import MetadataCounts
from cldc.validation.model import Rule, Severity, Subject, ValidationReport

# In the order in which findings of one severity are told.
RULES: tuple[Rule, ...] = (
    *structure.RULES,
    *images.RULES,
    *publishing.RULES,
    *content.RULES,
    *names.RULES,
)
_ORDER = tuple(Severity)


def report_on(subject: Subject) -> ValidationReport:
    """Ask every rule."""
    found = [finding for rule in RULES for finding in rule.findings(subject)]
    found.sort(key=lambda finding: _ORDER.index(finding.severity))
    metadata = MetadataCounts.count(kinds for _, kinds in subject.metadata)
    return ValidationReport.make(
        subject.dataset, subject.competition, tuple(found), metadata, thorough=subject.thorough
    )
