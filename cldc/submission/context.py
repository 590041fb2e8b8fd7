"""The context of a submission's steps, and how they find the results of an earlier try on the server.

A submission has its own worksheet, whose name contains the submission's id; there a bundle is identified
by its type, its name and its dependencies. So a client that was killed after the server created a bundle finds
it and creates no second one, even on another machine and without its ledger.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cldc import files
from cldc.bundles.account import ServerAccount
from cldc.bundles.lineage import creation_key
from cldc.bundles.worksheets import own_bundles
from cldc.codalab import Bundle, Rest
from cldc.competition import Competition
from cldc.ledger import KnownSubmission, Ledger, Record
from cldc.preflight.predictions import ExpectedLabels
from cldc.progress import Observer
from cldc.submission.model import Plan
from cldc.validation import ValidationReport

# The server knows a submission's time only by its bundle's creation, which must therefore be close to the tag's.
_FRESH = timedelta(hours=1)


class PredictionsOutdated(Exception):
    """The daemon would skip the predictions bundle: a new one must be created from the run."""


class RunLostDependency(Exception):
    """A worker lost a dependency of the run: the run must be started once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionContext(ServerAccount):
    """The context of a submission's steps.

    Attributes:
        plan: The plan.
        report: The validated dataset.
        labels: The labels that the run's predictions must fit.
        anonymous: Reads the server without an account.
    """

    plan: Plan
    report: ValidationReport
    labels: ExpectedLabels
    anonymous: Rest
    ledger: Ledger

    @property
    def record(self) -> Record:
        """The submission's ledger record."""
        return self.plan.record

    @property
    def known(self) -> KnownSubmission:
        """Read the submission's current state from the ledger."""
        return KnownSubmission(self.record, self.ledger.steps(self.record.id))

    @property
    def own_submissions(self) -> tuple[KnownSubmission, ...]:
        """Read the current state of all the account's submissions to the competition from the ledger."""
        record = self.record
        return self.ledger.submissions(
            competition=record.competition, server=record.server, account=record.account
        )


def tag_lock(
    home: Path, competition: Competition, server: str, account: str, observer: Observer
) -> contextlib.AbstractContextManager[None]:
    """Hold the lock for setting the account's tag or removing bundles that might have it, one process at a time.

    Raises:
        LockTimeout: Another process kept the lock.
    """
    key = files.hash_bytes(f"{server}\n{account}\n{competition.submission.tag}")[:16]
    return files.lock(home / "locks" / f"tag-{key}.lock", purpose="setting a tag", observer=observer)


def find_own_bundles(context: SubmissionContext, worksheet: str, kind: str, name: str) -> list[Bundle]:
    """Find bundles of that type and name on the submission's worksheet, oldest first."""
    return [b for b in own_bundles(context, worksheet) if (b.type, b.name) == (kind, name)]


def competing_submissions(context: SubmissionContext, tagged: Iterable[Bundle]) -> list[Bundle]:
    """The account's tagged bundles of which the daemon scores only the newest."""
    by_name = context.competition.submission.supersedes == "name"
    return [bundle for bundle in tagged if not by_name or bundle.name == context.record.name]


def why_outdated(context: SubmissionContext, bundle: Bundle, competing: Iterable[Bundle]) -> str | None:
    """Explain why the creation time of ``bundle`` would mislead the daemon or the quota; None if it does not.

    Of an account's tagged bundles, or of those of one name, the daemon takes the one *created* last, whenever it was
    tagged; of two created in the same second, the first.
    """
    newest = max((other for other in competing if other.uuid != bundle.uuid), key=creation_key, default=None)
    if newest is not None and creation_key(bundle)[0] <= creation_key(newest)[0]:
        while context.clock().timestamp() < creation_key(newest)[0] + 1:
            time.sleep(0.2)  # so that the next one is created in a later second
        return f"{newest.name} was made after it and tagged before it"
    if bundle.created is not None and context.clock() - bundle.created > _FRESH:
        return "it was made too long ago"
    return None
