"""A preflight's result as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cldc.insight.model import Insight
from cldc.preflight.model import PreflightResult
from cldc.preflight.repeats import RepeatedRuns
from cldc.render.blocks import Block, Line, Table, cell
from cldc.render.document import Document
from cldc.render.formats.json import to_data
from cldc.render.preflight_page import OF_BEFORE, preflight_page

# As many as a person looks at before moving on; the page has the others.
_SUGGESTIONS = 5


def preflight_document(
    insight: Insight,
    repeated: RepeatedRuns | None,
    pictures: Callable[[], Mapping[str, tuple[str, str]]],
    *,
    next_command: str,
) -> Document:
    """A preflight in all its formats.

    Args:
        insight: The preflight, and what can be learned from it.
        repeated: All its runs where it was repeated.
        pictures: Makes those of the page by path.
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
    return Document(data, blocks, page=preflight_page(insight, pictures))


def preflight_blocks(result: PreflightResult) -> Iterator[Block]:
    """Accuracies, what was predicted, and what the numbers rest on."""
    kind = "Quick preflight" if result.quick else "Preflight"
    yield Line(f"{kind} of {result.dataset_name}", "title")
    yield Table(
        ("", "accuracy", "loss", "images"),
        list(_scores(result)),
        numbers=frozenset({"accuracy", "loss", "images"}),
    )
    if result.predictions:
        counts = [result.predictions.count(index) for index in range(len(result.classes))]
        rows = [[str(count) for count in counts]]
        yield Table(result.classes, rows, title="Label book images predicted as")
    yield Table(("", ""), list(_grounds(result)))
    for warning in result.warnings:
        yield Line(f"warning: {warning}", "warning")
    if result.dataset_changed:
        yield Line(f"warning: {result.dataset_changed} {OF_BEFORE}", "warning")
    if result.other_names:
        yield Line(f"The same images were also called {', '.join(result.other_names)}.", "dim")
    if result.recorded:
        yield Line("Trained before; this is the record (--force trains again).", "dim")


def suggestion_blocks(insight: Insight) -> Iterator[Block]:
    """The labels that look most wrong, and where to see the others; or why they are not known."""
    found = insight.suggestions
    if insight.no_suggestions:
        yield Line(f"Labels that look wrong: {insight.no_suggestions}.", "dim")
    elif not found:
        yield Line("No label looks wrong.", "good")
    else:
        rows = [
            (each.path, each.label, f"{each.predicted} ({each.probability:.0%})", each.model)
            for each in found[:_SUGGESTIONS]
        ]
        headers = ("image", "labelled", "looks like", "the model says")
        yield Table(headers, rows, title=f"Labels that look wrong, the worst of {len(found)}")
        if len(found) > len(rows):
            yield Line(
                f"{len(found) - len(rows)} more: --format json lists all, --report page.html shows their pictures."
            )


def next_blocks(result: PreflightResult, next_command: str) -> Iterator[Block]:
    """What to do next."""
    if result.quick:
        yield Line(
            "TensorFlow reads every image, and one epoch trained. The accuracy is the first epoch's; a submission needs a "
            "whole training.",
            "warning",
        )
    yield Line(f"Next: {next_command}")


def spread_blocks(repeated: RepeatedRuns) -> Iterator[Block]:
    """Each run's accuracies, and how far they lie apart."""
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
    numbers = frozenset({"seed", "validation", "label book", "best epoch"})
    headers = ("seed", "validation", "label book", "best epoch", "script")
    yield Table(headers, rows, title=f"{len(rows)} runs", numbers=numbers)
    for name, spread in (("validation", repeated.validation), ("label book", repeated.label_book)):
        if spread is not None:
            told = f"{spread.lowest:.2%} to {spread.highest:.2%}, {spread.mean:.2%} on average"
            yield Line(f"{name}: {told}")


def _scores(result: PreflightResult) -> Iterator[tuple[str, str, str, str]]:
    *_, validation, label_book = result.images.values()
    for name, score, images in (
        ("untrained", result.untrained, None),
        ("validation", result.validation, validation),
        ("label book", result.label_book, label_book),
    ):
        if score is not None:
            yield name, f"{score.accuracy:.2%}", f"{score.loss:.4f}", cell(images, ",")


def _grounds(result: PreflightResult) -> Iterator[tuple[str, str]]:
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
