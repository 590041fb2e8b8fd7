"""Every preflight and every submission in one list: what a spreadsheet would be kept for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from cldc.ledger import TAG

if TYPE_CHECKING:
    from cldc.leaderboard import Leaderboard
    from cldc.ledger import Ledger
    from cldc.preflight.model import PreflightResult


@dataclass(frozen=True, slots=True)
class Entry:
    """A preflight or a submission.

    Attributes:
        kind: Which of the two; a preflight that was stopped after its first epoch is ``quick``.
        when: When it was started, or tagged; of a submission that is not tagged yet, when it was first asked for.
        id: The preflight's or the submission's.
        name: The dataset's name, or the submission's.
        competition: The profile's name.
        dataset: The dataset's identity.
        images: Images of all splits together; None where it is not known.
        validation: Accuracy on the validation split, from 0 to 1; of a submission, its preflight's.
        label_book: The same on the label book.
        score: The organisers' score; None until it is known.
        detail: What is worth knowing besides, in a few words.
    """

    kind: Literal["preflight", "quick", "submission"]
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
    competition: str | None = None,
) -> tuple[Entry, ...]:
    """Everything that was preflighted and submitted, the oldest first; of one competition where one is named."""
    known = {result.id: result for result in results}
    entries = [_preflight(result) for result in known.values()] + _submissions(ledger, known, board)
    wanted = (entry for entry in entries if competition in (None, entry.competition))
    return tuple(sorted(wanted, key=lambda entry: (entry.when, entry.id)))


def _preflight(result: PreflightResult) -> Entry:
    mark = result.fingerprint
    origin = "" if result.origin == "competition" else f"{result.origin} script, "
    return Entry(
        kind="quick" if result.quick else "preflight",
        when=datetime.fromisoformat(result.started),
        id=result.id,
        name=result.dataset_name,
        competition=mark.competition,
        dataset=mark.dataset,
        images=_count(result),
        validation=result.validation.accuracy,
        label_book=result.label_book.accuracy if result.label_book else None,
        score=None,
        detail=f"{origin}{_where(result)}"
        + ("" if mark.seed is None else f", seed {mark.seed}")
        + (f", also called {', '.join(result.other_names)}" if result.other_names else ""),
    )


def _where(result: PreflightResult) -> str:
    mark = result.fingerprint
    if mark.server:
        return f"on {mark.server}, image {mark.environment}"
    return f"TensorFlow {mark.tensorflow}, {mark.threads} threads"


def _count(result: PreflightResult) -> int:
    *splits, _ = result.images.values()  # the label book comes last
    return sum(splits)


def _submissions(
    ledger: Ledger, known: Mapping[str, PreflightResult], board: Leaderboard | None
) -> list[Entry]:
    scores = {row.submission: row for row in board.rows} if board else {}
    entries = []
    for submission in ledger.submissions():
        record, tagged = submission.record, submission.tagged
        row = scores.get(submission.uuid(TAG)) if tagged else None
        result = known.get(record.preflight or "")
        if row is not None and row.score is not None:
            detail = f"place {row.rank}" if row.rank else "not shown on the board"
        else:
            detail = "no score yet" if tagged else "not tagged"
        entries.append(
            Entry(
                kind="submission",
                when=tagged or record.created,
                id=record.id,
                name=record.name,
                competition=record.competition,
                dataset=record.dataset_hash,
                images=_count(result) if result else None,
                validation=result.validation.accuracy if result else None,
                label_book=result.label_book.accuracy if result and result.label_book else None,
                score=row.score if row else None,
                detail=detail,
            )
        )
    return entries
