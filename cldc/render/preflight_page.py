"""A preflight as a page: labels that look wrong, mistakes, curves, and what is confused with what."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from cldc.insight.model import Insight, confusion, worst_mistakes
from cldc.preflight.model import PreflightResult
from cldc.preflight.model_predictions import ModelPredictions
from cldc.preflight.output import Epoch
from cldc.render.document import Page

# Shown if the folder has changed since.
OF_BEFORE = "The result is that of the images as they were."
_MOST_MISTAKES = 24
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 420, 240, 36, 8, 24, 10


def preflight_page(insight: Insight, pictures: Callable[[], Mapping[str, tuple[str, str]]]) -> Page:
    """The page; ``pictures`` makes those of `pictured` by path, as `cldc.insight.pictures` does."""
    return Page("preflight.html", lambda: _values(insight, pictures()))


def pictured(insight: Insight) -> list[str]:
    """Paths of the images that the page shows."""
    learned, paths = insight.learned, {suggestion.path for suggestion in insight.suggestions}
    if learned is not None and learned.known:
        for split in learned.splits[1:]:
            paths |= {image.path for image in worst_mistakes(learned, split, _MOST_MISTAKES)}
    return sorted(paths)


def _values(insight: Insight, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    result, learned = insight.result, insight.learned
    judged = learned.splits[1:] if learned is not None and learned.known else ()
    why_not = learned.why_not if learned else "an older cldc trained it; --force trains again"
    return {
        "title": f"{'Quick preflight' if result.quick else 'Preflight'} of {result.dataset_name}",
        "result": result,
        "of_before": OF_BEFORE,
        "facts": _facts(result),
        "suggestions": insight.suggestions,
        "no_suggestions": insight.no_suggestions,
        "pictures": pictures,
        "classes": learned.classes if learned else (),
        "splits": learned.splits if learned else (),
        "not_learned": "" if judged else why_not,
        "mistakes": [_mistakes(learned, split) for split in judged if learned],
        "charts": _charts(result),
        "accuracies": [
            (label, [_accuracy(learned, split, index) for split in judged])
            for index, label in enumerate(learned.classes)
        ]
        if learned
        else [],
        "matrices": [_matrix(learned, split) for split in judged if learned],
    }


def _facts(result: PreflightResult) -> list[tuple[str, object]]:
    trained_on = result.fingerprint
    return [
        ("Images", ", ".join(f"{count:,} {split}" for split, count in result.images.items())),
        ("Best epoch", f"{result.best_epoch} of {trained_on.epochs}"),
        ("Trained", f"{result.started[:16].replace('T', ' ')} UTC, {result.seconds:,.0f} s"),
        ("With", result.trained_with),
        ("Script", f"{trained_on.script[:12]} ({result.origin})"),
        ("Dataset", trained_on.dataset),
        ("Preflight", result.id),
    ]


def _mistakes(learned: ModelPredictions, split: str) -> dict[str, Any]:
    images = learned.of(split)
    return {
        "split": split,
        "images": len(images),
        "wrong": sum(image.misclassified for image in images),
        "worst": worst_mistakes(learned, split, _MOST_MISTAKES),
    }


def _accuracy(learned: ModelPredictions, split: str, label: int) -> float | None:
    images = [image for image in learned.of(split) if image.label == label]
    return sum(not image.misclassified for image in images) / len(images) if images else None


def _matrix(learned: ModelPredictions, split: str) -> dict[str, Any]:
    counts = confusion(learned, split)
    return {"split": split, "counts": counts, "totals": [max(sum(row), 1) for row in counts]}


def _charts(result: PreflightResult) -> list[dict[str, Any]]:
    if not result.history:
        return []
    # Two early peaks would flatten everything else. Steps of a tenth: the axis' labels show one digit.
    losses = sorted(v for e in result.history for v in (e.loss, e.val_loss) if math.isfinite(v))
    top = math.ceil(max(losses[int(len(losses) * 0.97)] if losses else 1.0, 0.1) * 1.05 / 0.4) * 0.4
    return [
        _chart("Accuracy", result, (lambda e: e.accuracy, lambda e: e.val_accuracy), 1.0, "{:.0%}"),
        _chart("Loss", result, (lambda e: e.loss, lambda e: e.val_loss), top, "{:.1f}"),
    ]


def _chart(
    name: str, result: PreflightResult, curves: tuple[Callable[[Epoch], float], ...], top: float, label: str
) -> dict[str, Any]:
    """What the template draws: positions in the chart's own units, rounded to tenths."""
    last = max(result.history[-1].number, 2)

    def x(epoch: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (epoch - 1) / (last - 1), 1)

    def y(value: float) -> float:
        share = min(max(value / top, 0.0), 1.0)
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * share, 1)

    validation = curves[-1]
    best = next((e for e in result.history if e.number == result.best_epoch), None)
    return {
        "name": name,
        "width": _WIDTH,
        "height": _HEIGHT,
        "grid": [
            {
                "left": _LEFT,
                "right": _WIDTH - _RIGHT,
                "y": y(top * step / 4),
                "label": label.format(top * step / 4),
            }
            for step in range(5)
        ],
        "epochs": [
            {"x": x(epoch), "number": epoch, "anchor": "end" if epoch == last else "middle"}
            for epoch in sorted({1, *(round(last * part / 4) for part in range(1, 5))} - {0})
        ],
        "curves": [
            " ".join(f"{x(e.number)},{y(curve(e))}" for e in result.history if math.isfinite(curve(e)))
            for curve in curves
        ],
        "best": (x(best.number), y(validation(best))) if best and math.isfinite(validation(best)) else None,
    }
