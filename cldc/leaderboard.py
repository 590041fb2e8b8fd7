"""Read the leaderboard that the organisers' daemon writes, in the same way as its web page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cldc import description, ledger
from cldc.competition import Competition
from cldc.errors import CodaLabError

_MALFORMED = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, OSError, RecursionError,
)  # fmt: skip
# Why the board does not show an entry that its owner has taken back since.
NOT_PUBLIC = "its bundle was made private or removed after the evaluation"
# The part of a row that the ledger stores, for callers that don't use the ledger.
BoardResult = ledger.BoardResult


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of the board.

    Attributes:
        rank: From 1, dense: entries with the same score share it, and the next score has the next rank. None if
            the board does not show the entry.
        name: The submission's name, as the page reads the description; ``institution`` and ``link`` too.
        account: The submitting account; empty if the bundle is gone.
        score: Its score; None until it is evaluated, or if that failed.
        state: State of the evaluation bundle.
        submission: Uuid of the tagged bundle; empty if the daemon lost it.
        created: When the tagged bundle was created.
        mine: Whether it belongs to the reading account.
        hidden: Why the board does not show it, as words after "because"; empty if it does.
        evaluation: Name of the evaluation's bundle, which names the account even if nothing else does.
    """

    rank: int | None
    name: str
    institution: str
    link: str
    account: str
    score: float | None
    state: str
    submission: str
    created: datetime
    mine: bool
    hidden: str = ""
    evaluation: str = ""

    @property
    def shown(self) -> bool:
        """Whether the page shows it: it has a name and a score."""
        return self.rank is not None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The whole board, best first, with hidden entries at the end.

    Attributes:
        malformed: Number of entries that were left out as malformed.
    """

    competition: str
    score: str
    updated: datetime
    rows: tuple[Row, ...]
    malformed: int = 0


def parse(text: str, competition: Competition, *, account: str | None = None) -> Leaderboard:
    """Parse the daemon's JSON, marking the rows of ``account``.

    Raises:
        CodaLabError: It does not have the daemon's format.
    """
    try:
        data = json.loads(text)
        config = data["config"]["score_specs"][0]["name"]
        read = [_row_if_whole(entry, config, account) for entry in data["leaderboard"]]
        updated = datetime.fromtimestamp(data["updated"], UTC)
    except _MALFORMED as error:
        raise CodaLabError(
            f"The leaderboard of {competition.name} is not what the scoring daemon writes ({type(error).__name__}).",
            action="Check the address `leaderboard` in the competition's profile, or try again later.",
        ) from error
    rows = [row for row in read if row is not None]
    return Leaderboard(competition.name, str(config), updated, _ranked(rows), malformed=len(read) - len(rows))


def _row_if_whole(entry: Mapping[str, Any], score: str, account: str | None) -> Row | None:
    """Parse one entry; None if it is malformed, which does not affect the others."""
    try:
        return _row(entry, score, account)
    except _MALFORMED:
        return None


def _row(entry: Mapping[str, Any], score: str, account: str | None) -> Row:
    submission, evaluation = entry["submission"], entry["bundle"]
    reading = description.read(submission["description"] or "")
    value = entry["scores"][score]
    owner = submission["user_name"] or ""
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if number is not None and not math.isfinite(number):
        number = None
    return Row(
        rank=None,
        name=_whole(reading.name),
        institution=_whole(reading.institution),
        link=_whole(reading.link),
        account=owner,
        score=number,
        state=str(evaluation["state"]),
        submission=evaluated_submission(evaluation["metadata"]["description"]),
        created=datetime.fromtimestamp(submission["created"], UTC),
        mine=account is not None and owner == account,
        hidden=_why_hidden(entry, reading.name, number),
        evaluation=str(evaluation["metadata"].get("name") or ""),
    )


def _whole(text: str) -> str:
    """Replace lone surrogates, which JSON may contain but files and terminals can't encode."""
    return text.encode("utf-8", "replace").decode()


def _why_hidden(entry: Mapping[str, Any], name: str, score: float | None) -> str:
    if entry.get("hidden"):  # by the organisers' ruling
        return _whole(str(entry["hidden"]))
    # The daemon has no data on a submission that it can no longer read, not even whether it is public.
    if entry["submission"].get("public", True) is None:
        return NOT_PUBLIC
    if score is None:
        state = str(entry["bundle"]["state"])
        return "its evaluation left no score" if state == "ready" else f"evaluation {state}"
    if not name:
        return "its description gives the board no name"
    return ""


def evaluated_submission(note: str) -> str:
    """Return the evaluated bundle's uuid, from the daemon's JSON in an evaluation's description; empty if it has none."""
    try:
        return str(json.loads(note)["submit_id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _ranked(rows: list[Row]) -> tuple[Row, ...]:
    shown = sorted((r for r in rows if not r.hidden), key=lambda r: (-(r.score or 0), r.created))
    hidden = sorted((r for r in rows if r.hidden), key=lambda r: r.created)
    # Dense, as on the page: the rank after a shared one follows directly.
    ranks = {score: rank for rank, score in enumerate(dict.fromkeys(r.score for r in shown), 1)}
    return tuple(replace(r, rank=ranks[r.score]) for r in shown) + tuple(hidden)
