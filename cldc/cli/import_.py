"""`cldc import`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import DATASET, command
from cldc.curation.importing import find_sources, import_pictures
from cldc.dataset import meant_class
from cldc.errors import StorageError, UsageError
from cldc.render.importing import import_blocks, import_data
from cldc.validation.journal import journal_lock


@click.command("import")
@click.argument(
    "sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False)
)
@click.option("--class", "label", help="The class; by default the name of each picture's folder.")
@click.option("--split", help="The split; by default the first, or that of the folder.")
@click.option("--trim", is_flag=True, help="Cut each picture to the drawing and a margin.")
@click.option("--dataset", "folder", type=DATASET, help="The dataset; by default the project's.")
@command()
def import_(
    app: App,
    *,
    sources: tuple[Path, ...],
    label: str | None,
    split: str | None,
    trim: bool,
    folder: Path | None,
) -> int:
    """Add photos, scans and PDF pages to a dataset, as PNGs like the competition's.

    SOURCE is a picture (HEIC, JPEG, PNG, WebP, AVIF, TIFF, ...), a PDF, or a folder of them. In a folder of class folders each
    picture gets its folder's class. Each picture becomes a small grey PNG, upright, dark on white, without metadata, named by
    its content. No file is overwritten; pictures that the dataset already has are reported and skipped.

    \b
    Examples:
      cldc import scans/ --trim
      cldc import IMG_0412.HEIC page.pdf --class viii --split val
    """
    rules = app.competition.dataset
    found = find_sources(
        sources,
        rules,
        label=label and _known(label, rules.classes, "class"),
        split=split and _known(split, rules.splits, "split"),
    )
    root = app.dataset_folder(folder)
    with journal_lock(app.home, app.observer):
        imported = import_pictures(found, root, rules, trim=trim, observer=app.observer)
    blocks = import_blocks(imported, everything=app.output.verbose)
    app.show(import_data(imported), *blocks)
    return StorageError.code if any(not refused.blank for refused in imported.refused) else 0


def _known(name: str, names: tuple[str, ...], what: str) -> str:
    if known := meant_class(name, names):
        return known
    raise UsageError(f"There is no {what} {name!r}.", action=f"Name one of {', '.join(names)}.")
