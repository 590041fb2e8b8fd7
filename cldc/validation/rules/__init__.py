"""Every rule, and applying them to a dataset."""

from __future__ import annotations

from cldc.validation.metadata.model import MetadataCounts
from cldc.validation.model import Finding, InspectedDataset, Rule, Severity, ValidationReport
from cldc.validation.rules import drawings, folders, images, names, publishing

# In the order in which findings of one severity are reported.
RULES: tuple[Rule, ...] = folders.RULES + images.RULES + publishing.RULES + drawings.RULES + names.RULES
_ORDER = tuple(Severity)


def apply_rules(inspected: InspectedDataset) -> ValidationReport:
    """Apply all rules, and return the report."""
    findings = [
        Finding(rule.id, severity or rule.severity, message, consequence, remedy, paths, fixable)
        for rule in RULES
        for message, consequence, remedy, paths, severity, fixable in rule.check(inspected)
    ]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    metadata = MetadataCounts.count(kinds for _, kinds in inspected.metadata)
    return ValidationReport(
        inspected.dataset,
        inspected.competition,
        tuple(findings),
        metadata,
        warped_compared=inspected.warped_compared,
    )
