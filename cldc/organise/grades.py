"""Grades: each student's score, by the profile's rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cldc.leaderboard import NOT_PUBLIC, Row
from cldc.organise.roster import Student
from cldc.organise.rulings import LATE

GradeRule = Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class SubmittedRun:
    """The run behind a submission; None where something is unknown.

    Attributes:
        validation: The validation accuracy that it printed, from 0 to 1.
        label_book: The label-book accuracy that it printed.
        dataset: The hash of the dataset that it trained on.
    """

    validation: float | None = None
    label_book: float | None = None
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class BoardGrade:
    """One student's grade.

    Attributes:
        name: The student; empty for an account that is not on the roster.
        account: The account.
        group: The student's group.
        score: The score that counts by the rule; None without one that counts.
        best: The best score of those that count.
        last: The score of the newest submission that counts.
        submission: Name of the submission whose score counts.
        submitted: When that was created, by the server's clock.
        submissions: Number of evaluated submissions, late and rejected ones included.
        late: Number of late ones.
        hidden: Number of those that do not count for another reason.
        validation: Validation accuracy that the counting submission's run printed.
        label_book: Label-book accuracy that it printed.
        shared_with: Accounts outside the student's group that submitted the same images.
        not_public: Submissions that count although they were made private or removed after they were scored.
    """

    name: str
    account: str
    group: str
    score: float | None
    best: float | None
    last: float | None
    submission: str
    submitted: datetime | None
    submissions: int
    late: int
    hidden: int
    validation: float | None
    label_book: float | None
    shared_with: tuple[str, ...]
    not_public: tuple[str, ...]


def grade(
    rows: Iterable[Row],
    students: Sequence[Student],
    rule: GradeRule,
    runs: Mapping[str, SubmittedRun],
) -> tuple[BoardGrade, ...]:
    """Grade the accounts in the roster's order, then accounts that are on no roster.

    Args:
        rows: The organiser's board, hidden entries included.
        runs: The runs of submissions, by the submission's uuid.
    """
    by_account: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_account[row.account].append(row)
    groups = {student.account: student.group for student in students}
    others = [Student("", account) for account in sorted(by_account.keys() - groups.keys()) if account]
    shared = _shared(by_account, groups, runs)
    return tuple(
        _grade(student, by_account[student.account], rule, runs, shared.get(student.account, ()))
        for student in (*students, *others)
    )


def _grade(
    student: Student,
    rows: Sequence[Row],
    rule: GradeRule,
    runs: Mapping[str, SubmittedRun],
    shared: tuple[str, ...],
) -> BoardGrade:
    not_public = [row for row in rows if row.hidden == NOT_PUBLIC and row.score is not None]
    counting = [row for row in rows if row.shown] + not_public
    best = max(counting, key=lambda row: row.score or 0.0, default=None)
    last = max(counting, key=lambda row: row.created, default=None)
    chosen = best if rule == "best" else last
    run = runs.get(chosen.submission if chosen else "", SubmittedRun())
    late = sum(row.hidden == LATE for row in rows)
    return BoardGrade(
        name=student.name,
        account=student.account,
        group=student.group,
        score=chosen.score if chosen else None,
        best=best.score if best else None,
        last=last.score if last else None,
        submission=chosen.name if chosen else "",
        submitted=chosen.created if chosen else None,
        submissions=len(rows),
        late=late,
        hidden=len(rows) - len(counting) - late,
        validation=run.validation,
        label_book=run.label_book,
        shared_with=shared,
        not_public=tuple(row.name or row.evaluation for row in not_public),
    )


def _shared(
    by_account: Mapping[str, Sequence[Row]], groups: Mapping[str, str], runs: Mapping[str, SubmittedRun]
) -> dict[str, tuple[str, ...]]:
    """List, for each account, the accounts outside its group that submitted the same images."""
    owners: dict[str, set[str]] = defaultdict(set)
    for account, rows in by_account.items():
        for row in rows:
            if (run := runs.get(row.submission)) is not None and run.dataset is not None:
                owners[run.dataset].add(account)
    shared: dict[str, set[str]] = defaultdict(set)
    for accounts in owners.values():
        for account in accounts:
            group = groups.get(account, "")
            strangers = {other for other in accounts if not (group and groups.get(other) == group)}
            shared[account] |= strangers - {account}
    return {account: tuple(sorted(others)) for account, others in shared.items() if others}
