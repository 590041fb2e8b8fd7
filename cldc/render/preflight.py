"""A preflight's result as text and as a page: labels that look wrong, mistakes, curves, and what is confused with what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cldc.insight.model import Insight, class_accuracies, confusion, worst_mistakes
from cldc.preflight.model import Epoch, ModelPredictions, PreflightResult
from cldc.preflight.repeats import RepeatedRuns
from cldc.render.document import Block, Document, Line, Page, Table, cell
from cldc.render.formats import to_data

# As many as a person looks at before moving on; the page has the others.
_SUGGESTIONS = 5
# Shown if the folder has changed since.
OF_BEFORE = "The result is that of the images as they were."
_MOST_MISTAKES = 24
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 420, 240, 36, 8, 24, 10


def preflight_document(
    insight: Insight,
    repeated: RepeatedRuns | None,
    pictures: Callable[[], Mapping[str, tuple[str, str]]],
    *,
    next_command: str,
) -> Document:
    """Build a preflight in all its formats.

    Args:
        insight: The preflight, and what can be learned from it.
        repeated: All its runs where it was repeated.
        pictures: Draws the page's pictures, those of `pictured`, by path, as `cldc.insight.page_pictures` does.
        next_command: What to do next.
    """
    result, found = insight.result, insight.suggestions
    data = {
        **to_data(repeated or result),
        "suggestions": found,
        "no_suggestions": insight.no_suggestions or None,
        "label_suggestions": None if insight.no_suggestions else len(found),
    }
    blocks = [
        *preflight_blocks(result),
        *(spread_blocks(repeated) if repeated else ()),
        *suggestion_blocks(insight),
        *next_blocks(result, next_command),
    ]
    return Document(data, blocks, page=Page("preflight.html", lambda: _page_values(insight, pictures())))


def preflight_blocks(result: PreflightResult) -> Iterator[Block]:
    """Show accuracies, predictions, and what the numbers come from."""
    kind = "Quick preflight" if result.quick else "Preflight"
    yield Line(f"{kind} of {result.dataset_name}", "title")
    yield Table(
        ("", "accuracy", "loss", "images"),
        list(_scores(result)),
        numbers=("accuracy", "loss", "images"),
    )
    if result.predictions:
        counts = [result.predictions.count(index) for index in range(len(result.classes))]
        rows = [[str(count) for count in counts]]
        yield Table(result.classes, rows, title="Label book images predicted as")
    yield Table(("", ""), list(_provenance(result)))
    for warning in result.warnings:
        yield Line(f"warning: {warning}", "warning")
    if result.dataset_changed:
        yield Line(f"warning: {result.dataset_changed} {OF_BEFORE}", "warning")
    if result.other_names:
        yield Line(f"The same images were also called {', '.join(result.other_names)}.", "dim")
    if result.recorded:
        yield Line("Trained before; this is the record (--force trains again).", "dim")


def suggestion_blocks(insight: Insight) -> Iterator[Block]:
    """Show the labels that look most wrong, and where to see the others; or why none are known."""
    found = insight.suggestions
    if insight.no_suggestions:
        yield Line(f"Labels that look wrong: {insight.no_suggestions}.", "dim")
    elif not found:
        yield Line("No label looks wrong.", "good")
    else:
        rows: list[tuple[str, ...]] = [
            (each.path, each.label, f"{each.predicted} ({each.probability:.0%})", each.model)
            for each in found[:_SUGGESTIONS]
        ]
        headers: tuple[str, ...] = ("image", "labelled", "looks like", "the model says")
        if not any(says for *_, says in rows):  # a path then has the room to be copied whole
            headers, rows = headers[:-1], [row[:-1] for row in rows]
        yield Table(headers, rows, title=f"Labels that look wrong, the worst of {len(found)}")
        if len(found) > len(rows):
            yield Line(
                f"{len(found) - len(rows)} more: --format json lists all, --report page.html shows their pictures."
            )


def next_blocks(result: PreflightResult, next_command: str) -> Iterator[Block]:
    """Show what to do next."""
    if result.quick:
        yield Line(
            "TensorFlow reads every image, and one epoch trained. The accuracy is the first epoch's; a submission needs a "
            "whole training.",
            "warning",
        )
    yield Line(f"Next: {next_command}")


def spread_blocks(repeated: RepeatedRuns) -> Iterator[Block]:
    """Show each run's accuracies, and how much they differ."""
    rows = [
        (
            str(run.fingerprint.seed),
            f"{run.validation.accuracy:.2%}",
            f"{run.label_book.accuracy:.2%}" if run.label_book else "",
            str(run.best_epoch),
            run.origin,
        )
        for run in repeated.runs
    ]
    numbers = ("seed", "validation", "label book", "best epoch")
    headers = ("seed", "validation", "label book", "best epoch", "script")
    yield Table(headers, rows, title=f"{len(rows)} runs", numbers=numbers)
    for name, spread in (("validation", repeated.validation), ("label book", repeated.label_book)):
        if spread is not None:
            text = f"{spread.lowest:.2%} to {spread.highest:.2%}, {spread.mean:.2%} on average"
            yield Line(f"{name}: {text}")


