"""The worksheets that cldc makes for an account: each is for one competition, and says which.

A worksheet's tag holds the competition's identity: the tag of its submissions and the uuid of its label book, which
are what the scoring daemon goes by. Profiles may be renamed and copied, so their names say nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence, Set

from cldc.bundles.account import ServerAccount
from cldc.bundles.lineage import creation_key
from cldc.bundles.uploads import dataset_hash_of
from cldc.codalab import Bundle, Rest, Worksheet
from cldc.competition import Competition
from cldc.description import plain_name
from cldc.files import hash_bytes
from cldc.ledger import KnownSubmission, submission_id
from cldc.progress import Observer

TITLE = "Submission "
# What the descriptions of runs and predictions begin with that cldc makes; an id follows.
SUBMISSION, PREFLIGHT = "cldc submission ", "cldc preflight "
_MARK = re.compile(r"cldc-.*-[0-9a-f]{12}")
# CodaLab's databases keep 63 characters of a worksheet's tag.
_LONGEST_TAG = 40


def worksheet_prefix(account: str) -> str:
    """What the names of all worksheets begin with that cldc makes for an account."""
    return f"cldc-{plain_name(account)}-"


def worksheet_name(account: str, name: str, identity: str) -> str:
    """What a submission's own worksheet is called; names of worksheets are unique on a whole server."""
    return f"{worksheet_prefix(account)}{plain_name(name)}-{identity[:8]}"


def preflight_prefix(account: str) -> str:
    """What the names of worksheets begin with that are for preflights on the server."""
    return worksheet_name(account, "preflight", "")


def competition_mark(competition: Competition) -> str:
    """The tag of a worksheet that is for a competition."""
    tag, label_book = competition.submission.tag, competition.bundles.label_book.uuid or ""
    return f"cldc-{tag[:_LONGEST_TAG]}-{hash_bytes(json.dumps([tag, label_book]))[:12]}"


def find_or_make_worksheet(account: ServerAccount, name: str, *, title: str) -> str:
    """Uuid of the account's worksheet of that name, made if need be, and marked as the competition's."""
    rest, cl, mark = account.rest, account.cl, competition_mark(account.competition)
    for found in rest.own_worksheets(name):
        known = rest.worksheet(found.uuid)
        if mark not in known.tags:
            cl.edit_worksheet(found.uuid, title="" if known.title else title, tags=(*known.tags, mark))
        return found.uuid
    return cl.new_worksheet(name, title=title, tags=(mark,))


def own_bundles(account: ServerAccount, worksheet: str) -> list[Bundle]:
    """The account's bundles on a worksheet, oldest first: the same order on every machine."""
    found = account.rest.worksheet(worksheet, bundles=True).bundles
    return sorted((b for b in found if b.owner in (None, account.account)), key=creation_key)


def read_own_worksheets(rest: Rest, account: str, observer: Observer) -> tuple[Worksheet, ...]:
    """Every worksheet that cldc made for the account, with the bundles on it; a search would miss private bundles."""
    found = [each for each in rest.own_worksheets() if each.name.startswith(worksheet_prefix(account))]
    return tuple(read_each(rest, found, observer))


def read_each(rest: Rest, worksheets: Sequence[Worksheet], observer: Observer) -> Iterator[Worksheet]:
    """The worksheets with the bundles on them."""
    observer.start("Reading your worksheets", len(worksheets), "worksheets")
    for number, worksheet in enumerate(worksheets):
        observer.advance(number)
        yield rest.worksheet(worksheet.uuid, bundles=True)


def why_foreign(
    worksheet: Worksheet,
    competition: Competition,
    *,
    server: str,
    account: str,
    submissions: Iterable[KnownSubmission],
) -> str:
    """Why a worksheet is not one of ``competition``'s, in words that call it "it"; empty where it is.

    A worksheet of cldc 0.1.0 carries no mark. It counts as the competition's if the ledger, its own name or the runs on
    it say so, and nothing says otherwise.
    """
    if marks := {tag for tag in worksheet.tags if _MARK.fullmatch(tag)}:
        return "" if marks == {competition_mark(competition)} else "it is for another competition"
    runs = [bundle for bundle in worksheet.bundles if is_own_run(bundle, account)]
    if not all(is_run_of(run, competition) for run in runs):
        return "a run on it is for another competition"
    named = _is_named_for(worksheet, competition, server=server, account=account, submissions=submissions)
    if named is None:
        return "" if runs else "nothing on it says which competition it is for"
    return "" if named else "it is for another competition"


def remaining_item(worksheet: Worksheet, competition: Competition, going: Set[str] = frozenset()) -> str:
    """What keeps a worksheet from being removed, in a few words; the organisers' bundles on it are only links."""
    organisers = {competition.bundles.script.uuid, competition.bundles.label_book.uuid}
    for item in worksheet.items:
        if item.bundle is None:
            return "a text or a link"
        if item.bundle not in organisers and item.bundle not in going:
            return f"the bundle {item.bundle}"
    return ""


def is_own_run(bundle: Bundle, account: str) -> bool:
    """Whether a bundle is a run that cldc started for the account."""
    return (
        bundle.type == "run"
        and bundle.owner == account
        and bundle.description.startswith((SUBMISSION, PREFLIGHT))
    )


def is_run_of(run: Bundle, competition: Competition) -> bool:
    """Whether a run was made from the competition's own script and label book."""
    organisers = {competition.bundles.script.uuid, competition.bundles.label_book.uuid}
    return organisers <= {dependency.parent for dependency in run.dependencies}


def _is_named_for(
    worksheet: Worksheet,
    competition: Competition,
    *,
    server: str,
    account: str,
    submissions: Iterable[KnownSubmission],
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

    known = [s.record for s in submissions if s.uuid("worksheet") == worksheet.uuid]
    if known:
        return all(r.id == identity(r.name, r.dataset_hash, r.server) for r in known)
    datasets = [found for bundle in worksheet.bundles if (found := dataset_hash_of(bundle))]
    if not datasets or not (worksheet.title or "").startswith(TITLE):
        return None
    name = (worksheet.title or "").removeprefix(TITLE)
    return any(worksheet.name == worksheet_name(account, name, identity(name, d, server)) for d in datasets)
