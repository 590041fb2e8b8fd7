"""Restore submissions from the server in a ledger that lost them or never had them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from cldc import description as descriptions
from cldc.bundles.lineage import find_bundles
from cldc.bundles.uploads import dataset_hash_of
from cldc.bundles.worksheets import TITLE, read_each, worksheet_name, worksheet_prefix
from cldc.codalab import Bundle, Rest
from cldc.competition import Competition
from cldc.errors import CodaLabError
from cldc.ledger import TAG, KnownSubmission, Ledger, Record, StepRecord, submission_id
from cldc.progress import Observer
from cldc.submission.quota import tagged_bundles


def sync_ledger(
    ledger: Ledger, competition: Competition, rest: Rest, account: str, tagged: Iterable[Bundle]
) -> tuple[Record, ...]:
    """Add unknown submissions among the account's `tagged_bundles` to the ledger, and return them."""
    submissions = ledger.submissions()
    known = {submission.record.id for submission in submissions}
    uuids = frozenset[str]().union(*(submission.uuids for submission in submissions))
    try:
        found = _find_submissions([b for b in tagged if b.uuid not in uuids], competition, rest, account)
    except CodaLabError:  # the next call tries again
        return ()
    added: dict[str, KnownSubmission] = {}
    for submission in found:
        if submission.record.id not in known:
            added.setdefault(submission.record.id, submission)
    ledger.add_submissions(added.values())
    return tuple(submission.record for submission in added.values())


def rebuild_ledger(
    ledger: Ledger, competition: Competition, rest: Rest, account: str, observer: Observer
) -> tuple[Record, ...]:
    """As `sync_ledger`, and add unfinished submissions; `cldc submit` finds their progress on the server."""
    added = list(sync_ledger(ledger, competition, rest, account, tagged_bundles(competition, rest, account)))
    submissions, prefix = ledger.submissions(), worksheet_prefix(account)
    known = {submission.record.id for submission in submissions}
    read = {submission.uuid("worksheet") for submission in submissions}
    unknown = [
        each
        for each in rest.own_worksheets()
        if each.name.startswith(prefix) and (each.title or "").startswith(TITLE) and each.uuid not in read
    ]
    for worksheet in read_each(rest, unknown, observer):
        title = worksheet.title or ""
        reading = descriptions.Reading(title.removeprefix(TITLE), "", "")
        for bundle in worksheet.bundles:
            if dataset_hash_of(bundle):
                record = _record(competition, rest, account, reading=reading, dataset=bundle, made=bundle)
                if record.id not in known and worksheet.name == worksheet_name(
                    account, reading.name, record.id
                ):
                    known.add(ledger.add(record).id)
                    added.append(record)
    return tuple(added)


def _find_submissions(
    bundles: Iterable[Bundle], competition: Competition, rest: Rest, account: str
) -> list[KnownSubmission]:
    """Find the complete submissions among tagged bundles that cldc created.

    All bundles are read together: an account may have a thousand, and another program may have created them.
    """
    made_from = {
        bundle.uuid: bundle.dependencies[0].parent for bundle in bundles if len(bundle.dependencies) == 1
    }
    runs = find_bundles(rest, made_from.values())
    parents = find_bundles(rest, (d.parent for run in runs.values() for d in run.dependencies))
    datasets = {run.uuid: dataset for run in runs.values() if (dataset := _dataset_of(run, parents))}
    wanted = [uuid for uuid, run in made_from.items() if run in datasets]
    hosts = find_bundles(rest, wanted, worksheets=True)
    names = {worksheet.uuid: worksheet.name for worksheet in rest.own_worksheets()} if hosts else {}
    found = []
    for uuid, bundle in hosts.items():
        run = runs[made_from[uuid]]
        dataset = datasets[run.uuid]
        reading = descriptions.read(bundle.description)
        record = _record(
            competition, rest, account, reading=reading, dataset=dataset, made=bundle, name=bundle.name
        )
        expected = worksheet_name(account, bundle.name, record.id)
        if [names.get(worksheet) for worksheet in bundle.worksheets] == [expected]:
            results = _results(competition, bundle, run, dataset, bundle.worksheets[0])
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
    competition: Competition, bundle: Bundle, run: Bundle, dataset: Bundle, worksheet: str
) -> Mapping[str, Mapping[str, str]]:
    """The results of a submission's steps, in the ledger's format."""
    script, label_book = (r.uuid or "" for r in (competition.bundles.script, competition.bundles.label_book))
    uuids = {"uuid": bundle.uuid}
    return {
        "worksheet": {"uuid": worksheet},
        "upload": {"uuid": dataset.uuid},
        "link": {"script": script, "label_book": label_book},
        "run": {"uuid": run.uuid},
        "train": {"uuid": run.uuid, "seconds": str(run.seconds)},
        "predictions": uuids,
        "publish": {"uuid": worksheet},
        "describe": {**uuids, "description": bundle.description},
        "prove": {},
        TAG: uuids,
    }


def _record(
    competition: Competition,
    rest: Rest,
    account: str,
    *,
    reading: descriptions.Reading,
    dataset: Bundle,
    made: Bundle,
    name: str = "",
) -> Record:
    """Build a submission's record with the creation time of ``made``; ``name`` overrides the description's."""
    dataset_hash, name = dataset_hash_of(dataset) or "", name or reading.name
    identity = submission_id(
        tag=competition.submission.tag,
        server=rest.server,
        account=account,
        name=name,
        dataset_hash=dataset_hash,
    )
    return Record(
        id=identity,
        competition=competition.name,
        server=rest.server,
        account=account,
        name=name,
        institution=reading.institution,
        link=reading.link,
        dataset=dataset.name,
        dataset_hash=dataset_hash,
        preflight=None,
        created=made.created or datetime.now(UTC),
    )
