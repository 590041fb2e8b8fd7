"""The format of ``decisions.csv``: comma-separated UTF-8 with a header, a line for each decision, sorted by path.

Spreadsheets' variants are read as well: a byte order mark, semicolons or tabs, other line ends, quotes, columns in
another order, empty lines. A cell that a spreadsheet would treat as a formula gets an apostrophe in front.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cldc.competition import DatasetRules
from cldc.decisions.model import CORRECT, RELABEL, SET_ASIDE, Decision, move_to
from cldc.spreadsheet import InvalidTable, read_rows

COLUMNS = ("sha256", "path", "action", "class", "reason", "time")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r\n]")
_NEEDS_QUOTES = re.compile(r"[\",;\t\r\n]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Git's markers around merge conflicts.
_MARKER = re.compile(r"(<{7}|\|{7}|={7}|>{7})( |$)")


def to_text(decisions: Iterable[Decision]) -> bytes:
    """Format decisions as a table: the same bytes whatever their order."""
    rows = sorted(set(decisions), key=lambda decision: (os.fsencode(decision.path), decision))
    text = "".join(f"{','.join(map(_cell, row))}\n" for row in (COLUMNS, *rows))
    return text.encode(errors="surrogateescape")


def _cell(text: str) -> str:
    """Format a cell so that every spreadsheet reads it; `csv` before Python 3.13 does not quote a carriage return."""
    if _FORMULA.match(text):
        text = f"'{text}"
    return '"{}"'.format(text.replace('"', '""')) if _NEEDS_QUOTES.search(text) else text


def parse(content: bytes, path: Path, rules: DatasetRules) -> tuple[Decision, ...]:
    """Parse the decisions of a table, in its order; ``path`` is only for messages.

    Raises:
        InvalidTable: A line is invalid.
    """
    columns: Sequence[str] | None = None
    decisions: list[Decision] = []
    # As in file names, bytes that are not UTF-8 become surrogates.
    for line, row in read_rows(content, path, errors="surrogateescape"):
        if _MARKER.match(row[0]):
            raise InvalidTable(
                path,
                line,
                "is left over from a merge that git could not finish",
                "Remove git's marker lines and keep the lines of both sides. "
                "`decisions.csv merge=union` in .gitattributes does that by itself.",
            )
        if columns is None:
            columns = _columns(row, path, line)
        else:
            decisions.append(_decision(row, columns, rules, path, line))
    return tuple(dict.fromkeys(decisions))


def _columns(row: list[str], path: Path, line: int) -> list[str]:
    names = [cell.strip().lower() for cell in row]
    while names and not names[-1]:
        names.pop()
    known = f"The columns are {', '.join(COLUMNS)}."
    if unknown := [name for name in names if name not in COLUMNS]:
        raise InvalidTable(path, line, f"names a column {unknown[0]!r}, which does not exist", known)
    if len(set(names)) < len(names):
        raise InvalidTable(path, line, "names a column twice", known)
    if "action" not in names or not {"sha256", "path"}.intersection(names):
        raise InvalidTable(path, line, "lacks the column action, or both sha256 and path", known)
    return names


def _decision(row: list[str], columns: Sequence[str], rules: DatasetRules, path: Path, line: int) -> Decision:
    def invalid(problem: str, action: str) -> InvalidTable:
        return InvalidTable(path, line, problem, action)

    if any(cell.strip() for cell in row[len(columns) :]):
        raise invalid("has more cells than columns", "Put quotes around a cell with a comma.")
    cells = dict.fromkeys(COLUMNS, "")
    cells.update(zip(columns, (cell[1:] if _ESCAPED.match(cell) else cell for cell in row), strict=False))
    # A file's name may begin or end with a space; a path written by hand does not.
    sha256, place = cells["sha256"].strip().lower(), cells["path"]
    if not sha256:
        place = place.strip().replace("\\", "/").removeprefix("./")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise invalid("has no SHA-256 of 64 hexadecimal digits", "Correct it, or leave it empty.")
    if not (sha256 or place):
        raise invalid("names no image", "Give its path in the dataset, such as train/i/a.png.")
    actions = {each.lower(): each for each in (RELABEL, SET_ASIDE, *map(move_to, rules.splits), CORRECT)}
    written, label = cells["action"].strip().lower(), cells["class"].strip()
    if (action := actions.get(written)) is None:
        known = ", ".join(actions.values())
        raise invalid(f"has the action {written!r}, which does not exist", f"Use {known}.")
    if action != RELABEL:
        label = ""
    elif label not in rules.classes:
        wrong = f"relabels to {label!r}, which is not a class" if label else "relabels to no class"
        raise invalid(wrong, f"The classes are {', '.join(rules.classes)}.")
    return Decision(sha256, place, action, label, cells["reason"].strip(), cells["time"].strip())
