"""Read CSV tables as spreadsheets write them.

A byte order mark, semicolons or tabs instead of commas, any line endings, quotes and empty lines are accepted.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from cldc.errors import ConfigurationError

_DELIMITERS = ",;\t"


class InvalidTable(ConfigurationError):
    """A line of a table can't be used; the message names it."""

    def __init__(self, path: Path, line: int, problem: str, action: str) -> None:
        """Take a ``problem`` that completes "Line 7 of decisions.csv ...", such as "has no name"."""
        super().__init__(f"Line {line} of {path} {problem}.", action=action)


def read_rows(content: bytes, path: Path, *, errors: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that has a cell with text, with the number of the line on which it begins.

    Args:
        content: The bytes of the file.
        path: The file, for messages.
        errors: How to treat bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        InvalidTable: A line is not CSV, or the table is in UTF-16.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidTable(path, 1, "shows that it is in UTF-16", "Save it as CSV in UTF-8.")
    text = content.decode("utf-8-sig", errors=errors)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidTable(
            path, line, f"can't be read: {error}", "Correct the quotes in that line."
        ) from error
