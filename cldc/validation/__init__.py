"""Check a dataset: every rule is applied, every finding is reported, nothing stops the check."""

from cldc.validation.check import validate
from cldc.validation.model import Finding, InspectedDataset, Rule, Severity, ValidationReport

__all__ = ["Finding", "InspectedDataset", "Rule", "Severity", "ValidationReport", "validate"]
