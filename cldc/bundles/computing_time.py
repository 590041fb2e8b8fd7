"""Check the account's remaining computing time on the server against the competition's run times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cldc.bundles.server_account import ServerAccount
from cldc.codalab import User
from cldc.codalab.failures import MORE_TIME
from cldc.errors import QuotaExceeded
from cldc.ledger import KnownSubmission
from cldc.preflight.model import PreflightResult
from cldc.text import duration

# No competition run takes that long, so past runs need not be looked up.
_PLENTY_SECONDS = 86_400.0
_MOST_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class PastRun:
    """A successful run of the competition on the server.

    Attributes:
        seconds: Its run time in seconds.
        images: Number of images of its dataset; 0 if unknown.
        own: Whether the account started it.
    """

    seconds: float
    images: int
    own: bool

    def at_least(self, images: int) -> float:
        """Estimate the least seconds that a run over ``images`` images takes; part of its time does not depend on their number."""
        return self.seconds * (min(1.0, images / self.images) if self.images else 1.0)


def runs_of_submissions(submissions: Iterable[KnownSubmission]) -> Iterator[PastRun]:
    """List the runs of submissions in the ledger."""
    for submission in submissions:
        if submission.run_measure is not None:
            seconds, images = submission.run_measure
            yield PastRun(seconds, images, own=True)


def runs_of_preflights(account: ServerAccount, results: Iterable[PreflightResult]) -> Iterator[PastRun]:
    """List the preflights that ran on the server."""
    competition = account.competition
    wanted = (account.rest.server, competition.name, competition.run.command)
    for result in results:
        mark = result.fingerprint
        if (mark.server, mark.competition, mark.command) == wanted:
            yield PastRun(result.seconds, sum(result.images[s] for s in competition.dataset.splits), own=True)


class TimeLeft(NamedTuple):
    """The account's remaining computing time in words, and whether it may be too little."""

    finding: str
    tight: bool = False


def check_time(account: ServerAccount, user: User, known: Iterable[PastRun], *, images: int) -> TimeLeft:
    """Compare the account's remaining computing time with what a run over ``images`` images takes.

    ``user`` is the account with its remaining time. If no run on this server is ``known``, the public ones are looked up.

    Raises:
        QuotaExceeded: No time is left, or less than any of the account's own runs took; the server would kill the run.
    """
    if user.time_left is None:
        return TimeLeft("the server does not say")
    if user.time_left <= 0:
        raise QuotaExceeded(
            f"The account {user.name} has used up its computing time on {account.rest.server}: "
            f"{duration(user.time_used)} of {duration(user.time_quota or 0.0)}.",
            action=MORE_TIME,
        )
    runs = [run for run in known if run.seconds > 0]
    if not runs and user.time_left < _PLENTY_SECONDS:
        runs = list(_visible_runs(account))
    own = [run for run in runs if run.own]
    least = min((run.at_least(images) for run in own), default=0.0)
    if user.time_left < least:
        raise QuotaExceeded(
            f"The account {user.name} has {duration(user.time_left)} of computing time left on {account.rest.server}; "
            f"going by its earlier runs this one takes at least {duration(least)}, and would be killed.",
            action=MORE_TIME,
        )
    left = f"{duration(user.time_left)} left on the server"
    longest = max((run.seconds for run in own or runs), default=0.0)
    if user.time_left < longest:
        whose = "the account's runs" if own else "other runs of this competition"
        return TimeLeft(f"{left}; {whose} took up to {duration(longest)}", tight=True)
    return TimeLeft(left)


def _visible_runs(account: ServerAccount) -> Iterator[PastRun]:
    """List the newest public runs of the organisers' script."""
    script = account.competition.bundles.script.uuid
    if script is None:
        return
    for bundle in account.rest.search(dependency=script, most=_MOST_LOOKED_AT):
        if bundle.type == "run" and bundle.failure is None and bundle.seconds > 0:
            yield PastRun(bundle.seconds, 0, own=bundle.owner == account.account)
