"""An account's entries in a competition: which ones a submission would replace, and which names are free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cldc.ledger import submission_id
from cldc.submission.model import Replaced, worksheet_name
from cldc.submission.work import age

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Rest
    from cldc.competition import Competition
    from cldc.leaderboard import Leaderboard
    from cldc.ledger import BoardResult, Ledger


@dataclass(frozen=True, slots=True)
class Entries:
    """What an account has in a competition.

    Attributes:
        tagged: The account's bundles with the tag.
        board: The board as it is now; None where it can't be read.
        seen: What the board showed of each bundle when it was last read here, by the bundle's uuid.
    """

    competition: Competition
    account: str
    rest: Rest
    ledger: Ledger
    tagged: tuple[Bundle, ...]
    board: Leaderboard | None
    seen: Mapping[str, BoardResult]

    def identity(self, name: str, dataset_hash: str) -> str:
        """The id of the submission of that dataset under that name."""
        return submission_id(
            tag=self.competition.submission.tag,
            server=self.rest.server,
            account=self.account,
            name=name,
            dataset_hash=dataset_hash,
        )

    def shown(self, name: str) -> frozenset[str]:
        """Uuids of what the board shows a score of under that name; it may have been withdrawn since.

        Source: the daemon calls an evaluation ``ACCOUNT-NAME-results``, and takes older ones of that name off the board.
        """
        evaluation = f"{self.account}-{name}-results"
        rows = self.board.rows if self.board else ()
        return frozenset(
            row.submission
            for row in rows
            if row.shown and row.account == self.account and row.evaluation == evaluation
        )

    def named(self, name: str) -> frozenset[str]:
        """Uuids of every entry of that name, tagged or shown."""
        return self.shown(name) | {bundle.uuid for bundle in self.tagged if bundle.name == name}

    def own(self, name: str, identity: str) -> frozenset[str]:
        """Uuids of the bundles of one submission: those on its worksheet, whichever machine made them, and the ledger's."""
        known = (step.result.get("uuid", "") for step in self.ledger.steps(identity).values())
        if not self.named(name):
            return frozenset(known)
        sheets = self.rest.own_worksheets(worksheet_name(self.account, name, identity))
        there = (b.uuid for sheet in sheets for b in self.rest.worksheet(sheet.uuid, bundles=True).bundles)
        return frozenset((*known, *there))

    def rivals(self, name: str, own: frozenset[str]) -> tuple[Bundle, ...]:
        """Tagged bundles of other submissions; of them and this one the daemon takes only the newest."""
        by_account = self.competition.submission.supersedes == "account"
        return tuple(b for b in self.tagged if (by_account or b.name == name) and b.uuid not in own)

    def replaced(self, name: str, own: frozenset[str]) -> tuple[Replaced, ...]:
        """The entries that a submission would take the place of: the newest rival, and what the board shows of its name."""
        newest = max(self.rivals(name, own), key=age, default=None)
        counting = {newest.uuid: newest.name} if newest else {}
        counting |= dict.fromkeys(sorted(self.shown(name) - own - counting.keys()), name)
        return tuple(Replaced(uuid, called, *self.standing(uuid)) for uuid, called in counting.items())

    def standing(self, uuid: str) -> tuple[float | None, int | None]:
        """Score and rank of a bundle, now or when the board was last read here; None where it has none."""
        row = next((r for r in self.board.rows if r.submission == uuid), None) if self.board else None
        known = row or self.seen.get(uuid)
        return (known.score, known.rank) if known else (None, None)


def free_name(base: str, dataset_hash: str, entries: Entries) -> str:
    """The first of ``base``, ``base-2``, ``base-3``, ... that is no other dataset's entry.

    A submission of this very dataset that was begun under one of them keeps that name, so that it is found again from
    any machine, with or without its ledger.
    """
    sheets = {sheet.name for sheet in entries.rest.own_worksheets()}
    known = {record.id for record in entries.ledger.records()}
    # One more than there can be of names that are taken or begun.
    rows = len(entries.board.rows) if entries.board else 0
    most = len(sheets) + len(known) + len(entries.tagged) + rows + 1
    candidates = [base, *(f"{base}-{number}" for number in range(2, most + 1))]
    ids = {name: entries.identity(name, dataset_hash) for name in candidates}
    begun = [
        name
        for name, identity in ids.items()
        if identity in known or worksheet_name(entries.account, name, identity) in sheets
    ]
    tagged = {bundle.uuid for bundle in entries.tagged}
    for name in begun:
        own = entries.own(name, ids[name])
        if own & tagged or not entries.named(name) - own:
            return name
    return next(name for name in candidates if name not in begun and not entries.named(name))
