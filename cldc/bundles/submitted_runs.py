"""Read, for an organiser, the accuracies that the runs of submissions printed, and the hashes of their datasets."""

from __future__ import annotations

from collections.abc import Iterable

from cldc.bundles.runs import read_output
from cldc.bundles.uploads import dataset_hash_of
from cldc.codalab import Rest
from cldc.organise.grades import SubmittedRun
from cldc.progress import Observer

_LINES = 40  # the accuracies are at the end of a run's output


def read_submitted(rest: Rest, uuids: Iterable[str], observer: Observer) -> dict[str, SubmittedRun]:
    """Read the runs of submissions as the organiser, by the uuid of the tagged bundle; those that can't be read are left out."""
    submissions = rest.bundles(filter(None, uuids))
    runs = rest.bundles(d.parent for bundle in submissions.values() for d in bundle.dependencies)
    uploads = rest.bundles(d.parent for run in runs.values() for d in run.dependencies)
    found = {}
    observer.start("Reading the runs", len(submissions), "submissions")
    for done, (uuid, bundle) in enumerate(submissions.items()):
        observer.advance(done, bundle.name)
        run = next((runs[d.parent] for d in bundle.dependencies if d.parent in runs), None)
        if run is None:
            continue
        printed = read_output(rest, run.uuid, tail=_LINES)
        hashes = (dataset_hash_of(uploads[d.parent]) for d in run.dependencies if d.parent in uploads)
        found[uuid] = SubmittedRun(
            validation=printed.validation.accuracy if printed.validation else None,
            label_book=printed.label_book.accuracy if printed.label_book else None,
            dataset=next(filter(None, hashes), None),
        )
    return found
