"""Inputs and results of preflights on a CodaLab."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldc.bundles.account import ServerAccount
from cldc.codalab import Bundle
from cldc.environments import Environment
from cldc.preflight.model import Fingerprint, Training


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
        run: Uuid of its run, once started.
        tries: Number of its runs in this call.
        lost_dependency: Whether one of them did not find a dependency.
    """

    training: Training
    fingerprint: Fingerprint
    known: str = ""
    worksheet: str = ""
    run: str = ""
    tries: int = 0
    lost_dependency: bool = False

    @property
    def name(self) -> str:
        """The dataset's name, with the seed unless it is the organisers' training."""
        name = self.training.report.dataset.name
        return f"{name}, seed {self.fingerprint.seed}" if self.training.script.origin == "built-in" else name

    @property
    def id(self) -> str:
        """The fingerprint's id."""
        return self.fingerprint.id
