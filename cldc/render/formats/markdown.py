"""Markdown, as for the summary page of a job on a code host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cldc.render.blocks import Block, Line, Table
from cldc.render.document import Document
from cldc.text import masked, printable

_MARKS = {"title": "### ", "good": "✅ ", "warning": "⚠️ ", "bad": "❌ "}


def render(document: Document) -> str:
    """The document's blocks: lines as paragraphs, tables as tables; nothing in a text can become markup."""
    return "".join(f"{text}\n\n" for text in map(_block, document.blocks) if text)


def _block(block: Block) -> str:
    if isinstance(block, Line):
        return _MARKS.get(block.style, "") + _escaped(block.text) if block.text.strip() else ""
    return "\n".join(_table(block))


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"**{_escaped(table.title)}**\n"
    yield _row([_escaped(header) for header in table.headers])
    yield _row(["--:" if header in table.numbers else "---" for header in table.headers])
    for row in table.rows:
        yield _row([_escaped(cell) for cell in row])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text with a backslash before what Markdown or HTML would obey; web addresses stay clickable."""
    one_line = printable(" ".join(masked(text).split()))
    words = (
        word
        if re.fullmatch(r"https?://[\w./:?=&%~+-]+", word)
        else re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", word)
        for word in one_line.split(" ")
    )
    return " ".join(words)
