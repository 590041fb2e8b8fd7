"""Blocks on a terminal: colour, aligned columns, and one line per cell if it is too narrow for columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from cldc.render.document import Block, Line, Style, Table
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
_INDENT = 2


def drawn(block: Block, *, width: int, everything: bool) -> RenderableType:
    """Draw a block for a terminal of that many columns; text is taken literally, never as markup.

    Args:
        block: A line or a table.
        width: The terminal's columns.
        everything: Whether to keep a table's optional columns even if the table then becomes a list.
    """
    block = block.printable()
    if isinstance(block, Line):
        return _line(block.text, _COLOURS[block.style], width)
    table = block if everything else _narrowed(block, width)
    if left_out := [header for header in block.headers if header not in table.headers]:
        text = f"Not shown: {', '.join(left_out)} (wider terminal, or --verbose)"
        return Group(_table(table, width), _line(text, _COLOURS["dim"], width))
    return _table(table, width)


def _narrowed(table: Table, width: int) -> Table:
    """Return the table without as many optional columns as it must lose to fit; the whole table if it never fits."""
    for count in range(len(table.optional) + 1):
        kept = [at for at, header in enumerate(table.headers) if header not in table.optional[:count]]
        narrowed = table._replace(
            headers=[table.headers[at] for at in kept],
            rows=[[row[at] for at in kept] for row in table.rows],
        )
        if _least_width(narrowed) <= width:
            return narrowed
    return table


def _table(block: Table, width: int) -> RenderableType:
    if _least_width(block) > width:
        return Group(*(_line(line, "", width) for line in _stacked(block)))
    if not any(block.headers) and len(block.headers) == 2:
        return Group(*(_line(line, "", width) for line in _pairs(block, width)))
    table = RichTable(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=sum(_widths(block)) + 3 * (len(block.headers) - 1) + 2 > width,
        header_style="bold",
        show_header=any(block.headers),
    )
    for header in block.headers:
        table.add_column(
            Text(shown(header)), justify="right" if header in block.numbers else "left", overflow="fold"
        )
    for row in block.rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    indented = Padding(table, (0, 0, 0, 1))
    return Group(Text(shown(block.title), style="bold"), indented) if block.title else indented


def _line(text: str, style: str, width: int) -> RenderableType:
    """Draw a line of text; what people copy, such as an address or the next command, runs past the edge and is not wrapped."""
    words = shown(text)
    whole = Text(words, style=style, no_wrap=True, overflow="ignore")
    if words.startswith("Next: "):
        return Group(whole)  # rich wraps a text that is printed alone anyway
    if max(map(len, words.split(" "))) > width - _INDENT:
        return whole
    indented = len(words) - len(words.lstrip(" "))
    styled = Text(words[indented:], style=style)
    return Padding(styled, (0, 0, 0, indented), expand=False) if indented else styled


def _pairs(table: Table, width: int) -> Iterator[str]:
    """Draw names and values side by side; a long word among the values, such as an address, gets a line of its own."""
    names = max((len(name) for name, _ in table.rows), default=0)
    room = width - names - 4
    for name, value in table.rows:
        words = shown(value)
        if max(map(len, words.split()), default=0) > room:
            yield from (f" {shown(name)}", f"{' ' * _INDENT}{words}")
            continue
        lines = textwrap.wrap(words, max(room, 1), break_long_words=False, break_on_hyphens=False)
        first, *more = lines or [""]
        yield f" {shown(name).ljust(names)}   {first}"
        yield from (f"{' ' * (names + 4)}{line}" for line in more)


def _least_width(table: Table) -> int:
    """Find the fewest columns in which a table's cells can still be read."""
    return sum(min(width, _READABLE) for width in _widths(table)) + 2 * (len(table.headers) - 1) + 1


def _widths(table: Table) -> list[int]:
    return [max(map(len, column)) for column in zip(table.headers, *table.rows, strict=True)]


def _stacked(table: Table) -> list[str]:
    """Draw a table as one short line for each cell."""
    lines = [table.title] if table.title else []
    for row in table.rows:
        named = [(header, cell) for header, cell in zip(table.headers, row, strict=True) if cell]
        if not any(table.headers):
            lines.append(": ".join(cell for _, cell in named))
            continue
        lines += [
            *([""] if lines else []),
            *(f"{header}: {cell}" if header else cell for header, cell in named),
        ]
    return lines
