"""Results of a submission's steps, and their ledger format: texts by name, as in cldc 0.1.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from cldc.submission.model import SubmissionCheck


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step."""

    def to_ledger(self) -> dict[str, str]:
        """Convert to the ledger's format."""
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
    """The dataset's bundle, in state ready."""


class StartedRun(OnServer):
    """The run, possibly still in progress."""


class PredictionsBundle(OnServer):
    """The bundle with the run's predictions, which gets the tag."""


class PublishedWorksheet(OnServer):
    """The public worksheet with its bundles."""


class TaggedBundle(OnServer):
    """The bundle that has the tag."""


@dataclass(frozen=True, slots=True)
class OrganisersBundles(StepResult):
    """Uuids of the organisers' bundles that the worksheet links to."""

    script: str
    label_book: str


@dataclass(frozen=True, slots=True)
class FinishedRun(OnServer):
    """A run that ended with good predictions: its duration and number of images."""

    seconds: float
    images: int

    @classmethod
    def from_ledger(cls, stored: Mapping[str, str]) -> Self:
        """Convert from the ledger's format; a record restored from the server lacks the number of images."""
        return cls(stored["uuid"], float(stored.get("seconds", 0)), int(stored.get("images", 0)))


@dataclass(frozen=True, slots=True)
class StoredDescription(OnServer):
    """The predictions bundle's description on the server."""

    description: str


@dataclass(frozen=True, slots=True)
class Evidence(StepResult):
    """What was verified right before the tag; empty if an earlier call did it."""

    checks: tuple[SubmissionCheck, ...] = ()

    def to_ledger(self) -> dict[str, str]:
        """Convert to findings by subject."""
        return {check.subject: check.finding for check in self.checks}

    @classmethod
    def from_ledger(cls, stored: Mapping[str, str]) -> Self:  # noqa: ARG003 - as in the base class
        """Return no evidence: findings from that time may no longer hold."""
        return cls()
