"""Named tuples as columns: ten thousand are written, read and compared so in a fraction of the time that rows take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

Row = TypeVar("Row", bound=tuple[Any, ...])
Columns = list[tuple[Any, ...]]


def to_columns(rows: Iterable[Sequence[Any]], wide: int) -> Columns:
    """Each of the ``wide`` fields of all rows."""
    return list(zip(*rows, strict=True)) or [()] * wide


def to_rows(cls: type[Row], columns: Iterable[Iterable[Any]]) -> Iterator[Row]:
    """The named tuples whose fields are the columns; as many as the shortest is long."""
    return map(partial(tuple.__new__, cls), zip(*columns, strict=False))
