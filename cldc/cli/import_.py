"""`cldc import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from cldc.cli.app import App
from cldc.cli.options import DATASET, command
from cldc.curation.importing import Imported, SourcePage, find_sources, import_pictures
from cldc.dataset import meant_class
from cldc.errors import StorageError, UsageError
from cldc.render.document import Block, Line, Style, first_lines
from cldc.text import plural
from cldc.validation.change_records import change_lock

_SHOWN = 10


@command(App, name="import")
@click.argument(
    "sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False)
)
@click.option("--class", "label", help="The class; by default the name of each picture's folder.")
@click.option("--split", help="The split; by default the first, or that of the folder.")
@click.option("--trim", is_flag=True, help="Cut each picture to the drawing and a margin.")
@click.option("--dataset", "folder", type=DATASET, help="The dataset; by default the project's.")
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
    with change_lock(app.home, app.observer):
        imported = import_pictures(found, root, rules, trim=trim, observer=app.observer)
    next_command = app.command_for("cldc validate", root)
    app.show(_data(imported), *_blocks(imported, next_command=next_command, everything=app.output.verbose))
    return StorageError.code if any(not refused.blank for refused in imported.refused) else 0


def _known(name: str, names: tuple[str, ...], what: str) -> str:
    if known := meant_class(name, names):
        return known
    raise UsageError(f"There is no {what} {name!r}.", action=f"Name one of {', '.join(names)}.")


def _blocks(imported: Imported, *, next_command: str, everything: bool = False) -> Iterator[Block]:
    """List what was added, what was already there, and what could not be used."""
    for folder, count in sorted(Counter(a.path.rpartition("/")[0] for a in imported.added).items()):
        yield Line(f"Added {plural(count, 'picture')} to {imported.root / folder}", "good")
    if inverted := [each.page for each in imported.added if each.inverted]:
        them = plural(len(inverted), "picture was", "pictures were")
        yield from _listed(f"{them} light on dark, and inverted:", map(_name, inverted), everything)
    if animated := [each.page for each in imported.added if each.animated]:
        them = plural(len(animated), "file is an animation", "files are animations")
        yield from _listed(f"{them}; the first picture was taken:", map(_name, animated), everything)
    if imported.copies:
        them = plural(len(imported.copies), "picture is", "pictures are")
        lines = [f"{_name(copy.page)} is {copy.path}" for copy in imported.copies]
        yield from _listed(f"{them} in the dataset already:", lines, everything, "warning")
    for blank in (True, False):
        left = [refused for refused in imported.refused if refused.blank is blank]
        if left:
            them = plural(
                len(left),
                "blank picture was" if blank else "file was",
                "blank pictures were" if blank else "files were",
            )
            lines = [_name(each.page) if blank else f"{_name(each.page)}: {each.reason}" for each in left]
            yield from _listed(f"{them} left out:", lines, everything, "warning" if blank else "bad")
    if imported.added:
        yield Line(f"Next: {next_command}")
    else:
        yield Line("Nothing was added.")


def _listed(heading: str, lines: Iterable[str], everything: bool, style: Style = "plain") -> Iterator[Line]:
    yield Line(heading, style)
    yield from first_lines(lines, _SHOWN, everything=everything)


def _name(page: SourcePage) -> str:
    return f"{page.source}, page {page.number}" if page.number else str(page.source)


def _data(imported: Imported) -> dict[str, Any]:
    """Build the JSON result."""

    def source(page: SourcePage) -> dict[str, Any]:
        return {"source": page.source, "page": page.number or None}

    return {
        "dataset": imported.root,
        "added": [
            {
                "path": each.path,
                **source(each.page),
                "inverted": each.inverted,
                "moves": each.animated,
            }
            for each in imported.added
        ],
        "copies": [{"path": copy.path, **source(copy.page)} for copy in imported.copies],
        "left_out": [
            {**source(each.page), "reason": each.reason, "blank": each.blank} for each in imported.refused
        ],
    }
