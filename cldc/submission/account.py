"""The state of an account in a competition, from server, board and ledger, and the ledger's repair from the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cldc import description as descriptions
from cldc.bundles.lineage import creation_key
from cldc.bundles.uploads import dataset_hash_of
from cldc.bundles.worksheets import TITLE, read_each, worksheet_name, worksheet_prefix
from cldc.codalab import Bundle, User
from cldc.errors import CodaLabError
from cldc.leaderboard import Leaderboard, Row
from cldc.ledger import TAG, BoardResult, KnownSubmission, Record, StepRecord
from cldc.quota import Quota
from cldc.submission.context import Contestant
from cldc.submission.model import Replaced
from cldc.submission.quota import current_quota, recount_withdrawals


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state of an account in a competition at one moment.

    Attributes:
        user: The account, with its remaining disk space and computing time.
        now: When it was read, by the server's clock.
        tagged: The account's bundles with the tag.
        board: The board at that time; None if it can't be read.
        every: Every submission in the ledger, by id.
        board_results: Each bundle's result when the board was last read here.
    """

    contestant: Contestant
    user: User
    now: datetime
    tagged: tuple[Bundle, ...]
    board: Leaderboard | None
    every: Mapping[str, KnownSubmission]
    board_results: Mapping[str, BoardResult]

    @property
    def submissions(self) -> tuple[KnownSubmission, ...]:
        """The account's submissions to the competition in the ledger."""
        return tuple(known for known in self.every.values() if self.contestant.owns(known.record))

    @property
    def quota(self) -> Quota:
        """The account's quota."""
        return current_quota(self.contestant.competition.quota, self.tagged, self.submissions, self.now)

    def shown_on_board(self, name: str) -> frozenset[str]:
        """Uuids of the bundles whose scores the board shows under that name; they may have been withdrawn since."""
        rows = self.board.rows if self.board else ()
        return frozenset(row.submission for row in rows if self._shown_name(row) == name)

    def _shown_name(self, row: Row) -> str | None:
        """The name of one of the account's submissions on the board.

        Source: the daemon calls an evaluation ``ACCOUNT-NAME-results``, and removes older ones of that name from the board.
        """
        begins, ends = f"{self.contestant.account}-", "-results"
        name = row.evaluation[len(begins) : -len(ends)]
        mine = (
            row.shown and row.account == self.contestant.account and row.evaluation == f"{begins}{name}{ends}"
        )
        return name if mine else None

    def entries_named(self, name: str) -> frozenset[str]:
        """Uuids of the bundles of every entry of that name, tagged or shown on the board."""
        return self.shown_on_board(name) | {bundle.uuid for bundle in self.tagged if bundle.name == name}

    def find_own_bundles(self, name: str, identity: str) -> frozenset[str]:
        """Find the uuids of a submission's bundles: those on its worksheet, from any machine, and those in the ledger."""
        known = self.every.get(identity)
        uuids = known.uuids if known is not None else frozenset[str]()
        if not self.entries_named(name):
            return uuids
        found = self.contestant.rest.own_worksheets(worksheet_name(self.contestant.account, name, identity))
        there = (
            b.uuid
            for worksheet in found
            for b in self.contestant.rest.worksheet(worksheet.uuid, bundles=True).bundles
        )
        return uuids | frozenset(there)

    def competing_submissions(self, name: str, own: frozenset[str]) -> tuple[Bundle, ...]:
        """Tagged bundles of other submissions; the daemon scores only the newest of them and this one."""
        found = self.contestant.competing_submissions(self.tagged, name)
        return tuple(bundle for bundle in found if bundle.uuid not in own)

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
        prefix = f"{worksheet_prefix(self.contestant.account)}{descriptions.plain_name(base)}"
        worksheets = {worksheet.name for worksheet in self.contestant.rest.own_worksheets(prefix=prefix)}
        entries = {bundle.name for bundle in self.tagged}
        entries |= {
            name for row in (self.board.rows if self.board else ()) if (name := self._shown_name(row))
        }
        # One more than the number of names that can be taken or begun.
        most = len(worksheets) + len(self.every) + len(entries) + 1
        candidates = [base, *(f"{base}-{number}" for number in range(2, most + 1))]
        ids = {name: self.contestant.submission_id(name, dataset_hash) for name in candidates}
        begun = [
            name
            for name, identity in ids.items()
            if identity in self.every or worksheet_name(self.contestant.account, name, identity) in worksheets
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


def fetch_account_state(contestant: Contestant, board: Leaderboard | None) -> AccountState:
    """Read the account's state from the server, and update the ledger with it and with the board, if that can be read.

    Raises:
        Unreachable, CredentialsError: The server can't be read.
    """
    contestant.observer.start("Reading the account's submissions")  # a thousand take some seconds
    ledger, now, tagged = contestant.ledger, contestant.clock(), contestant.tagged_bundles()
    sync_ledger(contestant, tagged)
    if board is not None:
        recount_withdrawals(contestant, board, now)
    return AccountState(
        contestant=contestant,
        user=contestant.rest.user(),
        now=now,
        tagged=tagged,
        board=board,
        every={known.record.id: known for known in ledger.submissions()},
        board_results={result.bundle: result for result in ledger.board_results(contestant.competition.name)},
    )


# The ledger --------------------------------------------------------------------------------------------------


def sync_ledger(contestant: Contestant, tagged: Iterable[Bundle]) -> tuple[Record, ...]:
    """Add unknown submissions among the account's `tagged_bundles` to the ledger, and return them."""
    submissions = contestant.ledger.submissions()
    known = {submission.record.id for submission in submissions}
    uuids = frozenset[str]().union(*(submission.uuids for submission in submissions))
    try:
        found = _find_submissions(contestant, [b for b in tagged if b.uuid not in uuids])
    except CodaLabError:  # the next call tries again
        return ()
    added: dict[str, KnownSubmission] = {}
    for submission in found:
        if submission.record.id not in known:
            added.setdefault(submission.record.id, submission)
    contestant.ledger.add_submissions(added.values())
    return tuple(submission.record for submission in added.values())


def rebuild_ledger(contestant: Contestant) -> tuple[Record, ...]:
    """As `sync_ledger`, and add unfinished submissions; `cldc submit` finds their progress on the server."""
    added = list(sync_ledger(contestant, contestant.tagged_bundles()))
    submissions = contestant.ledger.submissions()
    known = {submission.record.id for submission in submissions}
    read = {submission.uuid("worksheet") for submission in submissions}
    created = contestant.rest.own_worksheets(prefix=worksheet_prefix(contestant.account))
    unread = [each for each in created if each.title.startswith(TITLE) and each.uuid not in read]
    for worksheet in read_each(contestant, unread):
        name = worksheet.title.removeprefix(TITLE)
        for bundle in filter(dataset_hash_of, worksheet.bundles):
            record = _record(contestant, descriptions.Reading(name, "", ""), dataset=bundle, made=bundle)
            expected = worksheet_name(contestant.account, name, record.id)
            if record.id not in known and worksheet.name == expected:
                contestant.ledger.add(record)
                known.add(record.id)
                added.append(record)
    return tuple(added)


def _find_submissions(contestant: Contestant, bundles: Sequence[Bundle]) -> list[KnownSubmission]:
    """Find the complete submissions among tagged bundles that cldc created.

    All bundles are read together: an account may have a thousand, and another program may have created them.
    """
    rest = contestant.rest
    made_from = {
        bundle.uuid: bundle.dependencies[0].parent for bundle in bundles if len(bundle.dependencies) == 1
    }
    runs = rest.bundles(made_from.values())
    parents = rest.bundles(d.parent for run in runs.values() for d in run.dependencies)
    datasets = {run.uuid: dataset for run in runs.values() if (dataset := _dataset_of(run, parents))}
    complete = [bundle for bundle in bundles if made_from.get(bundle.uuid) in datasets]
    names = {worksheet.uuid: worksheet.name for worksheet in rest.own_worksheets()} if complete else {}
    found = []
    for bundle in complete:
        run = runs[made_from[bundle.uuid]]
        dataset = datasets[run.uuid]
        reading = replace(descriptions.read(bundle.description), name=bundle.name)
        record = _record(contestant, reading, dataset=dataset, made=bundle)
        expected = worksheet_name(contestant.account, bundle.name, record.id)
        if [names.get(worksheet) for worksheet in bundle.worksheets] == [expected]:
            results = _results(contestant, bundle, run, dataset)
            steps = {n: StepRecord(n, record.created, record.created, gave) for n, gave in results.items()}
            found.append(KnownSubmission(record, steps))
    return found


def _dataset_of(run: Bundle, parents: Mapping[str, Bundle]) -> Bundle | None:
    """Find the dataset, uploaded by cldc, that a run depends on; None if there is none or a dependency is gone."""
    made_from = [parents[d.parent] for d in run.dependencies if d.parent in parents]
    if len(made_from) < len(run.dependencies):
        return None
    return next((bundle for bundle in made_from if dataset_hash_of(bundle)), None)


def _results(
    contestant: Contestant, bundle: Bundle, run: Bundle, dataset: Bundle
) -> Mapping[str, Mapping[str, str]]:
    """The results of a submission's steps, in the ledger's format."""
    organisers, uuids = contestant.competition.bundles, {"uuid": bundle.uuid}
    (worksheet,) = bundle.worksheets
    return {
        "worksheet": {"uuid": worksheet},
        "upload": {"uuid": dataset.uuid},
        "link": {"script": organisers.script.uuid or "", "label_book": organisers.label_book.uuid or ""},
        "run": {"uuid": run.uuid},
        "train": {"uuid": run.uuid, "seconds": str(run.seconds)},
        "predictions": uuids,
        "publish": {"uuid": worksheet},
        "describe": {**uuids, "description": bundle.description},
        "prove": {},
        TAG: uuids,
    }


def _record(
    contestant: Contestant, reading: descriptions.Reading, *, dataset: Bundle, made: Bundle
) -> Record:
    """Build a submission's record with the creation time of ``made``."""
    dataset_hash = dataset_hash_of(dataset) or ""
    return Record(
        id=contestant.submission_id(reading.name, dataset_hash),
        competition=contestant.competition.name,
        server=contestant.rest.server,
        account=contestant.account,
        name=reading.name,
        institution=reading.institution,
        link=reading.link,
        dataset=dataset.name,
        dataset_hash=dataset_hash,
        preflight=None,
        created=made.created or datetime.now(UTC),
    )
