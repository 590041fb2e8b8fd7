"""What a preflight teaches: mistakes, labels that look wrong, and what changed from one preflight to another."""

from __future__ import annotations

from cldc.insight.comparing import ClassChange, Comparison, Moved, compare
from cldc.insight.model import Insight, Suggestion, confusion, worst_mistakes
from cldc.insight.pictures import pictures
from cldc.insight.suggesting import suggest

__all__ = [
    "ClassChange",
    "Comparison",
    "Insight",
    "Moved",
    "Suggestion",
    "compare",
    "confusion",
    "pictures",
    "suggest",
    "worst_mistakes",
]
