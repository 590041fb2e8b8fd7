"""`cldc clean`."""

from __future__ import annotations

import click

from cldc.cli.app import App
from cldc.cli.options import command


@click.command()
@click.option(
    "--unfinished", is_flag=True, help="Also what was begun and never tagged, and runs of preflights."
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@command(server=True)
def clean(app: App, *, unfinished: bool, dry_run: bool, yes: bool) -> None:
    """Remove from the server what no submission of yours needs.

    Looks at the worksheets that cldc made: failed bundles, uploads that broke off, and what a finished
    submission was made without. What a tagged bundle is made from is never touched.
    """
    from cldc.render.blocks import Line
    from cldc.render.submission import leftover_blocks
    from cldc.submission import Clock
    from cldc.submission.removal import leftovers, remove
    from cldc.text import plural

    found = leftovers(
        app.competition,
        app.rest,
        app.rest.user().name,
        home=app.home,
        now=Clock(app.rest)(),
        unfinished=unfinished,
    )
    gone = False
    if found and not dry_run:
        bundles = sum(item.kind == "bundle" for item in found)
        what = f"{plural(bundles, 'bundle')} and {plural(len(found) - bundles, 'worksheet')}"
        app.confirm(
            f"Remove {what} for ever?",
            yes=yes,
            stake=f"remove {what} from {app.rest.server} for ever (--dry-run lists them)",
            shown=leftover_blocks(found),
        )
        remove(app.codalab, found)
        gone = True
    blocks = [*leftover_blocks(found), *([Line(f"Removed {len(found)}.", "good")] if gone else [])]
    app.output.show({"leftovers": found, "removed": gone}, blocks)
