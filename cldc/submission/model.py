"""The plan of a submission, the results of its steps, and the submission itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Self

import msgspec

from cldc.errors import CldcError, SubmissionRefused
from cldc.ledger import TAG, Record
from cldc.preflight.model import PreflightResult
from cldc.preflight.predictions_file import ExpectedLabels
from cldc.quota import Quota
from cldc.validation import ValidationReport

# The steps of a submission in order, by their names in the ledger, with their progress messages.
STEPS = {
    "worksheet": "Creating the worksheet",
    "upload": "Preparing the upload",
    "link": "Adding the organisers' bundles",
    "run": "Starting the run",
    "train": "Waiting for the run",
    "predictions": "Making the predictions bundle",
    "publish": "Making everything readable by everyone",
    "describe": "Writing the description",
    "prove": "Checking it as the scoring daemon and the board will",
    TAG: "Setting the tag",
}
# The steps to repeat if not everyone can read what was submitted.
PUBLISHED = ("publish", "describe", "prove")


def steps_from(step: str) -> list[str]:
    """List the names of a step and of all after it."""
    names = list(STEPS)
    return names[names.index(step) :]


@dataclass(frozen=True, slots=True)
class Consent:
    """The user's consent by options, besides publishing the dataset and spending a submission.

    Attributes:
        again: The same dataset may be submitted under another name.
        supersede: An entry of the account may be replaced, whatever its score.
        links: Links out of the dataset whose images may be published, by their paths in the dataset; a folder
            covers the linked files in it.
        after_closing: It may be submitted to a competition that is closed.
    """

    again: bool = False
    supersede: bool = False
    links: frozenset[str] = frozenset()
    after_closing: bool = False


class NeedsConsent(SubmissionRefused):
    """Something that needs the user's consent, given beforehand by an option or now by answering a question.

    Attributes:
        question: The question, naming everything that needs consent.
        agreed: The check's finding once the user has agreed.
    """

    def __init__(self, message: str, *, action: str, question: str, agreed: str) -> None:
        super().__init__(message, action=action)
        self.question = question
        self.agreed = agreed


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """The result of one check before the upload or before the tag.

    Attributes:
        subject: The subject of the check, in a word or two.
        finding: The finding.
        refusal: Why this check prevents the submission; empty if it does not.
        warning: Whether the finding deserves attention without preventing the submission.
    """

    subject: str
    finding: str
    refusal: str = ""
    warning: bool = False
    error: CldcError | None = field(default=None, repr=False)

    def agreed(self) -> SubmissionCheck:
        """Return the check after the user has agreed to what needs consent."""
        if not isinstance(self.error, NeedsConsent):
            return self
        return SubmissionCheck(self.subject, self.error.agreed)


def preflight_check(preflight: PreflightResult | None) -> SubmissionCheck:
    """Describe the dataset's preflight, which refuses nothing."""
    if preflight is None:
        return SubmissionCheck("preflight", "none yet")
    book = f", label book {preflight.label_book.accuracy:.1%}" if preflight.label_book else ""
    return SubmissionCheck("preflight", f"validation {preflight.validation.accuracy:.1%}{book}")


