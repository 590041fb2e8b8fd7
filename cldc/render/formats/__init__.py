"""The formats of results. Each is a module here that turns a `Document` into text, imported when it is first asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

from cldc.render.document import Document


class Format(NamedTuple):
    """A format: its name, and how files in it end."""

    name: str
    extensions: tuple[str, ...] = ()


FORMATS = (
    Format("text", (".txt",)),
    Format("json", (".json",)),
    Format("github"),
    Format("markdown", (".md",)),
    Format("html", (".html", ".htm")),
    Format("sarif", (".sarif", ".sarif.json")),
    Format("csv", (".csv",)),
)
# What every document has; the others need a part that only some documents have.
ALWAYS = ("text", "json", "github", "markdown")


def render(name: str, document: Document) -> str:
    """``document`` in the format of that name, with a line end."""
    text: str = importlib.import_module(f"{__name__}.{name}").render(document)
    return text


def format_of(path: Path, names: tuple[str, ...]) -> str | None:
    """Which of these formats a file's extension names; None if it names none of them."""
    fits = [
        (len(extension), form.name)
        for form in FORMATS
        if form.name in names
        for extension in form.extensions
        if path.name.lower().endswith(extension)
    ]
    return max(fits)[1] if fits else None


def extensions_of(names: tuple[str, ...]) -> list[str]:
    """The usual extension of each of these formats that files can have."""
    return [form.extensions[0] for form in FORMATS if form.name in names and form.extensions]
