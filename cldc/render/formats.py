"""The formats of results; HTML is in `cldc.render.html`."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from cldc.render.document import Annotation, Block, Document, Line, Table
from cldc.text import masked, printable, shown, utf8

# Each format, and how files in it end, the usual extension first.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "text": (".txt",),
    "json": (".json",),
    "github": (),
    "markdown": (".md",),
    "html": (".html", ".htm"),
    "sarif": (".sarif", ".sarif.json"),
    "csv": (".csv",),
}
# What every document has; the others need a part that only some documents have.
ALWAYS = ("text", "json", "github", "markdown")
_MARKS = {"title": "### ", "good": "✅ ", "warning": "⚠️ ", "bad": "❌ "}
# A spreadsheet interprets a cell that begins so as a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def format_of(path: Path, names: tuple[str, ...]) -> str | None:
    """Find the format that a file's extension names among these; None if there is none."""
    name = path.name.lower()
    fits = [(len(end), form) for form in names for end in EXTENSIONS[form] if name.endswith(end)]
    return max(fits)[1] if fits else None


def render(name: str, document: Document) -> str:
    """Write ``document`` in the format of that name, with a final line break."""
    if name == "html":
        from cldc.render.html import render_page  # noqa: PLC0415 - Jinja2, which only a page needs

        assert document.page is not None  # noqa: S101 - only commands whose documents have one offer the format
        return render_page(document.page)
    return _RENDERERS[name](document)


def plain(blocks: Iterable[Block]) -> str:
    """Write blocks as lines for pipes, logs and screen readers: no colour, no frames, columns two spaces apart."""
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


def to_json(result: object) -> str:
    """Write ``result`` as JSON, keys in the order of their fields, with a line end; ASCII, which every stream can hold."""
    return json.dumps(to_data(result), indent=2) + "\n"


def to_data(value: object) -> Any:
    """Convert ``value`` to JSON's types. A field whose repr is off (a secret) is left out; ``metadata["key"]`` names its key.

    Raises:
        TypeError: A value of a type that has no place in a result.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f for f in dataclasses.fields(value) if f.repr)
        return {f.metadata.get("key", f.name): to_data(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {utf8(str(key)): to_data(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_data(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_data(item) for item in value)
    return _scalar(value)


def _scalar(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return utf8(str(value))
    if isinstance(value, str):
        return utf8(value)
    if value is None or isinstance(value, (int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a result")


def _github(document: Document) -> str:
    """Write the log of a job: annotations and the line that sums them up, or the blocks if there are none."""
    annotations = list(document.annotations()) if document.annotations else []
    if not annotations:
        return shown(plain(document.blocks))
    last = plain([*document.blocks][-1:])
    # An indented line belongs to what stands above it, which is an annotation here.
    return "".join(map(annotation, annotations)) + ("" if last.startswith(" ") else shown(last))


def annotation(remark: Annotation) -> str:
    """Write a remark as a workflow command."""
    file = f"file={_property(remark.file)}," if remark.file else ""
    # A command ends with its line.
    lines = (printable(line).replace("%", "%25") for line in masked(remark.text).splitlines())
    return f"::{remark.level} {file}title={_property(remark.title)}::{'%0A'.join(lines)}\n"


def _property(text: str) -> str:
    return printable(masked(text)).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def outputs(result: object) -> str:
    """Write a result's scalars as ``key=value`` lines; keys are kebab-case and joined from outer to inner."""
    return "".join(f"{key}={value}\n" for key, value in _flat("", to_data(result)))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            name = re.sub(r"[^a-z0-9]+", "-", str(key).lower()).strip("-")
            yield from _flat(f"{prefix}-{name}" if prefix else name, inner)
    elif value is not None and not isinstance(value, list):
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        yield prefix, printable(" ".join(masked(text).split()))


def markdown(document: Document) -> str:
    """Write blocks for the summary page of a job: lines as paragraphs, tables as tables; nothing in a text can become markup."""
    return "".join(f"{text}\n\n" for text in map(_markdown_block, document.blocks) if text)


def _markdown_block(block: Block) -> str:
    if isinstance(block, Line):
        return _MARKS.get(block.style, "") + _escaped(block.text) if block.text.strip() else ""
    return "\n".join(_markdown_table(block))


def _markdown_table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"**{_escaped(table.title)}**\n"
    yield _row([_escaped(header) for header in table.headers])
    yield _row(["--:" if header in table.numbers else "---" for header in table.headers])
    for row in table.rows:
        yield _row([_escaped(cell) for cell in row])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Escape what Markdown or HTML would obey with a backslash; web addresses stay clickable."""
    one_line = printable(" ".join(masked(text).split()))
    words = (
        word
        if re.fullmatch(r"https?://[\w./:?=&%~+-]+", word)
        else re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", word)
        for word in one_line.split(" ")
    )
    return " ".join(words)


def _csv(document: Document) -> str:
    assert document.rows is not None  # noqa: S101 - only commands whose documents have them offer the format
    held = io.StringIO()
    columns, items = document.rows
    writer = csv.writer(held, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(getattr(item, column)) for column in columns] for item in items)
    return held.getvalue()


def _cell(value: object) -> object:
    value = to_data(value)
    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return value


def _sarif(document: Document) -> str:
    assert document.sarif is not None  # noqa: S101 - only commands whose documents have one offer the format
    return to_json(document.sarif())


_RENDERERS: dict[str, Callable[[Document], str]] = {
    "text": lambda document: plain(document.blocks),
    "json": lambda document: to_json(document.data),
    "github": _github,
    "markdown": markdown,
    "sarif": _sarif,
    "csv": _csv,
}
