"""What changed between two preflights, as text and as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cldc.render.blocks import Block, Line, Table
from cldc.render.document import Document, Page
from cldc.text import printable

if TYPE_CHECKING:
    from cldc.insight import Comparison, Moved
    from cldc.preflight.output import Score

_SHOWN = 10
_MOST = 200
# A longer list starts folded.
_OPEN_UP_TO = 24


def comparison_document(
    comparison: Comparison,
    pictures: Callable[[], Mapping[str, tuple[str, str]]],
    *,
    everything: bool = False,
) -> Document:
    """A comparison in all its formats; ``pictures`` makes those of the page by path, as `cldc.insight.pictures` does."""
    return Document(
        data=comparison,
        blocks=list(_blocks(comparison, everything=everything)),
        page=Page("comparison.html", lambda: _values(comparison, pictures())),
    )


def _blocks(comparison: Comparison, *, everything: bool) -> Iterator[Block]:
    """Accuracies, images, classes, mistakes."""
    before, after = comparison.before, comparison.after
    yield Line(
        f"{printable(before.dataset_name)} {before.id} and {printable(after.dataset_name)} {after.id}",
        "title",
    )
    numbers = frozenset({"before", "after", "change"})
    yield Table(("", "before", "after", "change"), list(_scores(comparison)), numbers=numbers)
    yield Line(f"{comparison.same:,} images are in both ({comparison.renamed:,} under another name).")
    for name, moves in _lists(comparison):
        yield Line(f"{name}: {len(moves):,}")
        shown = moves if everything else moves[:_SHOWN]
        yield from (Line(f"  {printable(_told(name, move))}", "dim") for move in shown)
        if len(shown) < len(moves):
            yield Line(f"  and {len(moves) - len(shown):,} more (--verbose, or --report FILE)", "dim")
    if comparison.note:
        yield Line(f"The models' predictions can't be compared: {printable(comparison.note)}.", "warning")
    elif rows := list(_classes(comparison)):
        headers = ("split", "class", "before", "after", "change")
        yield Table(headers, rows, title="Accuracy of each class", numbers=numbers)


def _scores(comparison: Comparison) -> Iterator[tuple[str, str, str, str]]:
    before, after = comparison.before, comparison.after
    pairs: tuple[tuple[str, Score | None, Score | None], ...] = (
        ("validation", before.validation, after.validation),
        ("label book", before.label_book, after.label_book),
    )
    for name, old, new in pairs:
        yield (name, *_three(old.accuracy if old else None, new.accuracy if new else None))


def _three(old: float | None, new: float | None) -> tuple[str, str, str]:
    change = f"{100 * (new - old):+.2f}" if old is not None and new is not None else ""
    return ("" if old is None else f"{old:.2%}", "" if new is None else f"{new:.2%}", change)


def _lists(comparison: Comparison) -> tuple[tuple[str, Sequence[Moved]], ...]:
    return (
        ("images added", comparison.added),
        ("images removed", comparison.removed),
        ("images relabelled", comparison.relabelled),
        ("images moved to another split", comparison.moved),
        ("mistakes fixed", comparison.fixed),
        ("new mistakes", comparison.broken),
    )


def _told(name: str, move: Moved) -> str:
    if not (move.before and move.after):
        return move.before or move.after
    if "mistakes" in name:
        return f"{move.after}: predicted as {move.label_before} before, as {move.label_after} now"
    if move.before == move.after:
        return move.after
    return f"{move.before} -> {move.after}"


def _classes(comparison: Comparison) -> Iterator[tuple[str, str, str, str, str]]:
    for change in comparison.classes:
        yield (change.split, change.label, *_three(change.before, change.after))


def _values(comparison: Comparison, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """What the page is made of."""
    before, after = comparison.before, comparison.after
    lists = [(name, [_case(name, move) for move in moves]) for name, moves in _lists(comparison)]
    cases = [case for _, moves in lists for case in moves]
    return {
        "title": f"From {before.dataset_name} to {after.dataset_name}",
        "before": before,
        "after": after,
        "scores": list(_scores(comparison)),
        "same": comparison.same,
        "renamed": comparison.renamed,
        "note": comparison.note,
        "lists": lists,
        "pictures": pictures,
        "splits": list(dict.fromkeys(split for _, _, split, _ in cases)),
        "classes": list(dict.fromkeys(label for _, _, _, label in cases)),
        "changes": list(_classes(comparison)),
        "most": _MOST,
        "open_up_to": _OPEN_UP_TO,
    }


def _case(name: str, move: Moved) -> tuple[str, str, str, str]:
    """An image's path, what happened to it, its split and its class."""
    path = move.after or move.before
    split, _, rest = path.partition("/")
    words = _told(name, move)
    return path, "" if words == path else words, split, rest.partition("/")[0]
