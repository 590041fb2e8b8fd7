"""Remove orphans: what cldc created for one competition and no submission to any competition needs.

Leaderboards depend on the ancestors of submissions, and an account may take part in several competitions
and create bundles by hand. So `find_orphans` lists only what cldc created for this competition, without what anything else
needs (see `dependents`). Both are checked on the server again right before each removal, since other machines and the
scoring daemon keep working during the removal. Each removal leaves the rest intact, so it can be interrupted at any point.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from cldc.bundles.dependents import Usage, lineage
from cldc.bundles.uploads import dataset_hash_of, machine_id
from cldc.bundles.worksheets import (
    SUBMISSION,
    competition_mark,
    is_own_run,
    is_run_of,
    preflight_prefix,
    read_each,
    remaining_item,
    why_foreign,
    worksheet_prefix,
)
from cldc.codalab import Bundle, Worksheet, wait_for
from cldc.codalab.failures import NotFound
from cldc.errors import CodaLabError, NotFinished
from cldc.submission.context import Contestant

_ABANDONED = timedelta(hours=1)
# Order of removal: dependents before their dependencies.
_ORDER = ("make", "run", "dataset")
# CodaLab refuses to remove bundles in these states.
_RUNNING = frozenset({"starting", "preparing", "running", "finalizing"})
_END_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something on the server that no submission needs.

    Attributes:
        why: The reason why it is not needed.
        type: A bundle's type; ``state`` is CodaLab's name of its state.
        running: Whether it is a run in progress on a worker, which must be killed before the removal.
        worksheets: Uuids of the worksheets with the bundle.
    """

    kind: Literal["bundle", "worksheet"]
    uuid: str
    name: str
    why: str
    type: str = ""
    state: str = ""
    running: bool = False
    worksheets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that cldc created and that stays on the server, and why."""

    kind: Literal["bundle", "worksheet"]
    uuid: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Orphans:
    """Removable orphans, and the skipped worksheets of other competitions."""

    found: tuple[Orphan, ...]
    left_alone: tuple[Kept, ...]


# Finding them -------------------------------------------------------------------------------------------------


def find_orphans(contestant: Contestant, *, unfinished: bool = False) -> Orphans:
    """Find what cldc created for the competition that serves no submission, dependents first.

    ``unfinished`` includes bundles of submissions that never got the tag, and of preflights on the server.
    """
    own = contestant.rest.own_worksheets(prefix=worksheet_prefix(contestant.account))
    created = read_each(contestant, own)
    submissions = contestant.ledger.submissions()
    left_alone, mine = [], []
    for worksheet in created:
        if why := why_foreign(contestant, worksheet, submissions):
            left_alone.append(Kept("worksheet", worksheet.uuid, worksheet.name, why))
        else:
            mine.append(worksheet)
    contestant.observer.start("Looking for evaluations")
    usage = Usage(contestant)
    submitted = _submitted(created, usage)
    finder = _Finder(contestant, submitted, machine_id(contestant.home), contestant.clock(), unfinished)
    contestant.observer.start("Looking for what needs the rest")
    candidates = {orphan.uuid: orphan for worksheet in mine for orphan in finder.bundles(worksheet)}
    found = _unneeded(candidates, usage, {worksheet.uuid for worksheet in mine})
    ordered = sorted(found.values(), key=lambda orphan: _ORDER.index(orphan.type))
    worksheets = (orphan for worksheet in mine for orphan in finder.worksheet(worksheet, found.keys()))
    return Orphans((*ordered, *worksheets), tuple(left_alone))


def _submitted(worksheets: Sequence[Worksheet], usage: Usage) -> set[str]:
    """List the uuids of tagged or evaluated bundles, and of all their ancestors on these worksheets."""
    bundles = {bundle.uuid: bundle for worksheet in worksheets for bundle in worksheet.bundles}
    entries = [uuid for uuid, bundle in bundles.items() if bundle.tags or uuid in usage.evaluations]
    return {bundle.uuid for bundle in lineage(entries, bundles.get)}


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds candidates for removal on a worksheet, whether or not something else needs them."""

    contestant: Contestant
    submitted: Set[str]
    machine: str
    now: datetime
    unfinished: bool

    def bundles(self, worksheet: Worksheet) -> Iterator[Orphan]:
        """Find cldc's bundles that serve no purpose."""
        by_uuid = {bundle.uuid: bundle for bundle in worksheet.bundles}
        has_submission = not self.submitted.isdisjoint(by_uuid)
        for bundle in by_uuid.values():
            if bundle.uuid in self.submitted or not self._is_ours(bundle, by_uuid, worksheet):
                continue
            why = self._why(bundle, has_submission)
            if not why and not has_submission and self.unfinished:
                preflight = worksheet.name.startswith(preflight_prefix(self.contestant.account))
                why = "a preflight used it" if preflight else "its submission does not carry the tag"
            if why:
                running = bundle.type == "run" and bundle.state in _RUNNING
                yield Orphan("bundle", bundle.uuid, bundle.name, why, bundle.type, bundle.state, running)

    def worksheet(self, worksheet: Worksheet, removing: Set[str]) -> Iterator[Orphan]:
        """Yield the worksheet itself, if only the organisers' bundles stay on it."""
        contestant = self.contestant
        own = [bundle for bundle in worksheet.bundles if bundle.owner == contestant.account]
        if (self.unfinished or not own) and not remaining_item(worksheet, contestant.competition, removing):
            why = "it is abandoned" if own else "nothing of a submission is on it"
            yield Orphan("worksheet", worksheet.uuid, worksheet.name, why)

    def _is_ours(self, bundle: Bundle, on_worksheet: Mapping[str, Bundle], worksheet: Worksheet) -> bool:
        """Check whether cldc created a bundle for this competition; bundles that a user added belong to the user."""
        account = self.contestant.account

        def is_run(run: Bundle | None) -> bool:
            return bool(run and is_own_run(run, account) and is_run_of(run, self.contestant.competition))

        if bundle.owner != account:
            return False
        if bundle.type == "dataset":
            return dataset_hash_of(bundle) is not None
        if bundle.type == "run":
            return is_run(bundle)
        named = worksheet.name.startswith(f"{worksheet_prefix(account)}{bundle.name}-")
        return (
            bundle.type == "make"
            and (named or bundle.description.startswith(SUBMISSION))
            and all(is_run(on_worksheet.get(dependency.parent)) for dependency in bundle.dependencies)
        )

    def _why(self, bundle: Bundle, has_submission: bool) -> str:
        if bundle.failed:
            return f"it is {bundle.state}"
        if has_submission:
            return "the submission does not depend on it"
        old = bundle.created is not None and self.now - bundle.created > _ABANDONED
        if (
            bundle.type == "dataset"
            and not bundle.final
            and (old or bundle.description.endswith(self.machine))
        ):
            return "its upload broke off"
        return ""


