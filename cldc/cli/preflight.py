"""`cldc preflight`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import command


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--script", type=click.Path(), help="A training script in place of the organisers'.")
@click.option("--label-book", type=click.Path(), help="A label book folder in place of the organisers'.")
@click.option(
    "--quick",
    is_flag=True,
    help="Only what can go wrong: read every image, train one epoch. Can't be submitted.",
)
@click.option("--force", is_flag=True, help="Train again even where the same was trained before.")
@command(server=True)
def preflight(app: App, folder: Path | None, quick: bool, force: bool) -> int:
    """Train on a dataset as the competition does, and show what comes out.

    The organisers' own script runs in a TensorFlow of its time, on a read-only copy of the dataset, and says what
    accuracy it reaches on the validation split and on the label book. Script and label book come from CodaLab; when
    it can't be reached, from what was downloaded before, and the script from cldc itself.
    """
    from cldc.cli.work import material, preflighted, validated
    from cldc.render.preflight import preflight_blocks
    from cldc.render.validation import blocks

    report = validated(app, folder)
    if not report.ok:
        if app.output.form != "json":
            app.output.tell(blocks(report))
        report.require_valid()
    result = preflighted(app, report, material(app), force=force, quick=quick)
    app.output.show(result, preflight_blocks(result))
    return 0
