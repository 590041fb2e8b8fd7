"""Who submits, and what a submission's steps work with: each is recorded in the ledger before it starts and after it ends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, TypeVar

from cldc.bundles.attempts import repeat
from cldc.bundles.server_account import ServerAccount
from cldc.codalab import Bundle, Rest
from cldc.errors import CldcError
from cldc.ledger import KnownSubmission, Ledger, Record, StepRecord
from cldc.submission.model import STEPS, Plan, StepResult

P = ParamSpec("P")
R = TypeVar("R", bound=StepResult)


@dataclass(frozen=True, kw_only=True)
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
        return self.ledger.submissions(
            competition=self.competition.name, server=self.rest.server, account=self.account
        )

    def new_record(
        self,
        name: str,
        dataset_hash: str,
        *,
        dataset: str,
        institution: str = "",
        link: str = "",
        preflight: str | None = None,
        created: datetime | None = None,
    ) -> Record:
        """Describe a submission of the account to the competition, requested now unless it was ``created`` earlier."""
        return Record(
            id=self.submission_id(name, dataset_hash),
            competition=self.competition.name,
            server=self.rest.server,
            account=self.account,
            name=name,
            institution=institution,
            link=link,
            dataset=dataset,
            dataset_hash=dataset_hash,
            preflight=preflight,
            created=created or datetime.now(UTC),
        )

    def tagged_bundles(self) -> tuple[Bundle, ...]:
        """Read which of the account's public bundles have the tag now, newest first, with their worksheets."""
        tag = self.competition.submission.tag
        uuids = self.rest.search_uuids(tag=tag, owner=self.account)
        new = self.rest.bundles((u for u in uuids if u not in self.known_tagged), worksheets=True)
        # CodaLab's databases ignore case.
        self.known_tagged.update((uuid, bundle) for uuid, bundle in new.items() if tag in bundle.tags)
        return tuple(self.known_tagged[uuid] for uuid in uuids if uuid in self.known_tagged)

    def competing_submissions(self, tagged: Iterable[Bundle], name: str) -> list[Bundle]:
        """Select the tagged bundles of which, and of a submission of that name, the daemon scores only the newest."""
        by_name = self.competition.submission.supersedes == "name"
        return [bundle for bundle in tagged if not by_name or bundle.name == name]


@dataclass(frozen=True, kw_only=True)
class SubmissionContext(Contestant):
    """The context of a submission's steps: its contestant and its plan.

    Attributes:
        begun: Names of the steps that an earlier attempt, in this call or another, began without finishing them.
    """

    plan: Plan
    begun: set[str] = field(default_factory=set)

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


_Step = Callable[Concatenate[SubmissionContext, P], R]


def step(name: str, result: type[R]) -> Callable[[_Step[P, R]], _Step[P, R]]:
    """Make a function a step: the ledger gives its result if it is done, and otherwise records its start and its end.

    The function finds what an earlier attempt left on the server, so it is called again after a failure of the network.
    """

    def as_step(function: _Step[P, R]) -> _Step[P, R]:
        @functools.wraps(function)
        def do(context: SubmissionContext, /, *args: P.args, **kwargs: P.kwargs) -> R:
            known = context.known
            if (done := known.finished(name)) is not None:
                return result.from_ledger(done.result)
            if name in known.steps:
                context.begun.add(name)
            context.observer.start(STEPS[name])

            def attempt() -> R:
                context.ledger.begin(context.record.id, name, now=context.clock())
                return function(context, *args, **kwargs)

            def broken_off(error: CldcError) -> None:
                context.begun.add(name)
                context.observer.note(f"{error.message.splitlines()[0]} Trying again.")

            made = repeat(attempt, on_failure=broken_off)
            context.ledger.finish(context.record.id, name, made.to_ledger(), now=context.clock())
            return made

        return do

    return as_step
