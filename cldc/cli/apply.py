"""`cldc apply`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.fixing import undo_record
from cldc.cli.options import DATASET, YES, command
from cldc.curation.applying import Plan, apply_in_place, apply_to_copy, plan
from cldc.dataset import load
from cldc.decisions import default_path, read
from cldc.errors import StorageError, UsageError
from cldc.render import curation
from cldc.text import plural
from cldc.validation.journal import journal_lock, last_record, records_folder

_LAST = "the last"


@click.command()
@click.argument("decisions", type=click.Path(path_type=Path, readable=False), required=False)
@click.option("--dataset", "folder", type=DATASET, help="The dataset; by default the project's.")
@click.option("--into", type=click.Path(path_type=Path), help="Make a changed copy in this new folder.")
@click.option(
    "--undo",
    "record",
    is_flag=False,
    flag_value=_LAST,
    metavar="[RECORD]",
    help="Undo what the last apply did to the dataset, or what this record of one lists.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@YES
@command()
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

    DECISIONS is the table; by default decisions.csv beside the dataset. A dataset's folder there stands for the table
    beside it. Nothing is deleted or overwritten: what is set aside goes to a folder beside the dataset, and --undo
    brings every byte back. Running it again changes nothing.

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
    shown = list(curation.plan_blocks(planned, everything=app.output.verbose))
    if dry_run or not (planned.changes or into):
        app.show(curation.apply_data(planned, None), *shown)
        return 0
    if into is not None:
        applied = apply_to_copy(planned, into, app.observer)
    else:
        stake = f"change {plural(sum(planned.counts.values()), 'image')} of {root} (--dry-run shows which)"
        app.confirm("Do that?", yes=yes, stake=stake, shown=shown)
        with journal_lock(app.home, app.observer):
            # The question may wait long while people keep working.
            if _plan(app, root, decisions, in_place=True).changes != planned.changes:
                raise StorageError(
                    f"{root}, or what was decided about it, has changed meanwhile; nothing was done.",
                    action="Run the command again.",
                )
            applied = apply_in_place(planned, records_folder(app.home), app.observer)
        shown = shown if yes else []
    blocks = [*shown, *curation.applied_blocks(applied)]
    app.show(curation.apply_data(planned, applied), *blocks)
    return 0


def _plan(app: App, root: Path, table: Path | None, *, in_place: bool) -> Plan:
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
            action="`cldc review` and `cldc split` write decisions there, or make one by hand.",
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
