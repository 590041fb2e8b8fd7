"""A graded class: a table for the teacher, a board for everyone, a page for each student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cldc.grading.model import Grade, Grading, SharedContent
from cldc.leaderboard import Leaderboard, Row
from cldc.render.document import Block, Document, Line, Page, Rows, Table, cell
from cldc.text import plural

_MOST_PATHS = 20
_COLUMNS = (
    "student", "rank", "score", "validation_accuracy", "images", "warnings", "handed_in", "modified", "problem",
)  # fmt: skip


def grades_document(grading: Grading, files: Sequence[str]) -> Document:
    """Build the teacher's result; ``files`` are the written files."""
    data = {
        "competition": grading.competition,
        "score": grading.score,
        "tensorflow": grading.tensorflow,
        "test_images": grading.test_images,
        "graded": grading.graded,
        "grades": [
            {**{name: getattr(grade, name) for name in _COLUMNS}, "preflight": grade.preflight}
            for grade in grading.grades
        ],
        "shared": grading.shared,
        "files": list(files),
    }
    return Document(
        data,
        [*_blocks(grading), *(Line(f"Written: {name}", "good") for name in files)],
        rows=Rows(_COLUMNS, grading.grades),
    )


def _blocks(grading: Grading) -> Iterator[Block]:
    scored = [grade for grade in grading.grades if grade.score is not None]
    count, of = plural(len(grading.grades), "student"), plural(grading.test_images, "hidden image")
    yield Line(f"{grading.competition}: {count}, scored on {of}", "title")
    if scored:
        headers = ("rank", "student", grading.score, "validation", "images", "warnings")
        rows = [
            (
                str(grade.rank),
                grade.student,
                f"{grade.score:.4f}",
                cell(grade.validation_accuracy, ".2%"),
                f"{grade.images:,}",
                f"{grade.warnings:,}" if grade.warnings else "",
            )
            for grade in scored
        ]
        yield Table(headers, rows, numbers=[header for header in headers if header != "student"])
    for grade in grading.grades:
        if grade.score is None:
            yield Line(f"{grade.student} has no score: {grade.problem}", "bad")
    for group in grading.shared:
        yield Line(_shared(group), "warning")


def _shared(group: SharedContent) -> str:
    who = " and ".join(group.students)
    if group.whole:
        return f"{who} handed in the same {plural(group.images, 'image')}."
    have = plural(group.images, "image")
    return f"{who} have {have} in common that most others don't, up to {group.share:.0%} of a dataset."


def board_of(grading: Grading) -> Leaderboard:
    """Select the board: students with a score."""
    rows = tuple(
        Row(
            rank=grade.rank,
            name=grade.student,
            institution="",
            link="",
            account=grade.student,
            score=grade.score,
            state="ready",
            submission=grade.student,
            created=grade.modified,
            mine=False,
        )
        for grade in grading.grades
        if grade.score is not None
    )
    return Leaderboard(grading.competition, grading.score, grading.graded, rows)


def student_page(grade: Grade, grading: Grading) -> Page:
    """Build one student's page, with nothing of the hidden test set but the score."""
    return Page("grade.html", lambda: _values(grade, grading))


def _values(grade: Grade, grading: Grading) -> dict[str, Any]:
    facts = [("handed in", f"{grade.handed_in}, {grade.modified:%Y-%m-%d %H:%M} UTC")]
    if grade.images is not None:
        facts.append(("images", f"{grade.images:,}"))
    if grade.validation_accuracy is not None:
        facts.append(("accuracy on your validation split", f"{grade.validation_accuracy:.2%}"))
    if grade.score is not None:
        facts.append((f"{grading.score} on {grading.test_images:,} hidden images", f"{grade.score:.4f}"))
    if grading.tensorflow:
        facts.append(("trained with", f"TensorFlow {grading.tensorflow}"))
    return {
        "title": grading.competition,
        "score": grading.score,
        "grade": grade,
        "ranked": sum(other.score is not None for other in grading.grades),
        "facts": facts,
        "findings": grade.report.findings if grade.report else (),
        "most_paths": _MOST_PATHS,
    }
