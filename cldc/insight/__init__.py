"""What a preflight teaches: mistakes, labels that look wrong, and what changed from one preflight to another."""

from __future__ import annotations

from cldc.insight.comparing import ClassChange, Comparison, Moved, compare
from cldc.insight.label_search import find_suspicious_labels, known_suspicious_labels
from cldc.insight.labels import LabelProblem, LabelReport, RankedLabel
from cldc.insight.model import Insight, Suggestion, confusion, suggest, worst_mistakes
from cldc.insight.pictures import pictures

__all__ = [
    "ClassChange",
    "Comparison",
    "Insight",
    "LabelProblem",
    "LabelReport",
    "Moved",
    "RankedLabel",
    "Suggestion",
    "compare",
    "confusion",
    "find_suspicious_labels",
    "known_suspicious_labels",
    "pictures",
    "suggest",
    "worst_mistakes",
]
