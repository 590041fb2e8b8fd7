"""`cldc validate`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import command


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@command(formats=("github", "sarif"))
def validate(app: App, folder: Path | None, strict: bool) -> int:
    """Check a dataset by the rules of the training script.

    Everything that is found is told, each with what the script would make of it and what to do. The exit code is
    0 where a submission would run, 3 where it would not.
    """
    from cldc.cli.work import validated
    from cldc.render import validation, validation_ci

    report = validated(app, folder)
    forms = {
        "json": validation.to_json,
        "github": validation_ci.to_github,
        "sarif": validation_ci.to_sarif,
    }
    if app.output.form in forms:
        app.output.write(forms[app.output.form](report))
        if app.output.form == "github":
            app.output.add_to_job(validation.data(report), validation.blocks(report))
    else:
        app.output.tell(validation.blocks(report, everything=app.output.verbose))
    return report.exit_code(strict=strict)
