"""SARIF 2.1.0, for code scanning."""

from __future__ import annotations

from cldc.render.document import Document
from cldc.render.formats.json import to_json


def render(document: Document) -> str:
    """The document's log."""
    assert document.sarif is not None  # noqa: S101 - only commands whose documents have one offer the format
    return to_json(document.sarif())
