"""SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import json

from cldc.render.document import Document


def render(document: Document) -> str:
    """The document's log."""
    assert document.sarif is not None  # noqa: S101 - only commands whose documents have one offer the format
    return json.dumps(document.sarif(), indent=2) + "\n"
