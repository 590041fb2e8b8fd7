"""`cldc clean`."""

from __future__ import annotations

import click

from cldc.cli.contestant import contestant
from cldc.cli.options import YES, command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.submission import counted, orphan_blocks, removed_blocks
from cldc.submission.cleanup import Orphan, find_orphans, remove_orphans
from cldc.text import plural


@click.command()
@click.option(
    "--unfinished", is_flag=True, help="Also what was begun and never tagged, and runs of preflights."
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@YES
@command(ServerApp)
def clean(app: ServerApp, *, unfinished: bool, dry_run: bool, yes: bool) -> None:
    """Remove from the server what no submission of yours needs.

    Looks at the worksheets that cldc made for this competition: failed bundles, uploads that broke off, and what a
    finished submission was made without. A run that is going is killed first, if you agree. Never touched are other
    competitions' worksheets, what you made by hand, and whatever a tag, a board or another bundle needs; that is
    checked again right before each removal.

    \b
    Examples:
      cldc clean --dry-run
      cldc clean --unfinished
    """
    with Ledger(app.home) as ledger:
        me = contestant(app, ledger)
        orphans = find_orphans(me, unfinished=unfinished)
        removed = None
        if orphans.found and not dry_run:
            app.confirm(
                f"{_stake(orphans.found).capitalize()} permanently?",
                yes=yes,
                stake=f"{_stake(orphans.found)} from {app.rest.server} permanently (--dry-run lists them)",
                shown=orphan_blocks(orphans),
            )
            removed = remove_orphans(me, orphans.found)
    gone, kept = (removed.gone, removed.kept) if removed else ((), ())
    result = {
        "leftovers": orphans.found,
        "removed": removed is not None,
        "gone": [orphan.uuid for orphan in gone],
        "kept": kept,
        "left_alone": orphans.left_alone,
    }
    app.show(result, *orphan_blocks(orphans), *(removed_blocks(removed) if removed else []))


def _stake(found: tuple[Orphan, ...]) -> str:
    running = sum(orphan.running for orphan in found)
    runs = plural(running, "run that is running", "runs that are running")
    return f"{f'kill {runs}, and ' if running else ''}remove {counted(found)}"
