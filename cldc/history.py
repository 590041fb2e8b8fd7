"""List every preflight and submission, instead of a spreadsheet kept by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cldc.competition import Competition
from cldc.leaderboard import Leaderboard, Row
from cldc.ledger import TAG, BoardResult, KnownSubmission, Ledger
from cldc.preflight.model import PreflightResult
from cldc.submission.status import replaced_by, successors


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A preflight or a submission.

    Attributes:
        kind: A preflight that was stopped after its first epoch is ``quick``, and a training for `cldc organise grade` is a
            ``grading``.
        when: When it was started, or tagged; for an untagged submission, when it was first requested.
        id: Id of the preflight or submission.
        name: The dataset's name, or the submission's.
        competition: The profile's name.
        dataset: The dataset's identity.
        images: Number of images in all splits; None if unknown.
        validation: Accuracy on the validation split, from 0 to 1; for a submission, that of its preflight.
        label_book: The same on the label book.
        score: The organisers' score, for a grading the accuracy on the hidden test set; None until it is known.
        detail: More information, in a few words.
    """

    kind: Literal["preflight", "quick", "grading", "submission"]
    when: datetime
    id: str
    name: str
    competition: str
    dataset: str
    images: int | None
    validation: float | None
    label_book: float | None
    score: float | None
    detail: str


def history(
    results: Iterable[PreflightResult],
    ledger: Ledger,
    board: Leaderboard | None,
    *,
    competition: Competition,
    everything: bool = False,
    test_sets: Set[str] = frozenset(),
) -> tuple[HistoryEntry, ...]:
    """List all preflights and submissions, oldest first.

    Args:
        results: The preflights.
        ledger: The ledger of submissions.
        board: The competition's current board; without it, stored board results are used.
        competition: The competition to list.
        everything: Whether to list other competitions, too.
        test_sets: Hashes of the label books that were hidden test sets.
    """
    preflights = {result.id: result for result in results}
    entries = [_training(result, test_sets) for result in preflights.values()]
    entries += _submissions(ledger, preflights, board, competition)
    wanted = (entry for entry in entries if everything or entry.competition == competition.name)
    return tuple(sorted(wanted, key=lambda entry: (entry.when, entry.id)))


def _training(result: PreflightResult, test_sets: Set[str]) -> HistoryEntry:
    fingerprint, printed = result.fingerprint, result.label_book.accuracy if result.label_book else None
    graded = fingerprint.label_book in test_sets
    origin = "" if result.origin == "competition" else f"{result.origin} script, "
    return HistoryEntry(
        kind="grading" if graded else "quick" if result.quick else "preflight",
        when=datetime.fromisoformat(result.started),
        id=result.id,
        name=result.dataset_name,
        competition=fingerprint.competition,
        dataset=fingerprint.dataset,
        images=result.total,
        validation=result.validation.accuracy,
        label_book=None if graded else printed,
        score=printed if graded else None,
        detail=f"{origin}{_where(result)}"
        + ("" if fingerprint.seed is None else f", seed {fingerprint.seed}")
        + (f", also called {', '.join(result.other_names)}" if result.other_names else ""),
    )


def _where(result: PreflightResult) -> str:
    fingerprint = result.fingerprint
    if fingerprint.server:
        return f"on {fingerprint.server}, image {fingerprint.environment}"
    return f"TensorFlow {fingerprint.tensorflow}, {fingerprint.threads} threads"


def _submissions(
    ledger: Ledger,
    preflights: Mapping[str, PreflightResult],
    board: Leaderboard | None,
    competition: Competition,
) -> list[HistoryEntry]:
    """List the submissions in the ledger; without a board their scores are the last stored ones."""
    rows = {row.submission: row for row in board.rows} if board else {}
    stored = {result.bundle: result for result in ledger.board_results(competition.name)}
    submissions, entries = ledger.submissions(), []
    newer = successors([s for s in submissions if s.record.competition == competition.name], competition)
    for submission in submissions:
        record, bundle = submission.record, submission.uuid(TAG)
        preflight = preflights.get(record.preflight or "")
        row, last = rows.get(bundle), stored.get(bundle)
        replaced = replaced_by(newer.get(record.id), rows)
        scored = row or last
        entries.append(
            HistoryEntry(
                kind="submission",
                when=submission.tagged or record.created,
                id=record.id,
                name=record.name,
                competition=record.competition,
                dataset=record.dataset_hash,
                images=preflight.total if preflight else None,
                validation=preflight.validation.accuracy if preflight else None,
                label_book=preflight.label_book.accuracy if preflight and preflight.label_book else None,
                score=scored.score if scored else None,
                detail=_state(submission, row, replaced, None if board else last),
            )
        )
    return entries


def _state(submission: KnownSubmission, row: Row | None, replaced: str, last: BoardResult | None) -> str:
    """Describe a submission's state by its row on the board, else by what replaced it or the board result stored last."""
    if submission.tagged is None:
        return "not tagged"
    if not submission.carries_tag:
        return "withdrawn"
    if row is None and replaced:
        return replaced
    shown = row or last
    if shown is not None and shown.score is not None:
        return f"rank {shown.rank}" if shown.rank else "not shown on the board"
    return "no score yet"
