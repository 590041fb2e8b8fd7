"""`cldc package`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import EXISTING_FOLDER, FOLDER, command
from cldc.cli.validating import require_valid, validated
from cldc.errors import UsageError
from cldc.files import hash_file, storage_errors, temporary_folder
from cldc.package import pack
from cldc.render.document import Line
from cldc.text import plural


@command(App)
@FOLDER
@click.option(
    "--into",
    type=EXISTING_FOLDER,
    default=".",
    help="Folder to write the zip to; by default the working folder.",
)
@click.option("-y", "--yes", is_flag=True, help="Replace another zip of that name without being asked.")
def package(app: App, folder: Path | None, *, into: Path, yes: bool) -> None:
    """Write the zip to hand in without a server.

    The dataset is validated first; one with errors is not packed. NAME.zip holds one folder NAME with what the training script
    would read, byte for byte as `cldc submit` uploads it: for a learning platform, GitHub Classroom or an email.

    \b
    Examples:
      cldc package my-images
      cldc package my-images --into hand-in
    """
    report = validated(app, folder)
    require_valid(app, report)
    if into.resolve().is_relative_to(report.dataset.root.resolve()):
        raise UsageError(
            f"The zip would be inside the dataset {report.dataset.root}.",
            action="Name another folder with --into.",
        )
    with temporary_folder(".packaging-", into.absolute()) as work:
        made = pack(report, work, app.observer)
        target = into / made.path.name
        same = target.is_file() and hash_file(target) == hash_file(made.path)
        if not same:
            if target.exists():
                app.confirm(f"replace {target}, which is another zip", yes=yes)
            with storage_errors(target):
                made.path.replace(target)
        packed = replace(made, path=target)
    images, megabytes = plural(packed.images, "image"), f"{packed.size / 1e6:,.1f} MB"
    text = f"{packed.path}: {images}, {megabytes}" + ("; already there" if same else "")
    app.show(
        {"package": packed, "written": not same},
        Line(text, "good"),
        Line("Hand it in under this name; the folder inside it has the same name."),
    )
