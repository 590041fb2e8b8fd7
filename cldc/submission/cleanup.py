"""Remove orphans: bundles and worksheets of cldc for one competition that no submission, of any competition, needs.

Leaderboards depend on the ancestors of submissions, and an account may take part in several competitions
and create bundles by hand. So only what cldc created for this competition is offered, except what anything else needs (see
`usage`). Both are checked on the server again right before each removal, since other machines and the
scoring daemon keep working meanwhile. Each removal leaves the rest intact, so it can be interrupted at any point.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cldc.bundles.lineage import lineage
from cldc.bundles.uploads import dataset_hash_of, machine_id
from cldc.bundles.usage import Usage
from cldc.bundles.worksheets import (
    SUBMISSION,
    competition_mark,
    is_own_run,
    is_run_of,
    preflight_prefix,
    read_own_worksheets,
    remaining_item,
    why_foreign,
    worksheet_prefix,
)
from cldc.codalab import Bundle, CodaLab, Rest, Worksheet, wait_for
from cldc.codalab.failures import NotFound
from cldc.competition import Competition
from cldc.errors import CodaLabError, NotFinished
from cldc.ledger import Ledger
from cldc.progress import SILENT, Observer
from cldc.submission.context import tag_lock

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


def find_orphans(
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    account: str,
    *,
    home: Path,
    now: datetime,
    unfinished: bool = False,
    observer: Observer = SILENT,
) -> Orphans:
    """Find what cldc created for ``competition`` that serves no submission, dependents first.

    Args:
        unfinished: Include bundles of submissions that never got the tag, and of preflights on the server.
        observer: Receives progress while each worksheet is read.
    """
    every, submissions = read_own_worksheets(rest, account, observer), ledger.submissions()
    left_alone, mine = [], []
    for worksheet in every:
        why = why_foreign(
            worksheet, competition, server=rest.server, account=account, submissions=submissions
        )
        if why:
            left_alone.append(Kept("worksheet", worksheet.uuid, worksheet.name, why))
        else:
            mine.append(worksheet)
    usage = Usage(rest, account)
    submitted = _submitted(every, usage)
    useless = _Useless(competition, account, submitted, machine_id(home), now, unfinished)
    candidates = {orphan.uuid: orphan for worksheet in mine for orphan in useless.bundles(worksheet)}
    found = _unneeded(candidates, usage, {worksheet.uuid for worksheet in mine})
    ordered = sorted(found.values(), key=lambda orphan: _ORDER.index(orphan.type))
    worksheets = (orphan for worksheet in mine for orphan in useless.worksheet(worksheet, found.keys()))
    return Orphans((*ordered, *worksheets), tuple(left_alone))


def _submitted(worksheets: Sequence[Worksheet], usage: Usage) -> set[str]:
    """Uuids of tagged or evaluated bundles, and of all their ancestors on these worksheets."""
    bundles = {bundle.uuid: bundle for worksheet in worksheets for bundle in worksheet.bundles}
    entries = [uuid for uuid, bundle in bundles.items() if bundle.tags or uuid in usage.evaluations]
    return {bundle.uuid for bundle in lineage(entries, bundles.get)}


@dataclass(frozen=True, slots=True)
class _Useless:
    """Candidates for removal on a worksheet of the competition, before checking whether something else needs them."""

    competition: Competition
    account: str
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
                preflight = worksheet.name.startswith(preflight_prefix(self.account))
                why = "a preflight was made with it" if preflight else "its submission does not carry the tag"
            if why:
                running = bundle.type == "run" and bundle.state in _RUNNING
                yield Orphan("bundle", bundle.uuid, bundle.name, why, bundle.type, bundle.state, running)

    def worksheet(self, worksheet: Worksheet, going: Set[str]) -> Iterator[Orphan]:
        """The worksheet itself, if only the organisers' bundles stay on it."""
        own = [bundle for bundle in worksheet.bundles if bundle.owner == self.account]
        if (self.unfinished or not own) and not remaining_item(worksheet, self.competition, going):
            why = "it is abandoned" if own else "nothing of a submission is on it"
            yield Orphan("worksheet", worksheet.uuid, worksheet.name, why)

    def _is_ours(self, bundle: Bundle, on_worksheet: Mapping[str, Bundle], worksheet: Worksheet) -> bool:
        """Whether cldc created a bundle for this competition; bundles that a user added belong to the user."""
        if bundle.owner != self.account:
            return False
        if bundle.type == "dataset":
            return dataset_hash_of(bundle) is not None
        if bundle.type == "run":
            return is_own_run(bundle, self.account) and is_run_of(bundle, self.competition)
        parents = [on_worksheet.get(dependency.parent) for dependency in bundle.dependencies]
        named = worksheet.name.startswith(f"{worksheet_prefix(self.account)}{bundle.name}-")
        return (
            bundle.type == "make"
            and (named or bundle.description.startswith(SUBMISSION))
            and all(p and is_own_run(p, self.account) and is_run_of(p, self.competition) for p in parents)
        )

    def _why(self, bundle: Bundle, has_submission: bool) -> str:
        if bundle.final and bundle.failure is not None:
            return f"it is {bundle.state}"
        if has_submission:
            return "the submission was made without it"
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
            return bool(usage.why_needed(uuid, going=found.keys(), worksheets=worksheets))
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
    """The result of `remove`: what was removed, and what has come into use since it was found or was refused."""

    gone: tuple[Orphan, ...]
    kept: tuple[Kept, ...]


