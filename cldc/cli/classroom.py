"""`cldc organise accounts`, `grades` and `reject`: a class behind a competition."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

import click

from cldc import sandbox
from cldc.bundles.submitted import read_submitted
from cldc.cli.options import command
from cldc.cli.organising import OrganiserTarget, organiser_target, read_board
from cldc.cli.server import ServerApp
from cldc.codalab import CodaLab, Rest
from cldc.errors import UsageError
from cldc.leaderboard import Leaderboard, Row
from cldc.organise.daemon import organiser_of
from cldc.organise.grades import Grade, grade
from cldc.organise.roster import Student, read_roster, roster_file, write_roster
from cldc.organise.rulings import reject as record_rejection
from cldc.preflight.records import all_records
from cldc.render.blocks import Block, Line, Table
from cldc.render.document import Document
from cldc.trainings.expected import expect_class

_SHORT = 12


@click.command()
@click.argument("roster", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@command(ServerApp)
def accounts(app: ServerApp, *, roster: Path | None) -> None:
    """Keep the class's roster, and check which accounts exist.

    ROSTER is a CSV file with the columns name, account, group and extension_hours; only name is required. It stays on
    this machine. On the sandbox the command creates the accounts; on another CodaLab students sign up themselves, and it
    shows what to tell them. Without ROSTER it checks the accounts of the last one again.

    \b
    Examples:
      cldc organise accounts students.csv --competition class.toml
      cldc organise accounts --competition class.toml
    """
    where = organiser_target(app)
    students = _keep_roster(where, roster)
    if where.sandbox:
        for student in students:
            sandbox.add_account(app.home, student.account)
        joined = {student.account for student in students}
    else:
        with Rest(where.address, where.credentials, observer=app.observer) as rest:
            joined = {student.account for student in students if rest.has_account(student.account)}
    data = [
        {
            **{field.name: getattr(student, field.name) for field in fields(student)},
            "joined": student.account in joined,
        }
        for student in students
    ]
    cost = expect_class(app.competition, all_records(app.home), students=len(students))
    app.output.show(Document({"students": data}, _roster_blocks(where, students, joined, cost)))


def _keep_roster(where: OrganiserTarget, given: Path | None) -> tuple[Student, ...]:
    kept = roster_file(where.folder)
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


def _roster_blocks(
    where: OrganiserTarget, students: Sequence[Student], joined: set[str], cost: str
) -> list[Block]:
    rows = [
        (student.name, student.account, student.group, "yes" if student.account in joined else "no")
        for student in students
    ]
    blocks: list[Block] = [
        Table(("student", "account", "group", "joined"), rows),
        Line(f"{len(joined)} of {len(students)} have an account.", "good"),
        Line(cost),
    ]
    missing = [student for student in students if student.account not in joined]
    if missing:
        blocks.append(Line("Tell each of the others:"))
        blocks += [
            Line(
                f"  {student.name}: sign up at {where.address}/account/signup with the user name {student.account}"
            )
            for student in missing
        ]
    return blocks


@click.command()
@command(ServerApp, formats=("csv",))
def grades(app: ServerApp) -> None:
    """Show each student's score, submissions and shared content.

    Counts each account's best or last submission, as `organiser.grade` in the profile says, on the board that this machine
    scored last. Late and rejected submissions do not count.

    \b
    Examples:
      cldc organise grades --competition class.toml
      cldc organise grades --competition class.toml --format csv
    """
    where = organiser_target(app)
    app.output.show(grades_document(app, where, read_board(app, where)))


def grades_document(app: ServerApp, where: OrganiserTarget, board: Leaderboard) -> Document:
    """The grades of a board's students."""
    kept = roster_file(where.folder)
    students = read_roster(kept) if kept.is_file() else ()
    with CodaLab(
        where.address, where.credentials, python=app.codalab_python, observer=app.observer
    ) as codalab:
        accuracies, contents = read_submitted(
            codalab.rest, [row.submission for row in board.rows], app.observer
        )
    found = grade(
        board.rows,
        students,
        organiser_of(app.competition).grade,
        accuracies=accuracies,
        contents=contents,
    )
    data = {"as_of": board.updated, "rule": organiser_of(app.competition).grade, "grades": found}
    return Document(data, _grade_blocks(board, found), rows=functools.partial(_grade_rows, found))


def _grade_rows(found: Sequence[Grade]) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [[field.name for field in fields(Grade)]]
    for each in found:
        *values, shared = astuple(each)
        rows.append([*("" if value is None else value for value in values), " ".join(shared)])
    return rows


def _grade_blocks(board: Leaderboard, found: Sequence[Grade]) -> list[Block]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    rows = [
        (
            each.name or each.account,
            each.account,
            number(each.score),
            number(each.best),
            number(each.last),
            str(each.submissions),
            str(each.late or ""),
            str(each.hidden or ""),
        )
        for each in found
    ]
    headers = ("student", "account", board.score, "best", "last", "submissions", "late", "hidden")
    numbers = frozenset({board.score, "best", "last", "submissions", "late", "hidden"})
    blocks: list[Block] = [Table(headers, rows, numbers=numbers)]
    shared = [each for each in found if each.shared_with]
    blocks += [
        Line(
            f"{each.name or each.account} submitted the same images as {', '.join(each.shared_with)}.",
            "warning",
        )
        for each in shared
    ]
    return blocks


@click.command()
@click.argument("submission", metavar="SUBMISSION")
@click.option("--reason", help="Why; the board's page and the contestant's `cldc status` show it.")
@click.option("--undo", is_flag=True, help="Take a rejection back.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@command(ServerApp)
def reject(app: ServerApp, *, submission: str, reason: str | None, undo: bool, yes: bool) -> None:
    """Keep a submission off the board, with a reason.

    SUBMISSION is its name, ACCOUNT/NAME or its uuid. Nothing is removed from the server, and `--undo` brings it back.

    \b
    Examples:
      cldc organise reject ann/first --reason "not your own images" --competition class.toml
      cldc organise reject ann/first --undo --competition class.toml
    """
    if not undo and not (reason and reason.strip()):
        raise UsageError("A rejection needs a reason.", action='Add --reason "...".')
    where = organiser_target(app, sign_in=False)
    row = find_row(read_board(app, where), submission)
    if not undo:
        app.confirm(
            f"Keep {row.name} of {row.account} off the board?",
            yes=yes,
            stake=f"keep {row.name} of {row.account} off the board",
        )
    record_rejection(where.folder, row.submission, None if undo else (reason or "").strip())
    read_board(app, where)
    done = "is on the board again" if undo else "is kept off the board"
    app.output.show(
        Document(
            {"submission": row.submission, "name": row.name, "account": row.account, "rejected": not undo},
            [
                Line(f"{row.name} of {row.account} {done}.", "good"),
                Line("If the board is published: cldc organise publish DIR"),
            ],
        )
    )


def find_row(board: Leaderboard, wanted: str) -> Row:
    """The row of a submission.

    Raises:
        UsageError: None has that name, or several have.
    """
    account, _, name = wanted.rpartition("/")
    found = [
        row
        for row in board.rows
        if row.submission == wanted or (row.name == name and account in ("", row.account))
    ]
    if len(found) == 1:
        return found[0]
    several = ", ".join(f"{row.account}/{row.name} ({row.submission[:_SHORT]}...)" for row in found)
    raise UsageError(
        f"{len(found)} submissions are called {wanted!r}: {several}."
        if found
        else f"The board has no submission {wanted!r}.",
        action="Give its uuid, or ACCOUNT/NAME." if found else "`cldc organise score` shows the board.",
    )
