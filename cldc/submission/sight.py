"""What one look at server and ledger shows of an account, before anything is decided from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cldc.ledger import TAG, WITHDRAW, Ledger
from cldc.submission.entries import Entries, free_name
from cldc.submission.model import Intent, Replaced
from cldc.submission.places import lost_tag, standing, tagged
from cldc.submission.recovery import learn
from cldc.submission.withdrawal import count_again, record_withdrawal

if TYPE_CHECKING:
    from cldc.codalab import Rest, User
    from cldc.competition import Competition
    from cldc.leaderboard import Leaderboard
    from cldc.quota import Quota


@dataclass(frozen=True, slots=True)
class Sight:
    """Where an account stands with a submission.

    Attributes:
        id: See `submission_id`.
        name: The submission's name: the one that was chosen, or the first free one.
        user: The account, with what is left of its disk.
        now: When it was looked, by the server's clock.
        done: Names of the steps that are done.
        quota: Where the account stands.
        spent: Whether this very submission has its place already.
        replaced: Entries that it would take the place of.
        rivals: Other tagged bundles of which, as of this one, only the newest counts: uuid to score, None without one.
    """

    id: str
    name: str
    user: User
    now: datetime
    done: frozenset[str]
    quota: Quota
    spent: bool
    replaced: tuple[Replaced, ...]
    rivals: Mapping[str, float | None]


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
    carrying = tagged(competition, rest, user.name)
    learn(ledger, competition, rest, user.name, carrying)
    if board is not None:
        count_again(ledger, competition, rest.server, user.name, board=board, now=now)
    seen = {result.bundle: result for result in ledger.board_results(competition.name)}
    entries = Entries(competition, user.name, rest, ledger, carrying, board, seen)
    dataset_hash = intent.report.dataset.hash
    name = intent.name if intent.named else free_name(intent.name, dataset_hash, entries)
    identity = entries.identity(name, dataset_hash)
    done = _done(identity, competition, rest, ledger, board=board, now=now)
    own = entries.own(name, identity)
    # Killed between the tag and its record, or tagged from another machine, it has its place and replaces nobody.
    spent = TAG in done or any(bundle.uuid in own for bundle in carrying)
    return Sight(
        id=identity,
        name=name,
        user=user,
        now=now,
        done=frozenset(done),
        quota=standing(competition, rest, ledger, user.name, now=now, carrying=carrying),
        spent=spent,
        replaced=() if spent else entries.replaced(name, own),
        rivals={bundle.uuid: entries.standing(bundle.uuid)[0] for bundle in entries.rivals(name, own)},
    )


def _done(
    identity: str,
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    *,
    board: Leaderboard | None,
    now: datetime,
) -> set[str]:
    """Steps that are done and hold, which a tag that was taken off elsewhere, or what was made private, does not."""
    steps = ledger.steps(identity)
    done = {step for step, record in steps.items() if record.finished}
    if TAG in done and WITHDRAW not in done:
        uuid = steps[TAG].result["uuid"]
        bundle, record = rest.found(uuid), ledger.find(identity)
        if record is not None and lost_tag(bundle, competition.submission.tag):
            record_withdrawal(ledger, record, rest=rest, board=board, now=now)
            done.add(WITHDRAW)
        elif bundle is not None and not bundle.public_permission:
            done -= {"publish", "describe", "prove"}
    if WITHDRAW in done:
        done -= {TAG, WITHDRAW}
    return done