def _unneeded(candidates: Mapping[str, Orphan], usage: Usage, worksheets: Set[str]) -> dict[str, Orphan]:
    """Select the candidates that only other candidates need."""

    def is_needed(uuid: str) -> bool:
        try:
            return bool(usage.why_needed(uuid, removing=found.keys(), worksheets=worksheets))
        except NotFound:  # removed just now
            return True

    found = dict(candidates)
    while needed := [uuid for uuid in found if is_needed(uuid)]:
        for uuid in needed:
            del found[uuid]
    return {uuid: replace(orphan, worksheets=usage.worksheets(uuid)) for uuid, orphan in found.items()}


# Removing them ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Removed:
    """The result of `remove_orphans`: what was removed, and what came into use since it was found or was refused."""

    gone: tuple[Orphan, ...]
    kept: tuple[Kept, ...]


def remove_orphans(contestant: Contestant, found: Sequence[Orphan]) -> Removed:
    """Remove orphans permanently, in the order of `find_orphans`, each only if nothing needs it at that moment.

    Raises:
        Unreachable: The server became unreachable; earlier removals remain, and nothing else is touched.
    """
    gone, kept = [], []
    for orphan in found:
        if orphan.kind == "worksheet":
            with contextlib.suppress(NotFound):
                _mark(contestant, orphan.uuid)
    contestant.observer.start("Removing", len(found), "items")
    for number, orphan in enumerate(found):
        contestant.observer.advance(number, orphan.name)
        remove = _remove_bundle if orphan.kind == "bundle" else _remove_worksheet
        try:
            why = remove(contestant, orphan)
        except NotFound:  # someone else removed it
            why = ""
        except (CodaLabError, NotFinished) as error:
            why = error.message
        if why:
            kept.append(Kept(orphan.kind, orphan.uuid, orphan.name, why))
        else:
            gone.append(orphan)
    return Removed(tuple(gone), tuple(kept))


def _mark(contestant: Contestant, uuid: str) -> None:
    """Mark a worksheet with its competition while its content still identifies it."""
    worksheet, mark = contestant.rest.worksheet(uuid, bundles=True), competition_mark(contestant.competition)
    if mark not in worksheet.tags and not why_foreign(contestant, worksheet, contestant.ledger.submissions()):
        contestant.cl.edit_worksheet(uuid, tags=(*worksheet.tags, mark))


def _remove_bundle(contestant: Contestant, orphan: Orphan) -> str:
    """Remove a bundle, or return why it stays."""
    rest, cl, uuid = contestant.rest, contestant.cl, orphan.uuid
    if why := _why_needed(contestant, orphan):
        return why
    if rest.bundle(uuid).state in _RUNNING:  # CodaLab would not remove it
        cl.kill(uuid)
        wait_for(rest, uuid, timeout_seconds=_END_SECONDS)
    with contestant.tag_lock():
        # Another machine may be about to tag it. After tagging, that machine checks that the tag is public, so
        # it does not count a bundle as submitted that was hidden before.
        hidden = orphan.type == "make" and bool(rest.bundle(uuid).public_permission)
        if hidden:
            rest.share("bundle", uuid, public=False)
        if why := _why_needed(contestant, orphan):
            if hidden:
                rest.share("bundle", uuid, public=True)
            return why
        # CodaLab removes no bundle on two worksheets, such as one that a submission shares with a preflight.
        for worksheet in sorted(rest.bundle(uuid, worksheets=True).worksheets)[1:]:
            cl.detach(worksheet, uuid)
        cl.remove(uuid)  # CodaLab refuses this if another bundle depends on it by now
    return ""


def _why_needed(contestant: Contestant, orphan: Orphan) -> str:
    """Ask the server again why a bundle is needed."""
    return Usage(contestant).why_needed(orphan.uuid, worksheets=set(orphan.worksheets))


def _remove_worksheet(contestant: Contestant, orphan: Orphan) -> str:
    """Remove a worksheet, keeping the organisers' linked bundles, or return why it stays."""
    worksheet = contestant.rest.worksheet(orphan.uuid, bundles=True)
    if why := why_foreign(contestant, worksheet, contestant.ledger.submissions()):
        return why
    if stays := remaining_item(worksheet, contestant.competition):
        return f"{stays} is on it"
    contestant.cl.remove_worksheet(orphan.uuid, force=True)
    return ""
