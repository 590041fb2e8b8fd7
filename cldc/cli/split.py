"""`cldc split`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cldc.cli.app import App
from cldc.cli.options import FOLDER, NumberRange, command
from cldc.competition import DatasetRules
from cldc.curation.applying import require_no_conflict
from cldc.curation.splitting import DrawnSplit, draw_split
from cldc.decisions import default_path, edit, match, read
from cldc.render.document import Block, Line, Table
from cldc.text import plural
from cldc.validation.inspect_images import files_with_drawings, inspect_dataset
from cldc.validation.warped_copies import find_warped_copies


@command(App)
@FOLDER
@click.option(
    "--val",
    "share",
    type=NumberRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="How much of each class goes to the validation split.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws another split.")
@click.option("--dry-run", is_flag=True, help="Show the split, and write no decisions.")
def split(app: App, *, folder: Path | None, share: float, seed: int, dry_run: bool) -> None:
    """Draw train and val again, never with the same drawing in both.

    Each class is divided in the same proportion. Images with the same content, copies saved differently and near duplicates
    stay together; so do rotated, stretched and sheared copies, if the environment of `cldc labels` is ready. The split is
    written as decisions into decisions.csv beside the dataset, and `cldc apply` carries them out; the same seed and images
    give the same split.

    \b
    Examples:
      cldc split data --val 0.2 --seed 1
      cldc apply data
    """
    rules = app.competition.dataset
    root = app.dataset_folder(folder)
    table = default_path(root)
    decisions = read(table, rules)
    inspected = inspect_dataset(root, app.competition, app.observer, home=app.home)
    # As a check looks for warped copies, and within a split too, since any two images may be divided.
    sides = [
        files_with_drawings(inspected.dataset, inspected.inspections, split)
        for split in (*rules.splits, None)
    ]
    copies = find_warped_copies(sides, app.home, app.observer)
    if copies is not None:
        inspected = replace(inspected, pairs=(*inspected.pairs, *copies), warped_compared=True)
    matched = match(decisions, inspected.dataset, rules.classes)
    drawn = draw_split(inspected, matched, share=share, seed=seed)
    # Where an image goes is decided again, so that contradictions about it don't count.
    require_no_conflict(match(set(decisions) - set(drawn.replaced), inspected.dataset, rules.classes))
    if not dry_run:
        edit(table, rules, add=drawn.moves, remove=drawn.replaced, home=app.home)
    written = None if dry_run else table
    blocks = _blocks(drawn, rules, written, next_command=app.command_for("cldc apply", root))
    app.show(_data(drawn, written), *blocks)


def _blocks(
    drawn: DrawnSplit, rules: DatasetRules, table: Path | None, *, next_command: str
) -> Iterator[Block]:
    """Show a drawn split class by class, before and after, and what to do next."""
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
    yield Table(headers, [*rows, ["all", *(f"{count:,}" for count in sums)]], numbers=headers[1:])
    if drawn.kept_together:
        yield Line(f"{plural(drawn.kept_together, 'drawing')} with several images stay in one split each.")
    if not drawn.warped_compared:
        yield Line(
            "Copies that were rotated, stretched or sheared are not detected yet. To keep them in one split, run `cldc validate --warped`, "
            "which creates the environment that this needs; then draw the split again."
        )
    images = plural(drawn.moving, "image")
    if not drawn.moving:
        yield Line("Every image is in its split already.", "good")
    elif table is None:
        yield Line(f"{images} would move.")
    else:
        yield Line(f"Decisions to move {images} are in {table}.", "good")
        yield Line(f"Next: {next_command}")


def _data(drawn: DrawnSplit, table: Path | None) -> dict[str, Any]:
    """Build the JSON result."""

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
