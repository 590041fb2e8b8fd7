"""What preflights on a CodaLab work with, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.competition import Competition
from cldc.environments import Environment
from cldc.preflight.model import FailedPreflight, Fingerprint, PreflightResult, Training
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Cl, CodaLab, Rest


@dataclass(frozen=True, slots=True)
class Remote:
    """A CodaLab to train on.

    Attributes:
        codalab: The server as the account.
        account: Its user name there.
        home: The data folder, where results are kept.
        clock: The server's time.
        keep: Whether the bundles stay on the server.
        force: Whether what was trained there before is trained again.
        environment: A TensorFlow of this machine that asks the trained models; None where there is none yet.
        uploads: Datasets that the account has on the server, by identity; empty before anyone looked.
    """

    competition: Competition
    codalab: CodaLab
    account: str
    home: Path
    clock: Callable[[], datetime]
    observer: Observer = SILENT
    keep: bool = False
    force: bool = False
    environment: Environment | None = None
    uploads: dict[str, Bundle] = field(default_factory=dict)

    @property
    def rest(self) -> Rest:
        """Reads the server as the account."""
        return self.codalab.rest

    @property
    def cl(self) -> Cl:
        """Changes things on the server."""
        return self.codalab.cl


@dataclass(slots=True)
class Job:
    """One dataset on its way.

    Attributes:
        training: What is trained.
        fingerprint: What decides its numbers.
        known: Uuid of the run that an earlier result came from, which is not taken for a new one; or empty.
        sheet: Uuid of its own worksheet, once there is one.
        run: Uuid of its run, once there is one.
        tries: How many runs it has had in this call.
        lost_dependency: Whether one of them did not find what it depends on.
    """

    training: Training
    fingerprint: Fingerprint
    known: str = ""
    sheet: str = ""
    run: str = ""
    tries: int = 0
    lost_dependency: bool = False

    @property
    def name(self) -> str:
        """The dataset's."""
        return self.training.report.dataset.name

    @property
    def id(self) -> str:
        """The fingerprint's."""
        return self.fingerprint.id


@dataclass(frozen=True, slots=True)
class RemotePreflights:
    """What came of several preflights on one server, in the order in which the datasets were given."""

    server: str
    results: tuple[PreflightResult, ...]
    failed: tuple[FailedPreflight, ...]
