"""Parts of the page's data as JSON: findings, predictions of an earlier preflight's model, suspicious labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cldc.competition import Competition
from cldc.dataset import Image
from cldc.insight.label_search import LabelProblem, LabelReport, RankedLabel
from cldc.preflight.result_store import all_records, read_predictions
from cldc.validation import Finding
from cldc.validation.rules import RULES

_RULES = {rule.id: rule for rule in RULES}
# By the suffix of a rule's id: how its images differ; deciding about one of them can then be enough.
_DIFFERENCES = {"two-labels": "label", "across-splits": "split", "in-class": "copy"}
# The share of the images that a preflight must contain; with less it was of another dataset.
_LEAST_SHARE = 0.5


def findings_part(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Build the findings about images, one entry for each rule."""
    parts: dict[str, dict[str, Any]] = {}
    for finding in findings:
        if not finding.paths:
            continue
        rule = _RULES[finding.rule]
        kind = next((kind for end, kind in _DIFFERENCES.items() if finding.rule.endswith(end)), "")
        part = parts.setdefault(
            finding.rule,
            {
                "rule": rule.id,
                "title": rule.title,
                "severity": finding.severity,
                "why": rule.why,
                "differ": kind,
                "findings": [],
            },
        )
        part["findings"].append({"message": finding.message, "paths": finding.paths})
    return list(parts.values())


def predictions_part(images: Sequence[Image], competition: Competition, home: Path) -> dict[str, Any] | None:
    """Build predicted class and probability by path, from the newest preflight that covers most of the images.

    Images are matched by content, so only images that have changed since have no prediction.
    """
    contents = {image.sha256 for image in images if image.sha256}
    for result in reversed(all_records(home)):
        if result.fingerprint.competition != competition.name or result.quick:
            continue
        predictions = read_predictions(home, result.id)
        if not predictions.known:
            continue
        seen = {image.sha256: image for image in predictions.images if image.probabilities}
        if len(contents & seen.keys()) < max(1, _LEAST_SHARE * len(contents)):
            continue
        rows = {
            image.path: [predictions.classes[found.predicted], round(max(found.probabilities), 3)]
            for image in images
            if (found := seen.get(image.sha256))
        }
        return {"name": result.dataset_name, "rows": rows}
    return None


def suspicions_part(report: LabelReport) -> dict[str, Any]:
    """Build the suspicious labels, most suspicious first, and how many of them are expected to be wrong."""
    rows = [
        # The likelier class, if there is one, and why the label is suspicious.
        [image.path, image.suggestion if image.problem is LabelProblem.OTHER_CLASS else "", _words(image)]
        for image in report.suspicious
    ]
    wrong = report.expected_wrong(len(rows))
    why = f"Of these {len(rows):,} images, about {wrong:,.0f} labels are expected to be wrong; the most suspicious come first."
    return {"rows": rows, "why": why}


def _words(image: RankedLabel) -> str:
    match image.problem:
        case LabelProblem.OTHER_CLASS:
            return f"Looks like {image.suggestion} ({image.probability:.0%}), like {image.label} {image.fit:.0%}."
        case LabelProblem.AMBIGUOUS:
            return f"Could be {' or '.join(image.likely[:2])}."
        case LabelProblem.BLANK:
            return "Has no ink."
        case _:
            return "Looks like no class."
