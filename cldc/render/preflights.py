"""Several preflights as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cldc.render.blocks import Block, Line, Table
from cldc.render.document import Document
from cldc.render.preflight_page import OF_BEFORE

if TYPE_CHECKING:
    from cldc.preflight.model import FailedPreflight, PreflightResult
    from cldc.remote.model import RemotePreflights
    from cldc.trainings.model import Preflights


def preflights_document(title: str, found: Preflights | RemotePreflights) -> Document:
    """One row for each dataset, what is worth knowing of each, and why others have no result."""
    return Document(found, _blocks(title, found.results, found.failed))


def _blocks(
    title: str, results: Sequence[PreflightResult], failed: Sequence[FailedPreflight]
) -> Iterator[Block]:
    yield Line(title, "title")
    if results:
        headers = ("dataset", "images", "validation", "label book", "best epoch", "time", "preflight", "")
        numbers = frozenset({"images", "validation", "label book", "best epoch", "time"})
        optional = ("images", "time", "best epoch")
        yield Table(headers, [_row(result) for result in results], numbers=numbers, optional=optional)
        for used in dict.fromkeys(result.trained_with for result in results):
            yield Line(f"Trained with {used}", "dim")
    for result in results:
        for warning in result.warnings:
            yield Line(f"warning: {result.dataset_name}: {warning}", "warning")
        if result.dataset_changed:
            yield Line(f"warning: {result.dataset_changed} {OF_BEFORE}", "warning")
    for failure in failed:
        first, *more = failure.message.splitlines()
        yield Line(f"{failure.dataset_name} has no result: {first}", "bad")
        yield from (Line(line) for line in (*more, failure.action))
    if len(results) > 1:
        yield Line("Next: cldc submit DIR, or cldc compare A B with two of these")


def _row(result: PreflightResult) -> tuple[str, ...]:
    *splits, _ = result.images.values()  # the label book comes last
    return (
        result.dataset_name,
        f"{sum(splits):,}",
        f"{result.validation.accuracy:.2%}",
        f"{result.label_book.accuracy:.2%}" if result.label_book else "",
        f"{result.best_epoch} of {result.fingerprint.epochs}",
        f"{result.seconds:,.0f} s",
        result.id,
        "recorded" if result.recorded else "",
    )
