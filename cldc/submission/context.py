"""What the steps of a submission work with, and how they find what an earlier try left on the server.

Everything of a submission is on a worksheet of its own, whose name holds the submission's id; there a bundle is known
by its type, its name and what it was made from. So a client that was killed after the server did its bidding finds
that bundle and makes no second one, on another machine and without its ledger too.
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

# The server knows a submission's time only by when its bundle was made, so that must be about when it is tagged.
_FRESH = timedelta(hours=1)


class PredictionsOutdated(Exception):
    """The predictions bundle is one that the daemon would pass over: a new one has to be made from the run."""


class RunLostDependency(Exception):
    """A worker lost what the run depends on: the run has to be made once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionContext(ServerAccount):
    """What the steps of a submission work with.

    Attributes:
        plan: What is to be done.
        report: The validated dataset.
        labels: What the run's predictions have to fit.
        anonymous: Reads the server as everyone.
    """

    plan: Plan
    report: ValidationReport
    labels: ExpectedLabels
    anonymous: Rest
    ledger: Ledger

    @property
    def record(self) -> Record:
        """The submission as the ledger keeps it."""
        return self.plan.record

    @property
    def known(self) -> KnownSubmission:
        """What the ledger knows of the submission now."""
        return KnownSubmission(self.record, self.ledger.steps(self.record.id))

    @property
    def own_submissions(self) -> tuple[KnownSubmission, ...]:
        """What the ledger knows now of all the account's submissions to the competition."""
        record = self.record
        return self.ledger.submissions(
            competition=record.competition, server=record.server, account=record.account
        )


def tag_lock(
    home: Path, competition: Competition, server: str, account: str, observer: Observer
) -> contextlib.AbstractContextManager[None]:
    """Held while the account's tag is set or what might carry it is removed, so that this machine does one at a time.

    Raises:
        LockTimeout: Another process held it all the time.
    """
    key = files.hash_bytes(f"{server}\n{account}\n{competition.submission.tag}")[:16]
    return files.lock(home / "locks" / f"tag-{key}.lock", purpose="setting a tag", observer=observer)


def find_own_bundles(context: SubmissionContext, worksheet: str, kind: str, name: str) -> list[Bundle]:
    """Bundles of that type and name on the submission's worksheet, oldest first."""
    return [b for b in own_bundles(context, worksheet) if (b.type, b.name) == (kind, name)]


def competing_submissions(context: SubmissionContext, tagged: Iterable[Bundle]) -> list[Bundle]:
    """Those of the account's tagged bundles among which the daemon takes only the newest."""
    by_name = context.competition.submission.supersedes == "name"
    return [bundle for bundle in tagged if not by_name or bundle.name == context.record.name]


def why_outdated(context: SubmissionContext, bundle: Bundle, competing: Iterable[Bundle]) -> str | None:
    """Why the daemon or the quota would be misled by when ``bundle`` was made; None where it is fine.

    Of an account's tagged bundles, or of those of one name, the daemon takes the one *made* last, whenever it was
    tagged; of two made in the same second, the first.
    """
    newest = max((other for other in competing if other.uuid != bundle.uuid), key=creation_key, default=None)
    if newest is not None and creation_key(bundle)[0] <= creation_key(newest)[0]:
        while context.clock().timestamp() < creation_key(newest)[0] + 1:
            time.sleep(0.2)  # so that the next one is made in a later second
        return f"{newest.name} was made after it and tagged before it"
    if bundle.created is not None and context.clock() - bundle.created > _FRESH:
        return "it was made too long ago"
    return None
