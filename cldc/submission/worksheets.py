"""The worksheets that cldc makes for an account: each is for one competition, and says which.

A worksheet's tag holds the competition's identity: the tag of its submissions and the uuid of its label book, which
are what the scoring daemon goes by. Profiles may be renamed and copied, so their names say nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from typing import TYPE_CHECKING

from cldc.files import hash_bytes
from cldc.ledger import submission_id
from cldc.submission.model import own_sheets, worksheet_name
from cldc.submission.uploading import identity_of

if TYPE_CHECKING:
    from cldc.codalab import Bundle, CodaLab, Rest, Worksheet
    from cldc.competition import Competition
    from cldc.ledger import Ledger

TITLE = "Submission "
# What the descriptions of runs and predictions begin with that cldc makes; an id follows.
SUBMISSION, PREFLIGHT = "cldc submission ", "cldc preflight "
_MARK = re.compile(r"cldc-.*-[0-9a-f]{12}")
# CodaLab's databases keep 63 characters of a worksheet's tag.
_LONGEST_TAG = 40


def mark_of(competition: Competition) -> str:
    """The tag of a worksheet that is for a competition."""
    tag, label_book = competition.submission.tag, competition.bundles.label_book.uuid or ""
    return f"cldc-{tag[:_LONGEST_TAG]}-{hash_bytes(json.dumps([tag, label_book]))[:12]}"


def find_or_make(codalab: CodaLab, name: str, *, title: str, competition: Competition) -> str:
    """Uuid of the account's worksheet of that name, made if need be, which says that it is for ``competition``."""
    mark = mark_of(competition)
    for found in codalab.rest.own_worksheets(name):
        known = codalab.rest.worksheet(found.uuid)
        if mark not in known.tags:
            codalab.cl.edit_worksheet(
                found.uuid, title="" if known.title else title, tags=(*known.tags, mark)
            )
        return found.uuid
    return codalab.cl.new_worksheet(name, title=title, tags=(mark,))


def read_all(rest: Rest, account: str) -> tuple[Worksheet, ...]:
    """Every worksheet that cldc made for the account, with the bundles on it; a search would miss private bundles."""
    prefix = own_sheets(account)
    return tuple(
        rest.worksheet(found.uuid, bundles=True)
        for found in rest.own_worksheets()
        if found.name.startswith(prefix)
    )


def why_left_alone(
    worksheet: Worksheet, competition: Competition, *, server: str, account: str, ledger: Ledger
) -> str:
    """Why a worksheet is none of ``competition``'s, in words that call it "it"; empty where it is one.

    A worksheet of cldc 0.1.0 does not say what it is for. It is taken for one of the competition's if the ledger, its
    own name or the runs on it say so, and nothing says otherwise.
    """
    if marks := {tag for tag in worksheet.tags if _MARK.fullmatch(tag)}:
        return "" if marks == {mark_of(competition)} else "it is for another competition"
    runs = [bundle for bundle in worksheet.bundles if is_training(bundle, account)]
    if not all(is_trained_for(run, competition) for run in runs):
        return "a run on it is for another competition"
    named = _is_named_for(worksheet, competition, server=server, account=account, ledger=ledger)
    if named is None:
        return "" if runs else "nothing on it says which competition it is for"
    return "" if named else "it is for another competition"


def what_stays(worksheet: Worksheet, competition: Competition, going: Set[str] = frozenset()) -> str:
    """What keeps a worksheet from being removed, in a few words; the organisers' bundles on it are only links."""
    organisers = {competition.bundles.script.uuid, competition.bundles.label_book.uuid}
    for item in worksheet.items:
        if item.bundle is None:
            return "a text or a link"
        if item.bundle not in organisers and item.bundle not in going:
            return f"the bundle {item.bundle}"
    return ""


def is_training(bundle: Bundle, account: str) -> bool:
    """Whether a bundle is a run that cldc started for the account."""
    return (
        bundle.type == "run"
        and bundle.owner == account
        and bundle.description.startswith((SUBMISSION, PREFLIGHT))
    )


def is_trained_for(run: Bundle, competition: Competition) -> bool:
    """Whether a run was made from the competition's own script and label book."""
    organisers = {competition.bundles.script.uuid, competition.bundles.label_book.uuid}
    return organisers <= {dependency.parent for dependency in run.dependencies}


def _is_named_for(
    worksheet: Worksheet, competition: Competition, *, server: str, account: str, ledger: Ledger
) -> bool | None:
    """Whether the submission that a worksheet is named after is for ``competition``, whose tag is part of its id.

    None where neither the ledger nor the worksheet itself tells which submission that is.
    """

    def identity(name: str, dataset_hash: str, where: str) -> str:
        return submission_id(
            tag=competition.submission.tag,
            server=where,
            account=account,
            name=name,
            dataset_hash=dataset_hash,
        )

    known = [
        record
        for record in ledger.records()
        if (step := ledger.steps(record.id).get("worksheet")) and step.result.get("uuid") == worksheet.uuid
    ]
    if known:
        return all(r.id == identity(r.name, r.dataset_hash, r.server) for r in known)
    datasets = [found for bundle in worksheet.bundles if (found := identity_of(bundle))]
    if not datasets or not (worksheet.title or "").startswith(TITLE):
        return None
    name = (worksheet.title or "").removeprefix(TITLE)
    return any(worksheet.name == worksheet_name(account, name, identity(name, d, server)) for d in datasets)
