"""What the pages have in common: one style, everything in one file, no script, nothing loaded from anywhere."""

from __future__ import annotations

import string
from html import escape

from cldc import __version__
from cldc.resources import template
from cldc.text import printable


def fill_page(name: str, **parts: str) -> str:
    """The page ``templates/pages/NAME`` with its parts, the style and cldc's version put in."""
    style = template("pages", "style.css").read_text(encoding="utf-8")
    page = template("pages", name).read_text(encoding="utf-8")
    return string.Template(page).substitute(style=style, version=escape(__version__), **parts)


def text(words: str) -> str:
    """``words`` as they may stand in HTML."""
    return escape(printable(words))
