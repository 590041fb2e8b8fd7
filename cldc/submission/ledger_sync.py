"""Add to the ledger what the server knows of the account's submissions: those of other machines, or all after its loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cldc import description as descriptions
from cldc.bundles.uploads import dataset_hash_of
from cldc.bundles.worksheets import TITLE, read_each, worksheet_name, worksheet_prefix
from cldc.codalab import Bundle
from cldc.errors import CodaLabError
from cldc.ledger import TAG, KnownSubmission, Record, StepRecord
from cldc.submission.context import Contestant


def sync_ledger(contestant: Contestant, tagged: Iterable[Bundle]) -> tuple[Record, ...]:
    """Add unknown submissions among the account's `tagged_bundles` to the ledger, and return them."""
    uuids = frozenset[str]().union(*(known.uuids for known in contestant.ledger.submissions()))
    try:
        found = _find_submissions(contestant, [b for b in tagged if b.uuid not in uuids])
    except CodaLabError:  # the next call tries again
        return ()
    return contestant.ledger.add_submissions(found)


def rebuild_ledger(contestant: Contestant) -> tuple[Record, ...]:
    """Do `sync_ledger`, and add unfinished submissions too; `cldc submit` finds their progress on the server."""
    tagged = sync_ledger(contestant, contestant.tagged_bundles())
    read = {known.uuid("worksheet") for known in contestant.ledger.submissions()}
    created = contestant.rest.own_worksheets(prefix=worksheet_prefix(contestant.account))
    unfinished = []
    unread = [each for each in created if each.title.startswith(TITLE) and each.uuid not in read]
    for worksheet in read_each(contestant, unread):
        name = worksheet.title.removeprefix(TITLE)
        for bundle in filter(dataset_hash_of, worksheet.bundles):
            record = contestant.new_record(
                name, dataset_hash_of(bundle) or "", dataset=bundle.name, created=bundle.created
            )
            if worksheet.name == worksheet_name(contestant.account, name, record.id):
                unfinished.append(KnownSubmission(record, {}))
    return (*tagged, *contestant.ledger.add_submissions(unfinished))


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
        reading = descriptions.read(bundle.description)
        record = contestant.new_record(
            bundle.name,
            dataset_hash_of(dataset) or "",
            institution=reading.institution,
            link=reading.link,
            dataset=dataset.name,
            created=bundle.created,
        )
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
    """Build the results of a submission's steps, in the ledger's format."""
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
