"""GitHub Actions: annotations in the log of a step, and what the step adds to its job's summary and outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cldc.render.document import Annotation, Document
from cldc.render.formats.json import to_data
from cldc.render.formats.text import plain
from cldc.text import masked, printable, shown


def render(document: Document) -> str:
    """The log: annotations and the line that sums them up, or else the blocks."""
    annotations = list(document.annotations()) if document.annotations else []
    if not annotations:
        return shown(plain(document.blocks))
    last = plain([*document.blocks][-1:])
    # An indented line belongs to what stands above it, which is an annotation here.
    return "".join(map(annotation, annotations)) + ("" if last.startswith(" ") else shown(last))


def annotation(remark: Annotation) -> str:
    """A remark as a workflow command."""
    file = f"file={_property(remark.file)}," if remark.file else ""
    # A command ends with its line.
    lines = (printable(line).replace("%", "%25") for line in masked(remark.text).splitlines())
    return f"::{remark.level} {file}title={_property(remark.title)}::{'%0A'.join(lines)}\n"


def _property(text: str) -> str:
    return printable(masked(text)).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def outputs(result: object) -> str:
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