@dataclass(frozen=True, slots=True)
class Replaced:
    """An entry that a submission would replace.

    Attributes:
        uuid: Uuid of the bundle that has, or had, the tag.
        score: Its score; None if it has none, or none is known here.
        rank: Its rank on the board; None if the board does not show it, as far as known.
    """

    uuid: str
    name: str
    score: float | None
    rank: int | None

    def __str__(self) -> str:
        """``mine (0x...), which has the score 0.3450 and rank 2``."""
        if self.score is None:
            has = "no score yet, as far as this machine knows"
        else:
            has = f"the score {self.score:.4f}{f' and rank {self.rank}' if self.rank else ''}"
        return f"{self.name} ({self.uuid}), which has {has}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a submission, and every reason to refuse it.

    Attributes:
        record: The submission's future ledger record, with its name and id.
        report: The dataset, valid or not.
        labels: The labels that the run's predictions must fit.
        consent: What the contestant agreed to by options.
        description: The description for the board; empty if the board would hide or garble it.
        worksheet: Name of the submission's own worksheet.
        steps: Names of the remaining steps.
        spent: Whether it counts against the quota already.
        checks: Results of all checks.
        quota: The account's quota before it.
        replaces: Entries that this one would replace.
        supersedes: Uuids of other tagged bundles without a score; of them and this one, only the newest counts.
        scored: Uuids of such bundles that have a score.
    """

    record: Record
    report: ValidationReport
    labels: ExpectedLabels
    consent: Consent
    description: str
    worksheet: str
    steps: tuple[str, ...]
    spent: bool
    checks: tuple[SubmissionCheck, ...]
    quota: Quota
    replaces: tuple[Replaced, ...]
    supersedes: tuple[str, ...]
    scored: tuple[str, ...]

    @property
    def refusals(self) -> tuple[CldcError, ...]:
        """Every reason to refuse it."""
        return tuple(check.error for check in self.checks if check.error is not None)

    def require(self) -> None:
        """Raise the first refusal, if any."""
        for refusal in self.refusals:
            raise refusal

    def agreed(self) -> Plan:
        """Return the plan after the user has agreed to everything that needs consent."""
        return replace(self, checks=tuple(check.agreed() for check in self.checks))

    def with_preflight(self, preflight: PreflightResult) -> Plan:
        """Return the plan after the dataset's preflight."""
        record, found = replace(self.record, preflight=preflight.fingerprint.id), preflight_check(preflight)
        checks = tuple(found if check.subject == found.subject else check for check in self.checks)
        return replace(self, record=record, checks=checks)


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step. The ledger keeps it as texts by name, in the format of cldc 0.1.0."""

    def to_ledger(self) -> dict[str, str]:
        """Convert to the ledger's format."""
        return {f.name: str(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_ledger(cls, stored: Mapping[str, str]) -> Self:
        """Convert from the ledger's format; what a record restored from the server lacks has its default."""
        return msgspec.convert(stored, cls, strict=False)


@dataclass(frozen=True, slots=True)
class OnServer(StepResult):
    """Something on the server, by its uuid."""

    uuid: str


class SubmissionWorksheet(OnServer):
    """The submission's own worksheet, public once its bundles are."""


class UploadedDataset(OnServer):
    """The dataset's bundle, in state ready."""


class StartedRun(OnServer):
    """The run, possibly still in progress."""


class PredictionsBundle(OnServer):
    """The bundle with the run's predictions, which gets the tag."""


@dataclass(frozen=True, slots=True)
class OrganisersBundles(StepResult):
    """Uuids of the organisers' bundles that the worksheet links to."""

    script: str
    label_book: str


@dataclass(frozen=True, slots=True)
class FinishedRun(OnServer):
    """A run that ended with good predictions: its duration and number of images."""

    seconds: float = 0.0
    images: int = 0


@dataclass(frozen=True, slots=True)
class StoredDescription(OnServer):
    """The predictions bundle's description on the server."""

    description: str


@dataclass(frozen=True, slots=True)
class Evidence(StepResult):
    """The findings right before the tag; empty if an earlier call verified it, as they may no longer hold."""

    checks: tuple[SubmissionCheck, ...] = ()

    def to_ledger(self) -> dict[str, str]:
        """Convert to findings by subject."""
        return {check.subject: check.finding for check in self.checks}


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission that has the tag.

    Attributes:
        record: Its ledger record, with name and id.
        tagged: When the tag was set.
        again: Whether it had the tag before this call, so that nothing was done.
        worksheet: Uuid of its worksheet; ``bundle`` that of the tagged bundle, ``dataset`` and ``run`` of the
            bundles that it depends on.
        evidence: What was verified publicly before the tag was set; empty if an earlier call verified it.
        quota: The account's quota after it.
        usual_wait: How long the organisers usually take to score it, if known.
        form: Address of the form to fill out after a first submission, if there is one.
        dataset_changed: How the folder differs from the submitted dataset, as a sentence; empty if it does not.
    """

    record: Record
    description: str
    tagged: datetime
    again: bool
    worksheet: str
    dataset: str
    run: str
    bundle: str
    evidence: tuple[SubmissionCheck, ...]
    quota: Quota
    usual_wait: str | None
    form: str | None
    dataset_changed: str = ""

    @property
    def links(self) -> dict[str, str]:
        """Addresses of worksheet and bundles on the server, by their kinds."""
        bundles = {"upload": self.dataset, "run": self.run, "predictions": self.bundle}
        server = self.record.server
        return {
            "worksheet": f"{server}/worksheets/{self.worksheet}",
            **{step: f"{server}/bundles/{uuid}" for step, uuid in bundles.items()},
        }
