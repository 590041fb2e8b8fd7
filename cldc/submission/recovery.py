"""What the server remembers of submissions, written back into a ledger that lost them or never had them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cldc import description as descriptions
from cldc.errors import CodaLabError
from cldc.ledger import TAG, Ledger, Record, submission_id
from cldc.submission.model import own_sheets, worksheet_name
from cldc.submission.places import tagged
from cldc.submission.uploading import identity_of
from cldc.submission.worksheets import TITLE

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Rest
    from cldc.competition import Competition


def learn(
    ledger: Ledger, competition: Competition, rest: Rest, account: str, carrying: Iterable[Bundle]
) -> tuple[Record, ...]:
    """Of the account's `tagged` bundles the submissions that the ledger had not heard of; it has now."""
    known = {record.id for record in ledger.records()}
    uuids = {s.result.get("uuid") for id_ in known for s in ledger.steps(id_).values()}
    found = []
    for bundle in carrying:
        if bundle.uuid not in uuids and (made := _made_from(bundle, competition, rest, account)):
            record, results = made
            if record.id not in known:
                ledger.add(record)
                for step, result in results.items():
                    ledger.begin(record.id, step, now=record.created)
                    ledger.finish(record.id, step, result, now=record.created)
                found.append(record)
    return tuple(found)


def rebuild(ledger: Ledger, competition: Competition, rest: Rest, account: str) -> tuple[Record, ...]:
    """As `learn`, and besides the submissions that were begun: `cldc submit` finds on the server how far they are."""
    found = list(learn(ledger, competition, rest, account, tagged(competition, rest, account)))
    known = {record.id for record in ledger.records()}
    prefix = own_sheets(account)
    for sheet in rest.own_worksheets():
        if not sheet.name.startswith(prefix) or not (sheet.title or "").startswith(TITLE):
            continue
        name = (sheet.title or "").removeprefix(TITLE)
        for bundle in rest.worksheet(sheet.uuid, bundles=True).bundles:
            if identity_of(bundle):
                record = _record(
                    competition,
                    rest,
                    account,
                    name=name,
                    data=bundle,
                    reading=descriptions.Reading(name, "", ""),
                )
                if record.id not in known and sheet.name == worksheet_name(account, name, record.id):
                    known.add(ledger.add(record).id)
                    found.append(record)
    return tuple(found)


def _made_from(
    bundle: Bundle, competition: Competition, rest: Rest, account: str
) -> tuple[Record, dict[str, dict[str, str]]] | None:
    """A tagged bundle's record and the results of its steps; None where it was not made by cldc, or is not whole."""
    try:
        (made,) = bundle.dependencies
        run = rest.bundle(made.parent)
        parents = rest.bundles(d.parent for d in run.dependencies)
        data = next(b for b in parents if identity_of(b))
        (sheet,) = (rest.worksheet(uuid) for uuid in rest.bundle(bundle.uuid, worksheets=True).worksheets)
    except (CodaLabError, ValueError, StopIteration):
        return None
    record = _record(
        competition,
        rest,
        account,
        name=bundle.name,
        data=data,
        reading=descriptions.read(bundle.description),
        tagged_bundle=bundle,
    )
    if sheet.name != worksheet_name(account, bundle.name, record.id):
        return None
    script, label_book = (r.uuid or "" for r in (competition.bundles.script, competition.bundles.label_book))
    uuids = {"uuid": bundle.uuid}
    return record, {
        "worksheet": {"uuid": sheet.uuid},
        "upload": {"uuid": data.uuid},
        "link": {"script": script, "label_book": label_book},
        "run": {"uuid": run.uuid},
        "train": {"uuid": run.uuid, "seconds": str(run.seconds)},
        "predictions": uuids,
        "publish": {"uuid": sheet.uuid},
        "describe": {**uuids, "description": bundle.description},
        "prove": {},
        TAG: uuids,
    }


def _record(
    competition: Competition,
    rest: Rest,
    account: str,
    *,
    name: str,
    data: Bundle,
    reading: descriptions.Reading,
    tagged_bundle: Bundle | None = None,
) -> Record:
    dataset_hash = identity_of(data) or ""
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
        dataset=data.name,
        dataset_hash=dataset_hash,
        preflight=None,
        created=(tagged_bundle or data).created or datetime.now(UTC),
    )
