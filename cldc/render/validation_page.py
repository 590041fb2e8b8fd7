"""A validation report as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from cldc.render.document import Page
from cldc.validation import Finding, ValidationReport
from cldc.validation.rules import RULES

_RULES = {rule.id: rule for rule in RULES}
_MOST_PATHS = 40
_MOST_FINDINGS = 300
# A rule with more findings starts folded.
_OPEN_UP_TO = 12


def validation_page(report: ValidationReport, thumbnails: Callable[[], Mapping[str, str]]) -> Page:
    """The page; ``thumbnails`` makes ``data:`` addresses by path, as `cldc.validation.thumbnails` does."""
    return Page("validation.html", lambda: _values(report, thumbnails()))


def _values(report: ValidationReport, thumbnails: Mapping[str, str]) -> dict[str, Any]:
    splits = list(report.counts)
    classes = list(dict.fromkeys(label for counts in report.counts.values() for label in counts))
    balance = [(label, [report.counts[split].get(label, 0) for split in splits]) for label in classes]
    most = max((count for _, counts in balance for count in counts), default=0) or 1
    return {
        "title": f"Dataset {report.dataset.name}",
        "report": report,
        "splits": splits,
        "classes": classes,
        "balance": balance,
        "shares": [[count / most for count in counts] for _, counts in balance],
        "totals": [sum(report.counts[split].values()) for split in splits],
        "groups": [
            _group(rule, severity, list(findings), thumbnails)
            for (severity, rule), findings in groupby(report.findings, key=lambda f: (f.severity, f.rule))
        ],
        "places": {image.path: (image.split, image.label) for image in report.dataset.images},
        "thumbnails": thumbnails,
        "most_paths": _MOST_PATHS,
        "most_findings": _MOST_FINDINGS,
        "open_up_to": _OPEN_UP_TO,
    }


def _group(
    rule: str, severity: str, findings: list[Finding], thumbnails: Mapping[str, str]
) -> dict[str, Any]:
    """One rule's findings; advice that all of them share stands once, above them."""
    known = _RULES.get(rule)
    advice = {f"{finding.consequence} {finding.remedy}" for finding in findings}
    return {
        "rule": rule,
        "severity": severity,
        "title": known.title if known else rule,
        "why": known.why if known else "",
        "advice": advice.pop() if len(advice) == 1 else "",
        "pictured": any(path in thumbnails for finding in findings for path in finding.paths),
        "findings": [
            {
                "message": finding.message,
                "advice": f"{finding.consequence} {finding.remedy}",
                "pictured": [path for path in finding.paths if path in thumbnails],
                "others": [path for path in finding.paths if path not in thumbnails],
            }
            for finding in findings
        ],
    }
