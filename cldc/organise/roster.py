"""A class's roster: each student's name, account, group and extension of the deadline. It is never published."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import timedelta
from pathlib import Path

from cldc.errors import ConfigurationError, UsageError
from cldc.files import replace_atomically, storage_errors
from cldc.identifiers import is_name
from cldc.organise.model import ROSTER
from cldc.spreadsheet import InvalidTable, read_rows

COLUMNS = ("name", "account", "group", "extension_hours")


@dataclass(frozen=True, slots=True)
class Student:
    """One student.

    Attributes:
        name: The name, as the teacher writes it.
        account: The account on CodaLab.
        group: The group the student works in; empty for none.
        extension_hours: Hours by which this student's deadline is later, as the teacher wrote them; empty for none.
    """

    name: str
    account: str
    group: str = ""
    extension_hours: str = ""

    @property
    def extension(self) -> timedelta:
        """The extension of this student's deadline."""
        return timedelta(hours=float(self.extension_hours or 0))


def read_roster(path: Path) -> tuple[Student, ...]:
    """Read the students in a CSV file, as spreadsheets write it; a missing account's name is derived from the student's.

    Raises:
        ConfigurationError: It has no names, or a line can't be used.
        StorageError: It can't be read.
    """
    with storage_errors(path):
        content = path.read_bytes()
    rows = list(read_rows(content, path, errors="replace"))
    if not rows:
        return ()
    header = [cell.strip().lower() for cell in rows[0][1]]
    if "name" not in header:
        raise ConfigurationError(
            f"{path} has no column `name`.",
            action=f"Its first line names the columns: {', '.join(COLUMNS)}; all but `name` may be missing.",
        )
    students: list[Student] = []
    for line, row in rows[1:]:
        students.append(_student(row, header, students, path, line))
    return tuple(students)


def keep_roster(folder: Path, given: Path | None) -> tuple[Student, ...]:
    """Store the roster ``given`` in the competition's folder, or read the stored one, and return its students.

    Raises:
        UsageError: No roster is given, and none was kept.
        InvalidTable: A line can't be used.
    """
    kept = folder / ROSTER
    if given is not None:
        students = read_roster(given)
        write_roster(kept, students)
        return students
    if not kept.is_file():
        raise UsageError(
            "This competition has no roster yet.",
            action="Give a CSV file: cldc organise accounts students.csv",
        )
    return read_roster(kept)


def _student(
    row: Sequence[str], header: Sequence[str], before: Iterable[Student], path: Path, line: int
) -> Student:
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=False)}
    student = Student(**{name: cells.get(name, "") for name in COLUMNS})
    taken = {each.account for each in before}
    if not student.account:
        student = replace(student, account=_account(student.name, taken))
    problem = ""
    if not student.name:
        problem = "has no name"
    elif not is_name(student.account):
        problem = f"has the account {student.account!r}, which CodaLab does not allow"
    elif student.account in taken:
        problem = f"has the account {student.account}, which an earlier line has"
    else:
        try:
            if student.extension < timedelta():
                problem = "has a negative extension"
        except (ValueError, OverflowError):
            problem = f"has an extension of {student.extension_hours!r}, which is not a number of hours"
    if problem:
        raise InvalidTable(path, line, problem, "Correct that line.")
    return student


def _account(name: str, taken: set[str]) -> str:
    """Derive an account's name from a person's: plain letters, and a number if the name is taken."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    account = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "student"
    account = account if is_name(account) else f"s-{account}"
    number, candidate = 1, account
    while candidate in taken:
        number += 1
        candidate = f"{account}-{number}"
    return candidate


def write_roster(path: Path, students: Iterable[Student]) -> None:
    """Write the roster, readable by its owner only.

    Raises:
        StorageError: It can't be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *map(astuple, students)])
    replace_atomically(path, text.getvalue())
