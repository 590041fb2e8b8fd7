"""Results as Markdown and as outputs, for the summary page and the later steps of a job on a code host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cldc.render.data import to_data
from cldc.text import masked, printable

if TYPE_CHECKING:
    from cldc.render.blocks import Block, Table

_MARKS = {"title": "### ", "good": "✅ ", "warning": "⚠️ ", "bad": "❌ "}


def to_markdown(blocks: Iterable[Block]) -> str:
    """Blocks as Markdown: lines as paragraphs, tables as tables; nothing in a text can become markup."""
    return "".join(f"{text}\n\n" for text in map(_block, blocks) if text)


def _block(block: Block) -> str:
    from cldc.render.blocks import Line

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


def to_outputs(result: object) -> str:
    """A result's scalars as ``key=value`` lines; keys are kebab-case and joined from outer to inner."""
    return "".join(f"{key}={value}\n" for key, value in _flat("", to_data(result)))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            name = re.sub(r"[^a-z0-9]+", "-", str(key).lower()).strip("-")
            yield from _flat(f"{prefix}-{name}" if prefix else name, inner)
    elif value is not None and not isinstance(value, list):
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        yield prefix, printable(" ".join(masked(text).split()))


def annotation(title: str, text: str) -> str:
    """An error as a workflow command."""
    return f"::error title=cldc {title}::{escape_command(text)}\n"


def escape_command(text: str) -> str:
    """``text`` as the message of a workflow command, which ends with its line."""
    lines = (printable(line) for line in masked(text).splitlines())
    return "%0A".join(line.replace("%", "%25") for line in lines)
