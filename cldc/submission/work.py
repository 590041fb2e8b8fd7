"""What the steps of a submission work with, and how they find what an earlier try left on the server.

Everything of a submission is on a worksheet of its own, whose name holds the submission's id; there a bundle is known
by its type, its name and what it was made from. So a client that was killed after the server did its bidding finds
that bundle and makes no second one, on another machine and without its ledger too.
"""

from __future__ import annotations

import contextlib
import getpass
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cldc import files
from cldc.ledger import Ledger
from cldc.progress import SILENT, Observer
from cldc.submission.model import Check, Plan
from cldc.submission.places import Clock, tagged

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cldc.codalab import Bundle, Cl, CodaLab, Rest, Worksheet
    from cldc.competition import Competition
    from cldc.package import Package
    from cldc.preflight.predictions import ExpectedLabels
    from cldc.validation import ValidationReport

Result = Mapping[str, str]


class Remake(Exception):
    """The predictions bundle is one that the daemon would pass over: a new one has to be made from the run."""


class RunAgain(Exception):
    """A worker lost what the run depends on: the run has to be made once more."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the steps work with.

    Attributes:
        plan: What is meant.
        report: The validated dataset.
        labels: What the run's predictions have to fit.
        codalab: The server as the account: reads over REST, changes through `cl`.
        anonymous: Reads the server as everyone.
        home: The data folder.
        clock: The server's time.
        results: What the steps before gave, by step.
        begun: Steps that an earlier call began and did not finish.
        proof: What was looked at right before the tag.
        packing: The zip, being made while CodaLab's client starts; empty where nobody has begun it.
    """

    plan: Plan
    report: ValidationReport
    labels: ExpectedLabels
    competition: Competition
    codalab: CodaLab
    anonymous: Rest
    ledger: Ledger
    home: Path
    clock: Clock
    observer: Observer = SILENT
    results: dict[str, Result] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    proof: list[Check] = field(default_factory=list)
    packing: list[Future[Package]] = field(default_factory=list)

    @property
    def rest(self) -> Rest:
        """Reads the server as the account."""
        return self.codalab.rest

    @property
    def cl(self) -> Cl:
        """Changes things on the server."""
        return self.codalab.cl

    def uuid(self, step: str) -> str:
        """Uuid of what a step before made or found."""
        return self.results[step]["uuid"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step: its name in the ledger, what it says while it runs, and what it does."""

    name: str
    says: str
    do: Callable[[Work], Result]


def machine(home: Path) -> str:
    """Twelve hex digits for this account's data folder on this machine, the same after its ledger was lost."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = ""
    return files.hash_bytes(f"{socket.gethostname()}\n{user}\n{home.resolve()}")[:12]


def tag_lock(
    home: Path, competition: Competition, server: str, account: str, observer: Observer
) -> contextlib.AbstractContextManager[None]:
    """Held while the account's tag is set or what might carry it is removed, so that this machine does one at a time.

    Raises:
        LockTimeout: Another process held it all the time.
    """
    key = files.hash_bytes(f"{server}\n{account}\n{competition.submission.tag}")[:16]
    return files.lock(home / "locks" / f"tag-{key}.lock", purpose="setting a tag", observer=observer)


def sheet(work: Work) -> Worksheet:
    """The submission's own worksheet with the bundles on it."""
    return work.rest.worksheet(work.uuid("worksheet"), bundles=True)


def own(work: Work, kind: str, name: str) -> list[Bundle]:
    """Bundles of that type and name on the submission's own worksheet, oldest first: every machine's order."""
    found = [
        bundle
        for bundle in sheet(work).bundles
        if (bundle.type, bundle.name) == (kind, name) and bundle.owner in (None, work.plan.account)
    ]
    return sorted(found, key=age)


def age(bundle: Bundle) -> tuple[float, str]:
    """The order in which bundles were made, the same for everyone who looks."""
    return (bundle.created.timestamp() if bundle.created else 0.0, bundle.uuid)


def rivals(work: Work) -> list[Bundle]:
    """Other tagged bundles of the account among which the daemon takes only the newest."""
    by_name = work.competition.submission.supersedes == "name"
    return [
        bundle
        for bundle in tagged(work.competition, work.rest, work.plan.account)
        if not by_name or bundle.name == work.plan.name
    ]
