"""The result of an import, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from cldc.curation.importing import Imported, Page
from cldc.render.blocks import Block, Line, Style
from cldc.text import plural

_SHOWN = 10


def import_blocks(imported: Imported, *, everything: bool = False) -> Iterator[Block]:
    """What was added, what was already there, and what could not be used."""
    for folder, count in sorted(Counter(a.path.rpartition("/")[0] for a in imported.added).items()):
        yield Line(f"Added {plural(count, 'picture')} to {imported.root / folder}", "good")
    if inverted := [each.page for each in imported.added if each.inverted]:
        them = plural(len(inverted), "picture was", "pictures were")
        yield from _listed(f"{them} light on dark, and inverted:", map(_name, inverted), everything)
    if moving := [each.page for each in imported.added if each.moves]:
        them = plural(len(moving), "file moves", "files move")
        yield from _listed(f"{them}; the first picture was taken:", map(_name, moving), everything)
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
        yield Line("Next: cldc validate")
    else:
        yield Line("Nothing was added.")


def _listed(
    heading: str, lines: Iterator[str] | Sequence[str], everything: bool, style: Style = "plain"
) -> Iterator[Line]:
    lines = list(lines)
    shown = lines if everything else lines[:_SHOWN]
    yield Line(heading, style)
    yield from (Line(f"  {line}") for line in shown)
    if len(lines) > len(shown):
        yield Line(f"  and {len(lines) - len(shown):,} more (--verbose shows all)", "dim")


def _name(page: Page) -> str:
    return f"{page.source}, page {page.number}" if page.number else str(page.source)


def import_data(imported: Imported) -> dict[str, Any]:
    """The same as JSON."""

    def source(page: Page) -> dict[str, Any]:
        return {"source": page.source, "page": page.number or None}

    return {
        "dataset": imported.root,
        "added": [
            {
                "path": each.path,
                **source(each.page),
                "inverted": each.inverted,
                "moves": each.moves,
            }
            for each in imported.added
        ],
        "copies": [{"path": copy.path, **source(copy.page)} for copy in imported.copies],
        "left_out": [
            {**source(each.page), "reason": each.reason, "blank": each.blank} for each in imported.refused
        ],
    }
