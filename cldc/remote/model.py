"""Inputs and results of preflights on a CodaLab."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cldc.bundles.runs import RunLog
from cldc.bundles.server_account import ServerAccount
from cldc.codalab import Bundle
from cldc.environments import Environment
from cldc.preflight.model import Fingerprint, Training

# CodaLab waits a minute before it marks a worker offline; a restarting worker is back within another minute.
OFFLINE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote(ServerAccount):
    """An account on a CodaLab to train with.

    Attributes:
        keep: Whether to keep the bundles on the server.
        force: Whether to repeat trainings that already have a result from there.
        environment: A local TensorFlow to predict with the trained models; None if there is none yet.
        uploads: Datasets of the account on the server, by hash; empty until `find_uploads` is called.
        sent: Datasets uploaded by this call, for all its trainings.
    """

    keep: bool = False
    force: bool = False
    environment: Environment | None = None
    uploads: dict[str, Bundle] = field(default_factory=dict)
    sent: dict[str, Bundle] = field(default_factory=dict)


@dataclass(slots=True)
class Job:
    """The preflight of one dataset in progress.

    Attributes:
        training: The training.
        fingerprint: The training's fingerprint on the server.
        known: Uuid of the run of an earlier result, which must not count as a new run; empty if none.
        worksheet: Uuid of its own worksheet, once created.
        tries: Number of its runs in this call.
        lost_dependency: Whether one of them did not find a dependency.
        log: The output so far of its run, once that is started.
        bundle: The run as last read; None before that, or if it was removed.
        offline_since: When the run's worker was first seen offline; None while it is online.
        waits_since: When the run was first seen waiting for a worker; infinite once that has been reported.
    """

    training: Training
    fingerprint: Fingerprint
    known: str = ""
    worksheet: str = ""
    tries: int = 0
    lost_dependency: bool = False
    log: RunLog = field(default_factory=lambda: RunLog(""))
    bundle: Bundle | None = None
    offline_since: float | None = None
    waits_since: float | None = None

    @property
    def name(self) -> str:
        """The dataset's name, with the seed unless it is the organisers' training."""
        name = self.training.report.dataset.name
        return f"{name}, seed {self.fingerprint.seed}" if self.training.script.origin == "built-in" else name

    @property
    def id(self) -> str:
        """The fingerprint's id."""
        return self.fingerprint.id

    @property
    def run(self) -> str:
        """Uuid of its run, once started."""
        return self.log.run

    def follow(self, run: str) -> None:
        """Follow a run from its beginning."""
        self.log, self.bundle, self.offline_since, self.waits_since = RunLog(run), None, None, None

    @property
    def lost(self) -> bool:
        """Whether its run was removed, or the run's worker has been offline too long to come back."""
        gone = self.offline_since is not None and time.monotonic() - self.offline_since >= OFFLINE_SECONDS
        return self.bundle is None or gone

    @property
    def ended(self) -> bool:
        """Whether its run is over: its state is final, or it is lost."""
        return self.lost or (self.bundle is not None and self.bundle.final)
