"""Words for messages."""

from __future__ import annotations

from collections.abc import Sequence


def number(count: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``2,067 images``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], limit: int = 3) -> str:
    """The first few of ``items`` in one line, and how many more there are."""
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit:,} more" if len(items) > limit else shown
