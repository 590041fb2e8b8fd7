"""`cldc sample`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import command
from cldc.render.document import Line
from cldc.sample import draw


@command(App)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--images", type=click.IntRange(min=1), default=400, show_default=True, help="How many images to draw."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws others.")
def sample(app: App, folder: Path, images: int, seed: int) -> None:
    """Draw a dataset to try things with.

    FOLDER must not exist yet. It gets the competition's splits and class folders with images that look
    handwritten; the same seed draws the same images.

    \b
    Examples:
      cldc sample my-images
      cldc sample many-images --images 3000 --seed 7
    """
    draw(folder, app.competition, images=images, seed=seed, observer=app.observer)
    app.show(
        {"folder": folder, "images": images, "seed": seed},
        Line(f"Drew {images:,} images in {folder}.", "good"),
        Line(f"Next: {app.command_for('cldc validate', folder)}"),
    )