def _scores(result: PreflightResult) -> Iterator[tuple[str, str, str, str]]:
    *_, validation, label_book = result.images.values()
    for name, score, images in (
        ("untrained", result.untrained, None),
        ("validation", result.validation, validation),
        ("label book", result.label_book, label_book),
    ):
        if score is not None:
            yield name, f"{score.accuracy:.2%}", f"{score.loss:.4f}", cell(images, ",")


def _provenance(result: PreflightResult) -> Iterator[tuple[str, str]]:
    mark = result.fingerprint
    if not result.quick:
        yield "best epoch", f"{result.best_epoch} of {mark.epochs}"
    yield "time", f"{result.seconds:,.0f} s"
    if result.peak_memory:
        yield "memory", f"{result.peak_memory / 2**20:,.0f} MB at most"
    yield "script", f"{mark.script[:12]} ({result.origin})"
    yield "trained with", result.trained_with
    yield "dataset", mark.dataset[:12]
    yield "preflight", result.id


def pictured(insight: Insight) -> list[str]:
    """List the paths of the images that the page shows."""
    predictions, paths = insight.predictions, {suggestion.path for suggestion in insight.suggestions}
    if predictions.known:
        for split in predictions.splits[1:]:
            paths |= {image.path for image in worst_mistakes(predictions, split, _MOST_MISTAKES)}
    return sorted(paths)


def _page_values(insight: Insight, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    result, predictions = insight.result, insight.predictions
    judged = predictions.splits[1:] if predictions.known else ()
    accuracies = class_accuracies(predictions)
    return {
        "title": f"{'Quick preflight' if result.quick else 'Preflight'} of {result.dataset_name}",
        "result": result,
        "of_before": OF_BEFORE,
        "facts": _facts(result),
        "suggestions": insight.suggestions,
        "no_suggestions": insight.no_suggestions,
        "pictures": pictures,
        "classes": predictions.classes,
        "splits": predictions.splits,
        "predictions_unknown": predictions.why_not,
        "mistakes": [_mistakes(predictions, split) for split in judged],
        "charts": _charts(result),
        "accuracies": [
            (label, [accuracies.get((split, label)) for split in judged]) for label in predictions.classes
        ],
        "matrices": [_matrix(predictions, split) for split in judged],
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


def _mistakes(predictions: ModelPredictions, split: str) -> dict[str, Any]:
    images = predictions.of(split)
    return {
        "split": split,
        "images": len(images),
        "wrong": sum(image.misclassified for image in images),
        "worst": worst_mistakes(predictions, split, _MOST_MISTAKES),
    }


def _matrix(predictions: ModelPredictions, split: str) -> dict[str, Any]:
    counts = confusion(predictions, split)
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
    """Compute what the template draws: positions in the chart's own units, rounded to tenths."""
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
