"""What one look at server and ledger shows of an account, before anything is decided from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cldc.ledger import Ledger
from cldc.submission.model import Intent, submission_id, worksheet_name
from cldc.submission.places import TAG, WITHDRAW, lost_tag, record_withdrawal, standing, tagged
from cldc.submission.recovery import learn

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Rest, User
    from cldc.competition import Competition
    from cldc.leaderboard import Leaderboard
    from cldc.quota import Quota


@dataclass(frozen=True, slots=True)
class Sight:
    """Where an account stands with a submission.

    Attributes:
        id: See `submission_id`.
        user: The account, with what is left of its disk.
        now: When it was looked, by the server's clock.
        done: Names of the steps that are done.
        quota: Where the account stands.
        spent: Whether this very submission has its place already.
        waiting: Tagged bundles that it would replace before they are scored.
        scored: Tagged bundles that it would replace and that are scored already.
    """

    id: str
    user: User
    now: datetime
    done: frozenset[str]
    quota: Quota
    spent: bool
    waiting: tuple[Bundle, ...]
    scored: tuple[Bundle, ...]


def look(
    intent: Intent,
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    *,
    board: Leaderboard | None,
    now: datetime,
) -> Sight:
    """Look once at the account's tagged bundles, let the ledger learn from them, and tell where that leaves ``intent``.

    Raises:
        Unreachable, CredentialsError: The server can't be asked.
    """
    user = rest.user()
    identity = submission_id(
        tag=competition.submission.tag,
        server=rest.server,
        account=user.name,
        name=intent.name,
        dataset_hash=intent.report.dataset.hash,
    )
    carrying = tagged(competition, rest, user.name)
    learn(ledger, competition, rest, user.name, carrying)
    steps = ledger.steps(identity)
    done = {step for step, record in steps.items() if record.finished}
    if TAG in done and WITHDRAW not in done:
        uuid = steps[TAG].result["uuid"]
        if lost_tag(rest.found(uuid), competition.submission.tag):
            record_withdrawal(ledger, identity, uuid, board=board, now=now)
            done.add(WITHDRAW)
    if WITHDRAW in done:
        done -= {TAG, WITHDRAW}
    by_account = competition.submission.supersedes == "account"
    replaced = [bundle for bundle in carrying if by_account or bundle.name == intent.name]
    scores = {row.submission for row in board.rows if row.score is not None} if board else set()
    return Sight(
        id=identity,
        user=user,
        now=now,
        done=frozenset(done),
        quota=standing(competition, rest, ledger, user.name, now=now, carrying=carrying),
        # Killed between the tag and its record, or tagged from another machine, it has its place and replaces nobody.
        spent=TAG in done or _carries_tag(carrying, rest, user.name, intent.name, identity),
        waiting=tuple(bundle for bundle in replaced if bundle.uuid not in scores),
        scored=tuple(bundle for bundle in replaced if bundle.uuid in scores),
    )


def _carries_tag(carrying: Sequence[Bundle], rest: Rest, account: str, name: str, identity: str) -> bool:
    """Whether a bundle on this very submission's worksheet carries the tag, whichever machine set it."""
    named = [bundle.uuid for bundle in carrying if bundle.name == name]
    if not named:
        return False
    sheets = {sheet.uuid for sheet in rest.own_worksheets(worksheet_name(account, name, identity))}
    return any(sheets.intersection(rest.bundle(uuid, worksheets=True).worksheets) for uuid in named)
