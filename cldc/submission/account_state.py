"""Read the state of an account in a competition from server, board and ledger, once per plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cldc.bundles.account import ServerClock
from cldc.bundles.lineage import creation_key
from cldc.bundles.worksheets import worksheet_name
from cldc.codalab import Bundle, Rest, User
from cldc.competition import Competition
from cldc.leaderboard import Leaderboard, Row
from cldc.ledger import BoardResult, KnownSubmission, Ledger, submission_id
from cldc.progress import SILENT, Observer
from cldc.quota import Quota
from cldc.submission.model import Replaced
from cldc.submission.quota import current_quota, tagged_bundles
from cldc.submission.sync import sync_ledger
from cldc.submission.withdraw import recount_withdrawals


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state of an account in a competition at one moment.

    Attributes:
        rest: Reads the server as the account.
        user: The account, with its remaining disk space and computing time.
        now: When it was read, by the server's clock.
        tagged: The account's bundles with the tag.
        board: The board at that time; None if it can't be read.
        submissions: Every submission in the ledger, by id.
        board_results: Each bundle's result when the board was last read here.
    """

    competition: Competition
    rest: Rest
    user: User
    now: datetime
    tagged: tuple[Bundle, ...]
    board: Leaderboard | None
    submissions: Mapping[str, KnownSubmission]
    board_results: Mapping[str, BoardResult]

    @property
    def own_submissions(self) -> tuple[KnownSubmission, ...]:
        """The account's submissions to this competition in the ledger."""
        mine = (self.competition.name, self.rest.server, self.user.name)
        return tuple(
            known
            for known in self.submissions.values()
            if (known.record.competition, known.record.server, known.record.account) == mine
        )

    @property
    def quota(self) -> Quota:
        """The account's quota."""
        return current_quota(self.competition.quota, self.tagged, self.own_submissions, self.now)

    def submission_id(self, name: str, dataset_hash: str) -> str:
        """Compute the id of the submission of that dataset under that name."""
        return submission_id(
            tag=self.competition.submission.tag,
            server=self.rest.server,
            account=self.user.name,
            name=name,
            dataset_hash=dataset_hash,
        )

    def shown_on_board(self, name: str) -> frozenset[str]:
        """Uuids of the bundles whose scores the board shows under that name; they may have been withdrawn since."""
        rows = self.board.rows if self.board else ()
        return frozenset(row.submission for row in rows if self._shown_name(row) == name)

    def _shown_name(self, row: Row) -> str | None:
        """The name of one of the account's submissions on the board.

        Source: the daemon calls an evaluation ``ACCOUNT-NAME-results``, and removes older ones of that name from the board.
        """
        begins, ends = f"{self.user.name}-", "-results"
        name = row.evaluation[len(begins) : -len(ends)]
        mine = row.shown and row.account == self.user.name and row.evaluation == f"{begins}{name}{ends}"
        return name if mine else None

    def entries_named(self, name: str) -> frozenset[str]:
        """Uuids of the bundles of every entry of that name, tagged or shown on the board."""
        return self.shown_on_board(name) | {bundle.uuid for bundle in self.tagged if bundle.name == name}

    def find_own_bundles(self, name: str, identity: str) -> frozenset[str]:
        """Find the uuids of a submission's bundles: those on its worksheet, from any machine, and those in the ledger."""
        known = self.submissions.get(identity)
        uuids = known.uuids if known is not None else frozenset[str]()
        if not self.entries_named(name):
            return uuids
        found = self.rest.own_worksheets(worksheet_name(self.user.name, name, identity))
        there = (b.uuid for sheet in found for b in self.rest.worksheet(sheet.uuid, bundles=True).bundles)
        return uuids | frozenset(there)

    def competing_submissions(self, name: str, own: frozenset[str]) -> tuple[Bundle, ...]:
        """Tagged bundles of other submissions; the daemon scores only the newest of them and this one."""
        by_account = self.competition.submission.supersedes == "account"
        return tuple(b for b in self.tagged if (by_account or b.name == name) and b.uuid not in own)

    def replaced_entries(self, name: str, own: frozenset[str]) -> tuple[Replaced, ...]:
        """Entries that a submission would replace: the newest competing one, and those on the board with its name."""
        newest = max(self.competing_submissions(name, own), key=creation_key, default=None)
        counting = {newest.uuid: newest.name} if newest else {}
        counting |= dict.fromkeys(sorted(self.shown_on_board(name) - own - counting.keys()), name)
        return tuple(Replaced(uuid, called, *self.score_and_rank(uuid)) for uuid, called in counting.items())

    def score_and_rank(self, uuid: str) -> tuple[float | None, int | None]:
        """Score and rank of a bundle, now or when the board was last read here; None if it has none."""
        row = next((r for r in self.board.rows if r.submission == uuid), None) if self.board else None
        known = row or self.board_results.get(uuid)
        return (known.score, known.rank) if known else (None, None)

    def free_name(self, base: str, dataset_hash: str) -> str:
        """The first of ``base``, ``base-2``, ``base-3``, ... that is not another dataset's entry.

        An unfinished submission of this dataset under one of them keeps that name, so that it is found again
        from any machine, with or without its ledger.
        """
        worksheets = {worksheet.name for worksheet in self.rest.own_worksheets()}
        entries = {bundle.name for bundle in self.tagged}
        entries |= {
            name for row in (self.board.rows if self.board else ()) if (name := self._shown_name(row))
        }
        # One more than the number of names that can be taken or begun.
        most = len(worksheets) + len(self.submissions) + len(entries) + 1
        candidates = [base, *(f"{base}-{number}" for number in range(2, most + 1))]
        ids = {name: self.submission_id(name, dataset_hash) for name in candidates}
        begun = [
            name
            for name, identity in ids.items()
            if identity in self.submissions or worksheet_name(self.user.name, name, identity) in worksheets
        ]
        tagged = {bundle.uuid for bundle in self.tagged}
        own = {name: self.find_own_bundles(name, ids[name]) for name in begun}
        if submitted := next((name for name in begun if own[name] & tagged), None):
            return submitted
        # The last one: the earlier names were taken when it began, but may be free by now.
        for name in reversed(begun):
            if not self.entries_named(name) - own[name]:
                return name
        return next(name for name in candidates if name not in begun and name not in entries)


def fetch_account_state(
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    *,
    board: Leaderboard | None,
    observer: Observer = SILENT,
) -> AccountState:
    """Read the account's state from the server, and update the ledger with it.

    Args:
        competition: The profile.
        rest: Reads the server as the account.
        ledger: This machine's ledger of submissions.
        board: The board, if it can be read.
        observer: Receives progress: many submissions take some seconds.

    Raises:
        Unreachable, CredentialsError: The server can't be read.
    """
    observer.start("Reading the account's submissions")
    user, now = rest.user(), ServerClock(rest)()
    tagged = tagged_bundles(competition, rest, user.name)
    sync_ledger(ledger, competition, rest, user.name, tagged)
    if board is not None:
        recount_withdrawals(ledger, competition, rest.server, user.name, board=board, now=now)
    return AccountState(
        competition=competition,
        rest=rest,
        user=user,
        now=now,
        tagged=tagged,
        board=board,
        submissions={known.record.id: known for known in ledger.submissions()},
        board_results={result.bundle: result for result in ledger.board_results(competition.name)},
    )
