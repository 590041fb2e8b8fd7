"""What results are told with: lines and tables, drawn with colour on a terminal and as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import RenderableType

Style = Literal["plain", "title", "good", "warning", "bad", "dim"]
_COLOURS: dict[Style, str] = {
    "plain": "",
    "title": "bold",
    "good": "green",
    "warning": "yellow",
    "bad": "bold red",
    "dim": "dim",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; its style adds to what the words say and never replaces it."""

    text: str
    style: Style = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headers; columns named in ``numbers`` are aligned to the right."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: frozenset[str] = frozenset()


Block = Line | Table


def plain(blocks: Iterable[Block]) -> str:
    """Blocks as lines for a pipe, a log or a screen reader: no colour, no frames, columns two spaces apart."""
    return "".join(f"{line}\n" for block in blocks for line in _plain_lines(block))


def _plain_lines(block: Block) -> list[str]:
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


def drawn(block: Block) -> RenderableType:
    """A block for a terminal; text is taken literally, never as markup."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    if isinstance(block, Line):
        return Text(block.text, style=_COLOURS[block.style])
    table = RichTable(
        title=Text(block.title, style="bold") if block.title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        show_header=any(block.headers),
    )
    for header in block.headers:
        table.add_column(
            Text(header), justify="right" if header in block.numbers else "left", overflow="fold"
        )
    for row in block.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
