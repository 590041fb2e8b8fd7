"""What each step of a submission gives, and how the ledger keeps it: as texts by name, in the format of cldc 0.1.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from cldc.submission.model import SubmissionCheck


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step gave."""

    def to_ledger(self) -> dict[str, str]:
        """As the ledger keeps it."""
        return {f.name: str(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_ledger(cls, stored: Mapping[str, str]) -> Self:
        """From what the ledger kept."""
        return cls(**{f.name: stored[f.name] for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class OnServer(StepResult):
    """Something on the server, by its uuid."""

    uuid: str


class SubmissionWorksheet(OnServer):
    """The submission's own worksheet."""


class UploadedDataset(OnServer):
    """The dataset's bundle, which is ready."""


class StartedRun(OnServer):
    """The run, which may still go."""


class PredictionsBundle(OnServer):
    """The bundle made from the run's predictions, which is the one to be tagged."""


class PublishedWorksheet(OnServer):
    """The worksheet that everyone can read, with the bundles on it."""


class TaggedBundle(OnServer):
    """The bundle that carries the tag."""


@dataclass(frozen=True, slots=True)
class OrganisersBundles(StepResult):
    """Uuids of the organisers' bundles that are linked on the worksheet."""

    script: str
    label_book: str


@dataclass(frozen=True, slots=True)
class FinishedRun(OnServer):
    """A run that ended with good predictions: how long it took, over how many images."""

    seconds: float
    images: int

    @classmethod
    def from_ledger(cls, stored: Mapping[str, str]) -> Self:
        """From what the ledger kept; one that was read back from the server does not say how many images there were."""
        return cls(stored["uuid"], float(stored.get("seconds", 0)), int(stored.get("images", 0)))


@dataclass(frozen=True, slots=True)
class StoredDescription(OnServer):
    """The predictions bundle's description as the server keeps it."""

    description: str


@dataclass(frozen=True, slots=True)
class Evidence(StepResult):
    """What was verified right before the tag; empty where that was done by an earlier call."""

    checks: tuple[SubmissionCheck, ...] = ()

    def to_ledger(self) -> dict[str, str]:
        """Each finding by its subject."""
        return {check.subject: check.finding for check in self.checks}

    @classmethod
    def from_ledger(cls, stored: Mapping[str, str]) -> Self:  # noqa: ARG003 - as of the base class
        """Nothing: what was found then is not what would be found now."""
        return cls()
