"""What preflights on a CodaLab work with, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldc.bundles.account import ServerAccount
from cldc.codalab import Bundle
from cldc.environments import Environment
from cldc.preflight.model import FailedPreflight, Fingerprint, PreflightResult, Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote(ServerAccount):
    """An account on a CodaLab to train with.

    Attributes:
        keep: Whether the bundles stay on the server.
        force: Whether what was trained there before is trained again.
        environment: A TensorFlow of this machine that asks the trained models; None where there is none yet.
        uploads: Datasets that the account has on the server, by their hashes; empty before anyone looked.
        sent: Those that this call uploaded, which all its trainings use.
    """

    keep: bool = False
    force: bool = False
    environment: Environment | None = None
    uploads: dict[str, Bundle] = field(default_factory=dict)
    sent: dict[str, Bundle] = field(default_factory=dict)


@dataclass(slots=True)
class Job:
    """One dataset on its way.

    Attributes:
        training: What is trained.
        fingerprint: What decides its numbers.
        known: Uuid of the run that an earlier result came from, which is not taken for a new one; or empty.
        worksheet: Uuid of its own worksheet, once there is one.
        run: Uuid of its run, once there is one.
        tries: How many runs it has had in this call.
        lost_dependency: Whether one of them did not find what it depends on.
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
        """The dataset's, and the seed where it is not the organisers' training."""
        name = self.training.report.dataset.name
        return f"{name}, seed {self.fingerprint.seed}" if self.training.script.origin == "built-in" else name

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
