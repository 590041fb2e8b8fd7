"""Plain text for pipes, logs and screen readers: no colour, no frames, columns two spaces apart."""

from __future__ import annotations

from collections.abc import Iterable

from cldc.render.blocks import Block, Line
from cldc.render.document import Document


def render(document: Document) -> str:
    """The document's blocks."""
    return plain(document.blocks)


def plain(blocks: Iterable[Block]) -> str:
    """Blocks as lines."""
    return "".join(f"{line}\n" for block in blocks for line in _lines(block.printable()))


def _lines(block: Block) -> list[str]:
    if isinstance(block, Line):
        return [block.text]
    rows = [list(row) for row in block.rows]
    if any(block.headers):
        rows.insert(0, list(block.headers))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(len(block.headers))]
    aligned = [
        "  ".join(
            cell.rjust(width) if header in block.numbers else cell.ljust(width)
            for cell, width, header in zip(row, widths, block.headers, strict=True)
        ).rstrip()
        for row in rows
    ]
    return [block.title, *aligned] if block.title else aligned
