"""Several preflights of one server as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cldc.render.blocks import Block, Line, Table
from cldc.render.preflight import OF_BEFORE
from cldc.text import printable

if TYPE_CHECKING:
    from cldc.preflight.model import PreflightResult
    from cldc.remote import RemotePreflights


def remote_blocks(found: RemotePreflights) -> Iterator[Block]:
    """One row for each dataset, what is worth knowing of each, and why others have no result."""
    yield Line(f"Preflights on {found.server}", "title")
    if found.results:
        headers = ("dataset", "images", "validation", "label book", "best epoch", "time", "preflight", "")
        rows = [_row(result) for result in found.results]
        numbers = frozenset({"images", "validation", "label book", "best epoch", "time"})
        yield Table(headers, rows, numbers=numbers)
        for used in dict.fromkeys(result.trained_with for result in found.results):
            yield Line(f"Trained with {printable(used)}", "dim")
    for result in found.results:
        for warning in result.warnings:
            yield Line(f"warning: {printable(result.dataset_name)}: {printable(warning)}", "warning")
        if result.dataset_changed:
            yield Line(f"warning: {printable(result.dataset_changed)} {OF_BEFORE}", "warning")
    for failed in found.failed:
        first, *more = failed.message.splitlines()
        yield Line(f"{printable(failed.dataset_name)} has no result: {printable(first)}", "bad")
        yield from (Line(printable(line)) for line in (*more, failed.action))
    if found.results:
        yield Line("Next: cldc submit DIR, or cldc compare A B with two of these ids")


def _row(result: PreflightResult) -> tuple[str, ...]:
    *splits, _ = result.images.values()  # the label book comes last
    return (
        printable(result.dataset_name),
        f"{sum(splits):,}",
        f"{result.validation.accuracy:.2%}",
        f"{result.label_book.accuracy:.2%}" if result.label_book else "",
        f"{result.best_epoch} of {result.fingerprint.epochs}",
        f"{result.seconds:,.0f} s",
        result.id,
        "recorded" if result.recorded else "",
    )
