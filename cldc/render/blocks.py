"""What results are told with: lines and tables, drawn with colour on a terminal and as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from cldc.text import shown

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

# A cell narrower than this is hard to read when its text goes over several lines.
_READABLE = 16


class Line(NamedTuple):
    """One line of text; its style adds to what the words say and never replaces it."""

    text: str
    style: Style = "plain"


class Table(NamedTuple):
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


def _least_width(table: Table) -> int:
    """Columns that a table needs before its cells break into shreds."""
    cells = [[*column] for column in zip(table.headers, *table.rows, strict=True)]
    widths = (min(max(map(len, column)), _READABLE) for column in cells)
    return sum(widths) + 2 * (len(table.headers) - 1)


def _stacked(table: Table) -> list[str]:
    """A table as one short line a cell, for terminals too narrow for columns."""
    lines = [table.title] if table.title else []
    for row in table.rows:
        named = [(header, cell) for header, cell in zip(table.headers, row, strict=True) if cell]
        if not any(table.headers):
            lines.append(": ".join(cell for _, cell in named))
            continue
        lines += ["", *(f"{header}: {cell}" if header else cell for header, cell in named)]
    return lines


def drawn(block: Block, *, width: int | None = None) -> RenderableType:
    """A block for a terminal of that many columns; text is taken literally, never as markup."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    if isinstance(block, Line):
        return Text(shown(block.text), style=_COLOURS[block.style])
    if width is not None and _least_width(block) > width:
        return Text(shown("\n".join(_stacked(block))))
    table = RichTable(
        title=Text(shown(block.title), style="bold") if block.title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        show_header=any(block.headers),
    )
    for header in block.headers:
        table.add_column(
            Text(shown(header)), justify="right" if header in block.numbers else "left", overflow="fold"
        )
    for row in block.rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table