@dataclass(frozen=True, slots=True)
class Remover:
    """Removes orphans of one account and competition, each only if nothing needs it at that moment.

    Attributes:
        home: The data folder, where this machine's commands wait for each other.
    """

    competition: Competition
    codalab: CodaLab
    ledger: Ledger
    account: str
    home: Path
    observer: Observer = SILENT

    def remove(self, found: Sequence[Orphan]) -> Removed:
        """Remove orphans permanently, in the order of `find_orphans`.

        Raises:
            Unreachable: The server became unreachable; earlier removals remain, and nothing else is touched.
        """
        gone, kept = [], []
        for orphan in found:
            if orphan.kind == "worksheet":
                with contextlib.suppress(NotFound):
                    self._mark(orphan.uuid)
        self.observer.start("Removing", len(found), "things")
        for number, orphan in enumerate(found):
            self.observer.advance(number, orphan.name)
            try:
                why = self._bundle(orphan) if orphan.kind == "bundle" else self._worksheet(orphan)
            except NotFound:  # someone else removed it
                why = ""
            except (CodaLabError, NotFinished) as error:
                why = error.message
            if why:
                kept.append(Kept(orphan.kind, orphan.uuid, orphan.name, why))
            else:
                gone.append(orphan)
        return Removed(tuple(gone), tuple(kept))

    def _mark(self, uuid: str) -> None:
        """Mark a worksheet with its competition while its content still identifies it."""
        worksheet, mark = self.codalab.rest.worksheet(uuid, bundles=True), competition_mark(self.competition)
        if mark not in worksheet.tags and not self._why_foreign(worksheet):
            self.codalab.cl.edit_worksheet(uuid, tags=(*worksheet.tags, mark))

    def _why_foreign(self, worksheet: Worksheet) -> str:
        server = self.codalab.rest.server
        return why_foreign(
            worksheet,
            self.competition,
            server=server,
            account=self.account,
            submissions=self.ledger.submissions(),
        )

    def _bundle(self, orphan: Orphan) -> str:
        """Remove a bundle, or return why it stays."""
        if why := self._why_needed(orphan):
            return why
        self._end(orphan.uuid)
        with tag_lock(self.home, self.competition, self.codalab.rest.server, self.account, self.observer):
            # Another machine may be about to tag it. After tagging, that machine checks that the tag is public, so
            # it does not count a bundle as submitted that was hidden before.
            hidden = orphan.type == "make" and bool(self.codalab.rest.bundle(orphan.uuid).public_permission)
            if hidden:
                self.codalab.cl.set_private([orphan.uuid])
            if why := self._why_needed(orphan):
                if hidden:
                    self.codalab.cl.set_public([orphan.uuid])
                return why
            # CodaLab removes no bundle on two worksheets, such as one that a submission shares with a preflight.
            for worksheet in sorted(self.codalab.rest.bundle(orphan.uuid, worksheets=True).worksheets)[1:]:
                self.codalab.cl.detach(worksheet, orphan.uuid)
            self.codalab.cl.remove(orphan.uuid)  # CodaLab refuses this if another bundle depends on it by now
        return ""

    def _why_needed(self, orphan: Orphan) -> str:
        usage = Usage(self.codalab.rest, self.account)
        return usage.why_needed(orphan.uuid, worksheets=set(orphan.worksheets))

    def _end(self, uuid: str) -> None:
        """Kill a run in progress, which CodaLab would not remove.

        Raises:
            NotFinished: The worker did not stop it in time.
        """
        if self.codalab.rest.bundle(uuid).state in _RUNNING:
            self.codalab.cl.kill(uuid)
            wait_for(self.codalab.rest, uuid, timeout_seconds=_END_SECONDS)

    def _worksheet(self, orphan: Orphan) -> str:
        """Remove a worksheet, keeping the organisers' linked bundles, or return why it stays."""
        worksheet = self.codalab.rest.worksheet(orphan.uuid, bundles=True)
        why = self._why_foreign(worksheet)
        if not why and (stays := remaining_item(worksheet, self.competition)):
            why = f"{stays} is on it"
        if not why:
            self.codalab.cl.remove_worksheet(orphan.uuid, force=True)
        return why
