"""Taking back: the tag off a submission, and what was left on the server off it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cldc.codalab import wait_for
from cldc.errors import CodaLabError, UsageError
from cldc.ledger import Ledger, Record
from cldc.submission.model import own_sheets, preflight_sheets
from cldc.submission.places import TAG, WITHDRAW, record_withdrawal, standing
from cldc.submission.work import machine

if TYPE_CHECKING:
    from pathlib import Path

    from cldc.codalab import Bundle, CodaLab, Rest, Worksheet
    from cldc.competition import Competition
    from cldc.leaderboard import Leaderboard
    from cldc.quota import Quota

_ABANDONED = timedelta(hours=1)
# Bundles of one worksheet are removed in this order, those that are made from others first.
_ORDER = ("make", "run", "dataset")
_AT_WORK = frozenset({"starting", "preparing", "running", "finalizing"})
_END_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A submission without its tag.

    Attributes:
        spent: Whether its place of the quota stays spent; ``why`` says so.
    """

    name: str
    bundle: str
    spent: bool
    why: str
    quota: Quota


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something on the server that no submission needs."""

    kind: Literal["bundle", "worksheet"]
    uuid: str
    name: str
    why: str
    type: str = ""


def tagged_record(ledger: Ledger, competition: Competition, server: str, account: str, name: str) -> Record:
    """The one submission that carries the tag and has that name, or whose tagged bundle has that uuid.

    Raises:
        UsageError: There is none, or more than one.
    """
    found = []
    for record in ledger.records():
        steps = ledger.steps(record.id)
        mine = (record.competition, record.server, record.account) == (competition.name, server, account)
        done = {step: r.result for step, r in steps.items() if r.finished is not None}
        if mine and TAG in done and WITHDRAW not in done and name in (record.name, done[TAG]["uuid"]):
            found.append(record)
    if len(found) != 1:
        raise UsageError(
            f"{'No submission' if not found else f'{len(found)} submissions'} named {name!r} "
            f"{'carries' if not found else 'carry'} the tag.",
            action="`cldc status --format json` shows names and bundles; a bundle's uuid names one too.",
        )
    return found[0]


def withdraw(
    record: Record,
    *,
    competition: Competition,
    codalab: CodaLab,
    anonymous: Rest,
    ledger: Ledger,
    board: Leaderboard | None,
    now: datetime,
) -> Withdrawn:
    """Take the tag off; harmless where it is off already.

    The daemon counts what it has evaluated, tagged or not. So a place is given back only where the board can be read
    and does not have it; it may have been taken since the board was written, so that the rule is the guide's alone.

    Raises:
        CodaLabError: The server still shows the tag.
    """
    tag, uuid = competition.submission.tag, ledger.steps(record.id)[TAG].result["uuid"]
    if codalab.rest.exists(uuid):  # else it went with its tag
        codalab.untag(uuid, tag)
        if tag in anonymous.bundle(uuid).tags:
            raise CodaLabError(f"The server still shows the tag on {uuid}.", action="Run the command again.")
    spent, why = record_withdrawal(ledger, record.id, uuid, board=board, now=now)
    return Withdrawn(
        record.name, uuid, spent, why, standing(competition, codalab.rest, ledger, record.account, now=now)
    )


def leftovers(
    competition: Competition,
    rest: Rest,
    account: str,
    *,
    home: Path,
    now: datetime,
    unfinished: bool = False,
) -> tuple[Leftover, ...]:
    """What is on the account's own worksheets that cldc made and serves no submission.

    Args:
        unfinished: Also all of the submissions that never got the tag, and of preflights on the server.
    """
    prefix, tag = own_sheets(account), competition.submission.tag
    sheets = [
        rest.worksheet(sheet.uuid, bundles=True)
        for sheet in rest.own_worksheets()
        if sheet.name.startswith(prefix)
    ]
    # As they stand on the worksheets: a search would not show what somebody made private.
    needed = {bundle.uuid for sheet in sheets for bundle in sheet.bundles if tag in bundle.tags}
    # A submission may be made from what a preflight uploaded, on another worksheet.
    kept = _ancestors([bundle for sheet in sheets for bundle in sheet.bundles], needed)
    found = (
        leftover
        for sheet in sheets
        for leftover in _on_worksheet(
            sheet, needed, kept, account, machine=machine(home), now=now, unfinished=unfinished
        )
    )
    return tuple({leftover.uuid: leftover for leftover in found}.values())


def _on_worksheet(
    sheet: Worksheet,
    tagged_uuids: set[str],
    kept: set[str],
    account: str,
    *,
    machine: str,
    now: datetime,
    unfinished: bool,
) -> Iterator[Leftover]:
    own = [bundle for bundle in sheet.bundles if bundle.owner == account]
    submitted = any(bundle.uuid in tagged_uuids for bundle in own)
    for_preflight = sheet.name.startswith(preflight_sheets(account))
    for bundle in sorted(own, key=lambda b: _ORDER.index(b.type) if b.type in _ORDER else 0):
        if bundle.uuid in kept:
            continue
        why = _useless(bundle, submitted, machine=machine, now=now)
        if not why and not submitted and unfinished:
            why = "a preflight was made with it" if for_preflight else "its submission was never tagged"
        if why:
            yield Leftover("bundle", bundle.uuid, bundle.name, why, bundle.type)
    if not submitted and (unfinished or not own):
        yield Leftover(
            "worksheet",
            sheet.uuid,
            sheet.name,
            "nothing of a submission is on it" if not own else "it is abandoned",
        )


def _ancestors(bundles: Sequence[Bundle], uuids: set[str]) -> set[str]:
    """Those of ``bundles`` that are in ``uuids``, and what they are made from."""
    by_uuid = {bundle.uuid: bundle for bundle in bundles}
    kept: set[str] = set()
    waiting = [uuid for uuid in uuids if uuid in by_uuid]
    while waiting:
        uuid = waiting.pop()
        kept.add(uuid)
        waiting += [
            d.parent for d in by_uuid[uuid].dependencies if d.parent in by_uuid and d.parent not in kept
        ]
    return kept


def _useless(bundle: Bundle, submitted: bool, *, machine: str, now: datetime) -> str:
    if bundle.final and bundle.failure is not None:
        return f"it is {bundle.state}"
    if submitted:
        return "the submission was made without it"
    old = bundle.created is not None and now - bundle.created > _ABANDONED
    if bundle.type == "dataset" and not bundle.final and (old or bundle.description.endswith(machine)):
        return "its upload broke off"
    return ""


def remove(codalab: CodaLab, found: Sequence[Leftover]) -> None:
    """Remove it for ever, what is made from others first."""
    _end(codalab, [item.uuid for item in found if item.type == "run"])
    _leave_one_place(codalab, found)
    for kind in _ORDER:
        codalab.cl.remove(*(item.uuid for item in found if item.kind == "bundle" and item.type == kind))
    for item in found:
        if item.kind == "worksheet":
            codalab.cl.remove_worksheet(item.uuid, force=True)


def _leave_one_place(codalab: CodaLab, found: Sequence[Leftover]) -> None:
    """CodaLab removes no bundle that is on two worksheets, as one that a submission took over from a preflight is."""
    abandoned = {item.uuid for item in found if item.kind == "worksheet"}
    for item in found:
        if item.type == "dataset":
            places = codalab.rest.bundle(item.uuid, worksheets=True).worksheets
            for sheet in sorted(abandoned.intersection(places))[1:]:
                codalab.cl.detach(sheet, item.uuid)


def _end(codalab: CodaLab, runs: Sequence[str]) -> None:
    """CodaLab removes no run that a worker is at."""
    at_work = [bundle.uuid for bundle in codalab.rest.bundles(runs) if bundle.state in _AT_WORK]
    codalab.cl.kill(*at_work)
    for uuid in at_work:
        wait_for(codalab.rest, uuid, timeout_seconds=_END_SECONDS)
