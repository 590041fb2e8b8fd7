"""A command's result, independent of its formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cldc.render.blocks import Block


class Page(NamedTuple):
    """A web page: a template and a script of ``templates/pages``, and what makes its values once the page is asked for."""

    template: str
    values: Callable[[], Mapping[str, Any]]
    script: str = "page.js"


class Annotation(NamedTuple):
    """A remark that a code host shows beside a file; ``file`` is relative to the repository."""

    level: Literal["error", "warning", "notice"]
    title: str
    text: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One result in all its forms. Expensive forms are created only when their format is requested.

    Attributes:
        data: The result itself, for programs.
        blocks: The same for people; kept as a tuple.
        page: The same with pictures, for a browser.
        annotations: What belongs to files.
        sarif: A SARIF log.
        rows: A table for a spreadsheet, its headers first.
    """

    data: object
    blocks: Iterable[Block]
    page: Page | None = None
    annotations: Callable[[], Iterable[Annotation]] | None = None
    sarif: Callable[[], Mapping[str, Any]] | None = None
    rows: Callable[[], Iterable[Sequence[object]]] | None = None

    def __post_init__(self) -> None:
        """Several formats read the blocks, which often come from a generator."""
        object.__setattr__(self, "blocks", tuple(self.blocks))
