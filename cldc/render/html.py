"""HTML: a page that is one file and works offline, rendered with Jinja2 from ``templates/pages``."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cldc import __version__
from cldc.render.document import Page
from cldc.resources import template
from cldc.text import printable


def render_page(page: Page) -> str:
    """Render a page; every text among its values is escaped."""
    script = template("pages", page.script).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(page.template)
        .render(page.values(), version=__version__, script=Markup(script), script_hash=f"sha256-{digest}")  # noqa: S704 - our own file
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(template("pages")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """Replace characters that a page can't hold with escapes, before the text is escaped as HTML."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
