"""Who submits, what a submission's steps work with, and how they find the results of an earlier try on the server.

A submission has its own worksheet, whose name contains the submission's id; there a bundle is identified
by its type, its name and its dependencies. So a client that was killed after the server created a bundle finds
it and creates no second one, even on another machine and without its ledger.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from cldc.bundles.account import ServerAccount
from cldc.bundles.lineage import creation_key
from cldc.bundles.worksheets import own_bundles
from cldc.codalab import Bundle, Rest
from cldc.competition import Competition
from cldc.ledger import KnownSubmission, Ledger, Record, StepRecord
from cldc.submission.model import Plan

# The server knows a submission's time only by its bundle's creation, which must therefore be close to the tag's.
_FRESH = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant(ServerAccount):
    """An account that takes part in a competition, and this machine's ledger of its submissions.

    Attributes:
        anonymous: Reads the server without an account.
        known_tagged: The tagged bundles that were read, by uuid, each once: an account may have thousands.
    """

    anonymous: Rest
    ledger: Ledger
    known_tagged: dict[str, Bundle] = field(default_factory=dict)

    @property
    def submissions(self) -> tuple[KnownSubmission, ...]:
        """Read the account's submissions to the competition from the ledger, oldest first."""
        return tuple(known for known in self.ledger.submissions() if self.owns(known.record))

    def owns(self, record: Record) -> bool:
        """Whether it is the record of a submission of this account to this competition."""
        owner = (self.competition.name, self.rest.server, self.account)
        return (record.competition, record.server, record.account) == owner

    def tagged_bundles(self) -> tuple[Bundle, ...]:
        """Read which of the account's public bundles have the tag now, newest first, with their worksheets."""
        tag = self.competition.submission.tag
        uuids = self.rest.search_uuids(tag=tag, owner=self.account)
        new = self.rest.bundles((u for u in uuids if u not in self.known_tagged), worksheets=True)
        # CodaLab's databases ignore case.
        self.known_tagged.update((bundle.uuid, bundle) for bundle in new if tag in bundle.tags)
        return tuple(self.known_tagged[uuid] for uuid in uuids if uuid in self.known_tagged)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionContext(Contestant):
    """What a submission's steps work with: its contestant and its plan."""

    plan: Plan

    @property
    def record(self) -> Record:
        """The submission's ledger record."""
        return self.plan.record

    @property
    def known(self) -> KnownSubmission:
        """Read the submission's current state from the ledger."""
        return KnownSubmission(self.record, self.ledger.steps(self.record.id))

    def forget(self, *steps: str) -> None:
        """Forget steps whose results no longer hold, so that they run again."""
        self.ledger.forget(self.record.id, steps)

    def note(self, event: str, result: Mapping[str, str]) -> None:
        """Record an event that is not a step."""
        now = self.clock()
        self.ledger.record(self.record.id, StepRecord(event, now, now, result))


def find_own_bundles(context: SubmissionContext, worksheet: str, kind: str, name: str) -> list[Bundle]:
    """Find bundles of that type and name on the submission's worksheet, oldest first."""
    return [b for b in own_bundles(context, worksheet) if (b.type, b.name) == (kind, name)]


def competing_submissions(competition: Competition, tagged: Iterable[Bundle], name: str) -> list[Bundle]:
    """Select the tagged bundles of which, and of a submission of that name, the daemon scores only the newest."""
    by_name = competition.submission.supersedes == "name"
    return [bundle for bundle in tagged if not by_name or bundle.name == name]


def why_outdated(context: SubmissionContext, bundle: Bundle, tagged: Iterable[Bundle]) -> str | None:
    """Explain why the creation time of ``bundle`` would mislead the daemon or the quota; None if it does not.

    Of an account's tagged bundles, or of those of one name, the daemon takes the one *created* last, whenever it was
    tagged; of two created in the same second, the first.
    """
    competing = competing_submissions(context.competition, tagged, context.record.name)
    others = (other for other in competing if other.uuid != bundle.uuid)
    newest = max(others, key=creation_key, default=None)
    if newest is not None and creation_key(bundle)[0] <= creation_key(newest)[0]:
        while context.clock().timestamp() < creation_key(newest)[0] + 1:
            time.sleep(0.2)  # so that the next one is created in a later second
        return f"{newest.name} was made after it and tagged before it"
    if bundle.created is not None and context.clock() - bundle.created > _FRESH:
        return "it was made too long ago"
    return None
