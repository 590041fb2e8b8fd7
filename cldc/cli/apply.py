"""`cldc apply`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cldc.cli.app import App
from cldc.cli.options import DATASET, YES, command
from cldc.cli.validating import undo_record
from cldc.curation.applying import ApplyPlan, apply_in_place, plan
from cldc.dataset import load
from cldc.decisions import RELABEL, SET_ASIDE, default_path, moved_to, read
from cldc.errors import StorageError, UsageError
from cldc.render.document import Block, Line, first_lines
from cldc.render.validation import copied_blocks
from cldc.text import first_few, plural
from cldc.validation.change_records import (
    Change,
    carry_out_in_copy,
    change_lock,
    last_record,
    records_folder,
    undo_command,
)

_LAST = "the last"
_SHOWN = 10


@command(App)
@click.argument("decisions", type=click.Path(path_type=Path, readable=False), required=False)
@click.option("--dataset", "folder", type=DATASET, help="The dataset; by default the project's.")
@click.option("--into", type=click.Path(path_type=Path), help="Create a changed copy in this new folder.")
@click.option(
    "--undo",
    "record",
    is_flag=False,
    flag_value=_LAST,
    metavar="[RECORD]",
    help="Undo the last apply to the dataset, or the one that this record lists.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@YES
def apply(
    app: App,
    *,
    decisions: Path | None,
    folder: Path | None,
    into: Path | None,
    record: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Carry out what was decided about images: relabel, move to another split, set aside.

    DECISIONS is the table, or a dataset's folder, whose table is the decisions.csv beside it; by default the project's.
    Nothing is deleted or overwritten: what is set aside goes to a folder beside the dataset, and --undo
    restores every byte. Running it again changes nothing.

    \b
    Examples:
      cldc apply --dry-run
      cldc apply digits/decisions.csv --dataset digits/data --into digits/better
      cldc apply --undo
    """
    if decisions is not None and decisions.is_dir() and folder is None:
        decisions, folder = None, decisions
    if record is not None:
        return _undo(app, record, folder)
    root = app.dataset_folder(folder)
    planned = _plan(app, root, decisions, in_place=into is None)
    shown = list(_plan_blocks(planned, in_copy=into is not None, everything=app.output.verbose))
    if dry_run or not (planned.changes or into):
        app.show(_data(planned, None, None), *shown)
        return 0
    undo = None
    if into is not None:
        changed = carry_out_in_copy(planned.changes, planned.dataset, into, follow=(), observer=app.observer)
    else:
        action = f"change {plural(sum(planned.counts.values()), 'image')} of {root} (--dry-run shows which)"
        app.confirm(action, yes=yes, question="Make these changes?", shown=shown)
        with change_lock(app.home, app.observer):
            # The question may wait long while people keep working.
            if _plan(app, root, decisions, in_place=True).changes != planned.changes:
                raise StorageError(
                    f"{root}, or what was decided about it, has changed since; nothing was done.",
                    action="Run the command again.",
                )
            undo = apply_in_place(planned, records_folder(app.home), app.observer)
        changed, shown = planned.dataset.root, shown if yes else []
    app.show(_data(planned, changed, undo), *shown, *_applied_blocks(planned, changed, undo))
    return 0


def _plan(app: App, root: Path, table: Path | None, *, in_place: bool) -> ApplyPlan:
    rules = app.competition.dataset
    if table is not None and not table.is_file():
        raise UsageError(
            f"{table} does not exist.", action="Give the path of a table of decisions, or of the dataset."
        )
    place = table or default_path(root)
    decisions = read(place, rules)
    dataset = load(root, rules, app.observer)
    if table is None and not place.is_file():
        raise UsageError(
            f"Nothing was decided about {root}: there is no {place}.",
            action="`cldc review` and `cldc split` write decisions there, or create one by hand.",
        )
    return plan(dataset, decisions, rules, in_place=in_place)


def _undo(app: App, record: str, folder: Path | None) -> int:
    if record == _LAST:
        root = app.dataset_folder(folder)
        last = last_record(root, records_folder(app.home), "apply")
        if last is None:
            raise UsageError(
                f"There is nothing to undo: no decisions were carried out in {root}.",
                action="Name the record, if the dataset was moved since.",
            )
    else:
        last = Path(record)
    return undo_record(app, last)


def _plan_blocks(plan: ApplyPlan, *, in_copy: bool, everything: bool = False) -> Iterator[Block]:
    """List what would be done, action by action, and what can't be done."""
    for action, count in sorted(plan.counts.items()):
        yield Line(_heading(action, count, plan, in_copy=in_copy))
        changes = [change for change in plan.changes if change.kind != "folder" and change.rule == action]
        yield from first_lines(map(_arrow, changes), _SHOWN, everything=everything)
    if folders := [change.target for change in plan.changes if change.kind == "folder"]:
        yield Line(f"Create {plural(len(folders), 'folder')}: {first_few(folders, 5)}")
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


def _heading(action: str, count: int, plan: ApplyPlan, *, in_copy: bool) -> str:
    images = plural(count, "image")
    if action == RELABEL:
        return f"Relabel {images}:"
    if action == SET_ASIDE and in_copy:
        return f"Leave {images} out of the copy:"
    if action == SET_ASIDE:
        return f"Set aside {images}, in {plan.aside}:"
    return f"Move {images} to {moved_to(action)}:"


def _arrow(change: Change) -> str:
    if change.kind == "aside":
        return change.source
    folder, _, name = change.target.rpartition("/")
    is_renamed = name != change.source.rpartition("/")[2]
    return f"{change.source} -> {change.target if is_renamed else f'{folder}/'}"


def _applied_blocks(plan: ApplyPlan, changed: Path, undo: Path | None) -> Iterator[Block]:
    """Show what was done to the folder ``changed``, and the record that undoes it; a copy has none."""
    images = plural(sum(plan.counts.values()), "image")
    if undo is None:
        yield Line(f"{changed} is a copy with {images} changed.", "good")
        yield from copied_blocks(plan.dataset.outward_links)
    else:
        yield Line(f"Changed {images}.", "good")
        yield Line(f"To undo: {undo_command(undo, 'apply')}")


def _data(plan: ApplyPlan, changed: Path | None, undo: Path | None) -> dict[str, Any]:
    """Build the JSON of the plan and, if carried out, of the changed folder and the record that undoes it."""
    return {
        "dataset": plan.dataset.root,
        "applied": changed is not None,
        "folder": changed,
        "record": undo,
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
