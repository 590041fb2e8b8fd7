"""Blocks on a terminal: colour, aligned columns, and one line a cell where it is too narrow for columns."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from cldc.render.blocks import Block, Line, Style, Table
from cldc.text import shown

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


def drawn(block: Block, *, width: int) -> RenderableType:
    """A block for a terminal of that many columns; text is taken literally, never as markup."""
    if isinstance(block, Line):
        return Text(shown(block.text), style=_COLOURS[block.style])
    if _least_width(block) > width:
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


def _least_width(table: Table) -> int:
    """Columns that a table needs before its cells break into shreds."""
    cells = [[*column] for column in zip(table.headers, *table.rows, strict=True)]
    widths = (min(max(map(len, column)), _READABLE) for column in cells)
    return sum(widths) + 2 * (len(table.headers) - 1)


def _stacked(table: Table) -> list[str]:
    """A table as one short line a cell."""
    lines = [table.title] if table.title else []
    for row in table.rows:
        named = [(header, cell) for header, cell in zip(table.headers, row, strict=True) if cell]
        if not any(table.headers):
            lines.append(": ".join(cell for _, cell in named))
            continue
        lines += ["", *(f"{header}: {cell}" if header else cell for header, cell in named)]
    return lines
