"""The organiser's results: a competition that is set up, its board, its class and their grades."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, fields
from typing import TYPE_CHECKING

from cldc.organise.grades import Grade
from cldc.render.blocks import Block, Line, Table, cell
from cldc.render.board import board_blocks, left_out_blocks
from cldc.render.document import Document
from cldc.render.formats.json import to_data

if TYPE_CHECKING:
    from cldc.leaderboard import Leaderboard
    from cldc.organise import Board, OrganiserTarget, Rescored
    from cldc.organise.model import NotRepeated
    from cldc.organise.roster import Student
    from cldc.organise.setting_up import SetUp


def setup_document(done: SetUp, cost: str) -> Document:
    """A competition that is set up; ``cost`` says how long each student's submissions take to score at most."""
    return Document({**to_data(done), "cost": cost}, _setup_blocks(done, cost))


def _setup_blocks(done: SetUp, cost: str) -> Iterator[Block]:
    yield Line(f"{done.title} is set up.", "good")
    rows = [
        ("server", f"{done.server} as {done.account}"),
        ("tag", done.tag),
        ("worksheet", done.worksheet),
        ("label book", f"{done.label_book_images:,} images, readable by everyone"),
        ("hidden test set", f"{done.test_set_images:,} images, readable by {done.account} only"),
        ("image", done.image + (f", TensorFlow {done.tensorflow}" if done.tensorflow else "")),
        ("new on the server", ", ".join(done.created) or "nothing"),
        ("profile", f"{done.profile} ({'written' if done.written else 'unchanged'})"),
    ]
    yield Table(("", ""), rows)
    if done.rehearsed is not None:
        told = f"A rehearsal was trained, scored ({done.rehearsed:.4g}), shown on a board and removed."
        yield Line(told, "good")
    if done.both:
        told = f"{done.both:,} images of the hidden test set are also in the label book, which everyone may read."
        yield Line(told, "warning")
    yield from (Line(remark, "warning") for remark in done.remarks)
    where = f"--competition {shlex.quote(str(done.profile))}{' --server sandbox' if done.sandbox else ''}"
    yield Line(cost)
    yield Line(f"Contestants: cldc submit DIR {where}")
    yield Line(f"You: cldc organise score --watch --publish board {where}")


def organisers_board(board: Board) -> Document:
    """The board with what its page hides, and where it was published if it was."""
    return Document(board, _board_blocks(board))


def _board_blocks(board: Board) -> Iterator[Block]:
    yield from board_blocks(board.leaderboard)
    yield from left_out_blocks(board.leaderboard, board.left_out)
    if board.page is not None:
        yield Line(f"Published: {board.page}", "good")
        yield Line(f"Published: {board.data}", "good")


def rescored_document(
    repeated: Sequence[Rescored], not_repeated: Sequence[NotRepeated], board: Board
) -> Document:
    """Scores before and now, and the board."""
    blocks: list[Block] = []
    if repeated or not_repeated:
        rows = [
            (f"{each.account}/{each.name}", cell(each.before, ".4f"), cell(each.score, ".4f"))
            for each in repeated
        ]
        headers = ("submission", "before", "now")
        blocks.append(Table(headers, rows, numbers=frozenset({"before", "now"})))
    else:
        told = "Everything is scored with the present hidden test set and evaluation script."
        blocks.append(Line(told, "good"))
    blocks += [Line(f"{each.name} keeps its score: {each.reason}.", "warning") for each in not_repeated]
    data = {"rescored": repeated, "not_repeated": not_repeated, "board": board}
    return Document(data, [*blocks, *_board_blocks(board)])


def roster_document(
    where: OrganiserTarget, students: Sequence[Student], joined: set[str], cost: str
) -> Document:
    """A class and who has an account; ``cost`` says how long scoring the class takes at most."""
    data = [{**asdict(student), "joined": student.account in joined} for student in students]
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
        blocks.append(Line("Tell each of the others:"))
        blocks += [
            Line(f"  {student.name}: sign up at {page} with the user name {student.account}")
            for student in missing
        ]
    return Document({"students": data}, blocks)


def grades_document(board: Leaderboard, rule: str, grades: Sequence[Grade]) -> Document:
    """The grades of a board's students; ``rule`` says which submission counts."""
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
        for each in grades
    ]
    headers = ("student", "account", board.score, "best", "last", "submissions", "late", "hidden")
    blocks: list[Block] = [Table(headers, rows, numbers=frozenset(headers[2:]))]
    blocks += [Line(remark, "warning") for remark in _grade_remarks(board, grades)]
    data = {"as_of": board.updated, "rule": rule, "grades": grades}
    return Document(data, blocks, rows=lambda: _grade_rows(grades))


def _grade_remarks(board: Leaderboard, grades: Sequence[Grade]) -> Iterator[str]:
    """What a teacher should look at: shared content, and what was taken back after it was scored."""
    for each in grades:
        who = each.name or each.account
        if each.shared_with:
            yield f"{who} submitted the same images as {', '.join(each.shared_with)}."
        for name in each.not_public:
            yield f"{who} made {name} private or removed it after it was scored; its score counts."
    for row in board.rows:
        if not row.account:
            yield f"{row.evaluation} was made private or removed, and this machine does not know whose it is."


def _grade_rows(grades: Sequence[Grade]) -> Iterator[Sequence[object]]:
    yield [field.name for field in fields(Grade)]
    for each in grades:
        values = ("" if value is None else value for value in astuple(each))
        yield [" ".join(value) if isinstance(value, tuple) else value for value in values]
