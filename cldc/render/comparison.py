"""The changes between two preflights, as text and as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cldc.insight.comparing import Comparison, Moved
from cldc.insight.paired import RepeatedComparison
from cldc.insight.significance import Judgement
from cldc.preflight.model import Score
from cldc.render.document import Block, Document, Line, Page, Table, cell, first_lines
from cldc.text import plural

_SHOWN = 10
_MOST = 200
# A longer list starts folded.
_OPEN_UP_TO = 24
# Enough images to detect a difference of a few points.
_MANY_IMAGES = 200


def comparison_document(
    comparison: Comparison,
    pictures: Callable[[], Mapping[str, tuple[str, str]]],
    *,
    everything: bool = False,
) -> Document:
    """Build a comparison in all its formats; ``pictures`` draws the page's pictures by path, as `cldc.insight.page_pictures` does."""
    return Document(
        data=comparison,
        blocks=list(_blocks(comparison, everything=everything)),
        page=Page("comparison.html", lambda: _values(comparison, pictures())),
    )


def _blocks(comparison: Comparison, *, everything: bool) -> Iterator[Block]:
    """Show accuracies, images, classes and mistakes."""
    before, after = comparison.before, comparison.after
    yield Line(
        f"{before.dataset_name} {before.id} and {after.dataset_name} {after.id}",
        "title",
    )
    numbers = ("before", "after", "change")
    if comparison.repeated:
        yield from _repeated_blocks(comparison, comparison.repeated)
    else:
        yield Table(("", "before", "after", "change"), list(_scores(comparison)), numbers=numbers)
        yield Line(
            "Trained once each: another seed moves an accuracy by several points (--repeat N says more).",
            "dim",
        )
    yield Line(f"{comparison.same:,} images are in both ({comparison.renamed:,} under another name).")
    for name, moves in _lists(comparison):
        yield Line(f"{name}: {len(moves):,}")
        yield from first_lines((_description(name, move) for move in moves), _SHOWN, everything=everything)
    if comparison.note:
        yield Line(f"The models' predictions can't be compared: {comparison.note}.", "warning")
    elif rows := list(_classes(comparison)):
        headers = ("split", "class", "before", "after", "change")
        yield Table(headers, rows, title="Accuracy of each class", numbers=numbers)


def _repeated_blocks(comparison: Comparison, repeated: RepeatedComparison) -> Iterator[Block]:
    """Show which is better, and the accuracies behind that."""
    names = _names(comparison)
    for judgement in repeated.judgements:
        yield Line(verdict(judgement, *names), "plain" if judgement.verdict == "unknown" else "good")
    for judgement in repeated.judgements:
        if caveat := limit(judgement):
            yield Line(caveat, "dim")
    yield from (Line(note, "warning") for note in repeated.notes)
    headers = ("seed", "val before", "val after", "book before", "book after")
    yield Table(headers, list(_pairs(repeated)), title="Accuracies", numbers=headers)
    yield Line("Mistakes and classes come from the first seed.", "dim")


def _names(comparison: Comparison) -> tuple[str, str]:
    """Return the names of the two, or if these are the same, their folders."""
    before, after = comparison.before, comparison.after
    if before.dataset_name == after.dataset_name:
        return before.dataset_root, after.dataset_root
    return before.dataset_name, after.dataset_name


def verdict(judgement: Judgement, before: str, after: str) -> str:
    """Say in a sentence which of two datasets is better by a set of images."""
    by, sign = judgement.by, -1 if judgement.difference < 0 else 1
    ends = sorted(sign * 100 * end for end in (judgement.low, judgement.high))
    points = f"{sign * 100 * judgement.difference:.1f} points (95 %: {ends[0]:.1f} to {ends[1]:.1f})"
    if judgement.verdict != "unknown":
        return f"{after} is {judgement.verdict} than {before} on the {by} by {points}, from {judgement.seeds} seeds."
    ahead = f"{after} is {'ahead' if sign > 0 else 'behind'} by {points}"
    if judgement.more_seeds is None:
        return f"Can't tell on the {by}: {ahead}, and no number of seeds would tell a difference so small."
    more = plural(judgement.more_seeds, "more seed")
    return f"Can't tell on the {by}: {ahead}; about {more} would."


def limit(judgement: Judgement) -> str:
    """Say in a sentence which difference a small set of images can't show; empty for a large set."""
    if judgement.images >= _MANY_IMAGES:
        return ""
    return (
        f"{judgement.images} images can't tell less than some {100 * judgement.smallest:.0f} points apart; "
        "more images can (--judge DIR)."
    )


def _pairs(repeated: RepeatedComparison) -> Iterator[tuple[str, ...]]:
    for pair in repeated.pairs:
        accuracies = (
            pair.validation_before, pair.validation_after, pair.label_book_before, pair.label_book_after,
        )  # fmt: skip
        yield (str(pair.seed), *(cell(value, ".2%") for value in accuracies))


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
    return cell(old, ".2%"), cell(new, ".2%"), change


def _lists(comparison: Comparison) -> tuple[tuple[str, Sequence[Moved]], ...]:
    return (
        ("images added", comparison.added),
        ("images removed", comparison.removed),
        ("images relabelled", comparison.relabelled),
        ("images moved to another split", comparison.moved),
        ("mistakes fixed", comparison.fixed),
        ("new mistakes", comparison.broken),
    )


def _description(name: str, move: Moved) -> str:
    if not (move.before and move.after):
        return move.before or move.after
    if "mistakes" in name:
        return f"{move.after}: {_predicted(move)}"
    if move.before == move.after:
        return move.after
    return f"{move.before} -> {move.after}"


def _predicted(move: Moved) -> str:
    return f"predicted as {move.label_before} before, as {move.label_after} now"


def _classes(comparison: Comparison) -> Iterator[tuple[str, str, str, str, str]]:
    for change in comparison.classes:
        yield (change.split, change.label, *_three(change.before, change.after))


def _values(comparison: Comparison, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Compute the page's values."""
    before, after = comparison.before, comparison.after
    lists = [(name, [_case(name, move) for move in moves]) for name, moves in _lists(comparison)]
    cases = [case for _, moves in lists for case in moves]
    return {
        "title": f"From {before.dataset_name} to {after.dataset_name}",
        "before": before,
        "after": after,
        "scores": list(_scores(comparison)),
        "verdicts": _verdicts(comparison),
        "pairs": list(_pairs(comparison.repeated)) if comparison.repeated else [],
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


def _verdicts(comparison: Comparison) -> list[tuple[str, str]]:
    """List each sentence of the verdict, and how the page shows it."""
    if comparison.repeated is None:
        return []
    names, judgements = _names(comparison), comparison.repeated.judgements
    return [
        *((verdict(judgement, *names), "verdict") for judgement in judgements),
        *((caveat, "soft") for judgement in judgements if (caveat := limit(judgement))),
        *((note, "warning") for note in comparison.repeated.notes),
    ]


def _case(name: str, move: Moved) -> tuple[str, str, str, str]:
    """Return an image's path, what happened to it, its split and its class."""
    path = move.after or move.before
    split, _, rest = path.partition("/")
    words = ""
    if "mistakes" in name:
        words = _predicted(move)
    elif move.after and move.before not in ("", move.after):
        words = f"was {move.before}"
    return path, words, split, rest.partition("/")[0]
