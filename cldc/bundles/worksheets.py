"""The worksheets that cldc creates for an account: each belongs to one competition and is marked with it.

A worksheet's tag holds the competition's identity: the tag of its submissions and the uuid of its label book, which
are what the scoring daemon uses. Profiles may be renamed and copied, so their names identify nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence, Set

from msgspec.structs import replace

from cldc.bundles.dependents import creation_key
from cldc.bundles.server_account import ServerAccount
from cldc.bundles.uploads import dataset_hash_of, finished_uploads
from cldc.codalab import Bundle, Worksheet
from cldc.competition import Competition
from cldc.description import plain_name
from cldc.files import hash_bytes
from cldc.ledger import KnownSubmission

TITLE = "Submission "
# Start of the descriptions of cldc's runs and predictions; an id follows.
SUBMISSION, PREFLIGHT = "cldc submission ", "cldc preflight "
_MARK = re.compile(r"cldc-.*-[0-9a-f]{12}")
# CodaLab's databases store 63 characters of a worksheet's tag.
_LONGEST_TAG = 40


def worksheet_prefix(account: str) -> str:
    """Return the prefix of the names of all worksheets that cldc creates for an account."""
    return f"cldc-{plain_name(account)}-"


def worksheet_name(account: str, name: str, identity: str) -> str:
    """Return the name of a submission's own worksheet; worksheet names are unique on a server."""
    return f"{worksheet_prefix(account)}{plain_name(name)}-{identity[:8]}"


def preflight_prefix(account: str) -> str:
    """Return the prefix of the names of worksheets for preflights on the server."""
    return worksheet_name(account, "preflight", "")


def competition_mark(competition: Competition) -> str:
    """Return the tag that marks a competition's worksheet."""
    tag, label_book = competition.submission.tag, competition.bundles.label_book.uuid or ""
    return f"cldc-{tag[:_LONGEST_TAG]}-{hash_bytes(json.dumps([tag, label_book]))[:12]}"


def find_or_make_worksheet(account: ServerAccount, name: str, *, title: str) -> str:
    """Find or create the account's worksheet of that name, mark it as the competition's, and return its uuid."""
    rest, cl, mark = account.rest, account.cl, competition_mark(account.competition)
    for found in rest.own_worksheets(name):
        known = rest.worksheet(found.uuid)
        if mark not in known.tags:
            cl.edit_worksheet(found.uuid, title="" if known.title else title, tags=(*known.tags, mark))
        return found.uuid
    return cl.new_worksheet(name, title=title, tags=(mark,))


def own_bundles(
    account: ServerAccount, worksheet: str, kind: str | None = None, name: str | None = None
) -> list[Bundle]:
    """List the account's bundles on a worksheet, of that type and name if given, oldest first on every machine."""
    found = [
        bundle
        for bundle in account.rest.worksheet(worksheet, bundles=True).bundles
        if bundle.owner in (None, account.account)
        and kind in (None, bundle.type)
        and name in (None, bundle.name)
    ]
    return sorted(found, key=creation_key)


def preflight_uploads(account: ServerAccount) -> Iterator[tuple[str, Bundle]]:
    """Find good uploads for preflights, each with its dataset's hash; they are private, so no search shows them."""
    for worksheet in account.rest.own_worksheets(prefix=preflight_prefix(account.account)):
        yield from finished_uploads(own_bundles(account, worksheet.uuid))


def read_each(account: ServerAccount, worksheets: Sequence[Worksheet]) -> list[Worksheet]:
    """Read the worksheets with their bundles; a search would miss the private ones.

    All bundles are read together, since the organisers' are on every worksheet.
    """
    account.observer.start("Reading your worksheets", len(worksheets), "worksheets")
    found = []
    for number, worksheet in enumerate(worksheets):
        account.observer.advance(number)
        found.append(account.rest.worksheet(worksheet.uuid, items=True))
    uuids = {uuid for worksheet in found for uuid in worksheet.items if uuid is not None}
    account.observer.start("Reading their bundles", len(uuids), "bundles")
    bundles = account.rest.bundles(sorted(uuids), observer=account.observer)
    return [
        replace(worksheet, bundles=tuple(bundles[u] for u in worksheet.items if u in bundles))
        for worksheet in found
    ]


def why_foreign(account: ServerAccount, worksheet: Worksheet, submissions: Iterable[KnownSubmission]) -> str:
    """Explain why a worksheet is not for the account's competition, in words that call it "it"; empty if it is.

    A worksheet of cldc 0.1.0 has no mark. It counts as the competition's if the ledger, its own name or the runs on
    it say so, and nothing contradicts them.
    """
    if marks := {tag for tag in worksheet.tags if _MARK.fullmatch(tag)}:
        return "" if marks == {competition_mark(account.competition)} else "it is for another competition"
    runs = [bundle for bundle in worksheet.bundles if is_own_run(bundle, account.account)]
    if not all(is_run_of(run, account.competition) for run in runs):
        return "a run on it is for another competition"
    named = _is_named_for(account, worksheet, submissions)
    if named is None:
        return "" if runs else "nothing on it says which competition it is for"
    return "" if named else "it is for another competition"


def remaining_item(worksheet: Worksheet, competition: Competition, removing: Set[str] = frozenset()) -> str:
    """Describe what prevents a worksheet's removal, in a few words; the organisers' bundles on it are only links."""
    organisers = {competition.bundles.script.uuid, competition.bundles.label_book.uuid}
    for item in worksheet.items:
        if item is None:
            return "a text or a link"
        if item not in organisers and item not in removing:
            return f"the bundle {item}"
    return ""


def is_own_run(bundle: Bundle, account: str) -> bool:
    """Check whether cldc started the run for the account."""
    return (
        bundle.type == "run"
        and bundle.owner == account
        and bundle.description.startswith((SUBMISSION, PREFLIGHT))
    )


def is_run_of(run: Bundle, competition: Competition) -> bool:
    """Check whether a run depends on the competition's own script and label book."""
    organisers = {competition.bundles.script.uuid, competition.bundles.label_book.uuid}
    return organisers <= {dependency.parent for dependency in run.dependencies}


def _is_named_for(
    account: ServerAccount, worksheet: Worksheet, submissions: Iterable[KnownSubmission]
) -> bool | None:
    """Check whether a worksheet's name refers to a submission to the competition, whose tag is part of the submission's id.

    None if neither the ledger nor the worksheet identifies that submission.
    """
    known = [s.record for s in submissions if s.uuid("worksheet") == worksheet.uuid]
    if known:
        return all(r.id == account.submission_id(r.name, r.dataset_hash, server=r.server) for r in known)
    datasets = [found for bundle in worksheet.bundles if (found := dataset_hash_of(bundle))]
    if not datasets or not worksheet.title.startswith(TITLE):
        return None
    name = worksheet.title.removeprefix(TITLE)
    ids = (account.submission_id(name, dataset_hash) for dataset_hash in datasets)
    return any(worksheet.name == worksheet_name(account.account, name, identity) for identity in ids)
