"""Suspicious labels as the page describes them."""

from __future__ import annotations

from collections.abc import Iterator

from cldc.insight.labels import LabelProblem, LabelReport, RankedLabel
from cldc.review.model import Suspicion


def suspicions(report: LabelReport) -> Iterator[Suspicion]:
    """The suspicious labels, the most suspicious first."""
    for image in report.suspicious:
        likelier = image.suggestion if image.problem is LabelProblem.OTHER_CLASS else ""
        yield Suspicion(image.path, likelier, _words(image))


def expectation(report: LabelReport) -> str:
    """How many of the suspicious labels are expected to be wrong, as a sentence."""
    depth = len(report.suspicious)
    wrong = report.expected_wrong(depth)
    return f"Of these {depth:,} images, about {wrong:,.0f} labels are expected to be wrong; the most suspicious come first."


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
