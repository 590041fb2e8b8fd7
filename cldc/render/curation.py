"""What `apply` and `split` do to a dataset, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cldc.competition import DatasetRules
from cldc.curation.applying import Applied, Plan
from cldc.curation.splitting import Drawn
from cldc.decisions import RELABEL, SET_ASIDE, moved_to
from cldc.render.blocks import Block, Line, Table
from cldc.render.validation import copied_blocks
from cldc.text import first_few, plural
from cldc.validation.journal import Change, undo_command

_SHOWN = 10


def plan_blocks(plan: Plan, *, everything: bool = False) -> Iterator[Block]:
    """What would be done, action by action, and what can't be done."""
    for action, count in sorted(plan.counts.items()):
        yield Line(_heading(action, count, plan))
        changes = [change for change in plan.changes if change.kind != "folder" and change.rule == action]
        shown = changes if everything else changes[:_SHOWN]
        yield from (Line(f"  {_arrow(change)}") for change in shown)
        if len(changes) > len(shown):
            yield Line(f"  and {len(changes) - len(shown):,} more (--verbose shows all)", "dim")
    if folders := [change.target for change in plan.changes if change.kind == "folder"]:
        yield Line(f"Make {plural(len(folders), 'folder')}: {first_few(folders, 5)}")
    for path in plan.left:
        yield Line(f"Left {path}: links lead to it or through it; --into changes a copy.", "warning")
    for decision, paths in plan.astray:
        yield Line(
            f"Left {first_few(paths)}: {decision.path} was to be set aside and is gone. "
            "If this is the same image, write this path into its line.",
            "warning",
        )
    if plan.unmatched:
        named = first_few([decision.path or decision.sha256[:12] for decision in plan.unmatched])
        about = plural(len(plan.unmatched), "decision is", "decisions are")
        yield Line(f"{about} about images that are not in this dataset: {named}", "dim")
    if not plan.changes:
        yield Line("There is nothing to do.")


def _heading(action: str, count: int, plan: Plan) -> str:
    images = plural(count, "image")
    if action == RELABEL:
        return f"Relabel {images}:"
    if action == SET_ASIDE:
        return f"Set aside {images}, in {plan.aside}:"
    return f"Move {images} to {moved_to(action)}:"


def _arrow(change: Change) -> str:
    if change.kind == "aside":
        return change.source
    folder, _, name = change.target.rpartition("/")
    is_renamed = name != change.source.rpartition("/")[2]
    return f"{change.source} -> {change.target if is_renamed else f'{folder}/'}"


def applied_blocks(applied: Applied) -> Iterator[Block]:
    """What was done, and how to undo it."""
    images = sum(applied.plan.counts.values())
    if applied.root != applied.plan.dataset.root:
        yield Line(f"{applied.root} is a copy with {plural(images, 'image')} changed.", "good")
        yield from copied_blocks(applied.plan.dataset.outward_links)
    elif applied.record is not None:
        yield Line(f"Changed {plural(images, 'image')}.", "good")
        yield Line(f"To undo: {undo_command(applied.record, 'apply')}")


def apply_data(plan: Plan, applied: Applied | None) -> dict[str, Any]:
    """The plan and, if it was carried out, the result."""
    return {
        "dataset": plan.dataset.root,
        "applied": applied is not None,
        "folder": applied.root if applied else None,
        "record": applied.record if applied else None,
        "set_aside_in": plan.aside,
        "counts": dict(sorted(plan.counts.items())),
        "changes": [
            {
                "kind": change.kind,
                "action": change.rule,
                "source": change.source,
                "target": change.target,
            }
            for change in plan.changes
        ],
        "left": plan.left,
        "unmatched": [decision.path or decision.sha256 for decision in plan.unmatched],
        "astray": [{"path": decision.path, "copies": paths} for decision, paths in plan.astray],
    }


def split_blocks(drawn: Drawn, rules: DatasetRules, table: Path | None) -> Iterator[Block]:
    """A drawn split, class by class, before and after; and what to do next."""
    both = (drawn.before, drawn.after)
    rows = [
        [label, *(f"{counts.get((split, label), 0):,}" for split in rules.splits for counts in both)]
        for label in rules.classes
    ]
    sums = [
        sum(count for (place, _), count in counts.items() if place == split)
        for split in rules.splits
        for counts in both
    ]
    headers = ("class", *(name for split in rules.splits for name in (f"{split} now", f"{split} after")))
    yield Table(headers, [*rows, ["all", *(f"{count:,}" for count in sums)]], numbers=frozenset(headers[1:]))
    if drawn.kept_together:
        yield Line(f"{plural(drawn.kept_together, 'drawing')} with several images stay on one side each.")
    if not drawn.warped_compared:
        yield Line(
            "Copies that were rotated, stretched or sheared were not looked for. To keep them on one side, run `cldc validate --warped`, "
            "which makes the environment for it; then draw the split again."
        )
    images = plural(drawn.moving, "image")
    if not drawn.moving:
        yield Line("Every image is in its split already.", "good")
    elif table is None:
        yield Line(f"{images} would move.")
    else:
        yield Line(f"Decisions to move {images} are in {table}.", "good")
        yield Line("Next: cldc apply")


def split_data(drawn: Drawn, table: Path | None) -> dict[str, Any]:
    """The same as JSON."""

    def nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for (split, label), count in sorted(counts.items()):
            found.setdefault(split, {})[label] = count
        return found

    return {
        "decisions": table,
        "moving": drawn.moving,
        "moves": [{"path": move.path, "split": move.split} for move in drawn.moves],
        "kept_together": drawn.kept_together,
        "warped_compared": drawn.warped_compared,
        "before": nested(drawn.before),
        "after": nested(drawn.after),
    }
