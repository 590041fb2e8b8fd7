"""`cldc organise accounts`, `grades` and `reject`: the class that takes part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import click

from cldc import sandbox
from cldc.bundles.submitted_runs import read_submitted
from cldc.cli.options import EXISTING_FILE, YES, command
from cldc.cli.organise_shared import organiser_target
from cldc.cli.server_app import ServerApp
from cldc.codalab import Rest
from cldc.errors import UsageError
from cldc.leaderboard import Leaderboard
from cldc.organise.grades import BoardGrade, grade
from cldc.organise.model import ROSTER, OrganiserTarget
from cldc.organise.roster import keep_roster, read_roster
from cldc.organise.rulings import find_row
from cldc.organise.rulings import reject as record_rejection
from cldc.organise.scoring import read_board, write_board
from cldc.preflight.result_store import all_records
from cldc.render.document import Block, Document, Line, Rows, Table, cell
from cldc.render.formats import to_data
from cldc.trainings.time_estimates import estimate_scoring


@command(ServerApp)
@click.argument("roster", type=EXISTING_FILE, required=False)
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
    students = keep_roster(where.folder, roster)
    names = [student.account for student in students]
    if where.sandbox:
        for name in names:
            sandbox.add_account(app.home, name)
        joined = set(names)
    else:
        with Rest(where.address, where.credentials, observer=app.observer) as rest:
            joined = {name for name in names if rest.has_account(name)}
    cost = estimate_scoring(app.competition, all_records(app.home), students=len(students))
    rows = [
        (student.name, student.account, student.group, "yes" if student.account in joined else "no")
        for student in students
    ]
    blocks: list[Block] = [
        Table(("student", "account", "group", "joined"), rows),
        Line(f"{len(joined)} of {len(students)} have an account.", "good"),
        Line(cost),
    ]
    if missing := [student for student in students if student.account not in joined]:
        page = f"{where.address}/account/signup"
        blocks.append(Line("Send each of the others this:"))
        blocks += [
            Line(f"  {student.name}: sign up at {page} with the user name {student.account}")
            for student in missing
        ]
    data = [{**to_data(student), "joined": student.account in joined} for student in students]
    app.show({"students": data}, *blocks)


@command(ServerApp, formats=("csv",))
def grades(app: ServerApp) -> None:
    """Show each student's score, submissions and shared content.

    Counts each account's best or last submission, as `organiser.grade` in the profile says, on the board that this machine
    scored last. Late and rejected submissions do not count; one that was made private or removed after it was scored does.

    \b
    Examples:
      cldc organise grades --competition class.toml
      cldc organise grades --competition class.toml --format csv
    """
    where = organiser_target(app)
    board = read_board(app.competition, where.folder).leaderboard
    app.output.show(grades_of(app, where, board))


def grades_of(app: ServerApp, where: OrganiserTarget, board: Leaderboard) -> Document:
    """Compute the grades of a board's students, with the accuracies and dataset hashes of their submissions on the server."""
    kept, rule = where.folder / ROSTER, app.competition.require_organiser().grade
    with Rest(where.address, where.credentials, observer=app.observer) as rest:
        uuids = [row.submission for row in board.rows]
        runs = read_submitted(rest, uuids, app.observer)
    students = read_roster(kept) if kept.is_file() else ()
    found = grade(board.rows, students, rule, runs)
    rows = [
        (
            each.name or each.account,
            each.account,
            cell(each.score, ".4f"),
            cell(each.best, ".4f"),
            cell(each.last, ".4f"),
            str(each.submissions),
            str(each.late or ""),
            str(each.hidden or ""),
        )
        for each in found
    ]
    headers = ("student", "account", board.score, "best", "last", "submissions", "late", "hidden")
    blocks: list[Block] = [Table(headers, rows, numbers=headers[2:])]
    blocks += [Line(remark, "warning") for remark in _grade_remarks(board, found)]
    data = {"as_of": board.updated, "rule": rule, "grades": found}
    return Document(data, blocks, rows=Rows([field.name for field in fields(BoardGrade)], found))


def _grade_remarks(board: Leaderboard, grades: Sequence[BoardGrade]) -> Iterator[str]:
    """List what a teacher should look at: shared content, and submissions hidden or removed after scoring."""
    for each in grades:
        who = each.name or each.account
        if each.shared_with:
            yield f"{who} submitted the same images as {', '.join(each.shared_with)}."
        for name in each.not_public:
            yield f"{who} made {name} private or removed it after it was scored; its score counts."
    for row in board.rows:
        if not row.account:
            yield f"{row.evaluation} was made private or removed; its owner is unknown here."


@command(ServerApp)
@click.argument("submission", metavar="SUBMISSION")
@click.option("--reason", help="Why; the board's page and the contestant's `cldc status` show it.")
@click.option("--undo", is_flag=True, help="Take a rejection back.")
@YES
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
    row = find_row(read_board(app.competition, where.folder).leaderboard, submission)
    if not undo:
        app.confirm(f"keep {row.name} of {row.account} off the board", yes=yes)
    record_rejection(where.folder, row.submission, None if undo else (reason or "").strip())
    write_board(app.competition, where.folder)
    done = "is on the board again" if undo else "is kept off the board"
    app.show(
        {"submission": row.submission, "name": row.name, "account": row.account, "rejected": not undo},
        Line(f"{row.name} of {row.account} {done}.", "good"),
        Line("If the board is published: cldc organise publish DIR"),
    )
