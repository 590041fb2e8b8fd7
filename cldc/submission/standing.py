"""How far each submission is: from the ledger, the server and the board."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cldc.errors import CodaLabError
from cldc.submission.places import TAG
from cldc.submission.steps import STEPS

if TYPE_CHECKING:
    from cldc.codalab import Rest
    from cldc.leaderboard import Leaderboard
    from cldc.ledger import Ledger, Record, StepRecord


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a submission is.

    Attributes:
        stage: The step it is at, ``tagged`` when it waits for the organisers, ``evaluated`` when their daemon has
            taken it and no score is there yet, or ``scored``.
        since: When it came there, as far as known.
        detail: What is known besides: a run's state, a score's place.
        bundle: Uuid of the tagged bundle, or empty before there is one.
        score: The organisers' score.
        dataset_hash: What was submitted.
    """

    id: str
    name: str
    stage: str
    since: datetime
    detail: str
    bundle: str
    score: float | None
    dataset_hash: str


def standings(
    ledger: Ledger, rest: Rest, board: Leaderboard | None, *, competition: str, account: str
) -> tuple[Standing, ...]:
    """Every submission of the account that the ledger knows, oldest first."""
    return tuple(
        _standing(record, ledger.steps(record.id), rest, board)
        for record in ledger.records()
        if (record.competition, record.server, record.account) == (competition, rest.server, account)
    )


def _standing(
    record: Record, steps: dict[str, StepRecord], rest: Rest, board: Leaderboard | None
) -> Standing:
    tag = steps.get(TAG)
    if tag is None or tag.finished is None:
        return _unfinished(record, steps, rest)
    bundle = tag.result["uuid"]
    row = next((r for r in board.rows if r.submission == bundle), None) if board else None
    if row is None:
        stage, detail, score = "tagged", "waits for the organisers' daemon", None
    elif row.score is None:
        stage, detail, score = "evaluated", f"evaluation {row.state}", None
    else:
        stage, detail, score = (
            "scored",
            f"place {row.rank}" if row.rank else "not shown on the board",
            row.score,
        )
    return Standing(record.id, record.name, stage, tag.finished, detail, bundle, score, record.dataset_hash)


def _unfinished(record: Record, steps: dict[str, StepRecord], rest: Rest) -> Standing:
    """The first step that is not done; of a run, what the server says of it."""
    step = next(step for step in STEPS if step.name not in steps or steps[step.name].finished is None)
    begun = steps.get(step.name)
    detail = "run `cldc submit` again to go on"
    if step.name == "train":
        try:
            run = rest.bundle(steps["run"].result["uuid"])
            detail = f"run {run.state}" + (f" ({run.run_status})" if run.run_status and not run.final else "")
        except CodaLabError as error:
            detail = error.message
    since = begun.started if begun else record.created
    return Standing(record.id, record.name, step.name, since, detail, "", None, record.dataset_hash)
