"""What somebody wants to submit, what would be done about it, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING

from cldc.errors import CldcError, SubmissionRefused
from cldc.ledger import TAG, Record
from cldc.quota import Quota

if TYPE_CHECKING:  # what shows submissions needs neither
    from cldc.preflight.model import PreflightResult
    from cldc.validation import ValidationReport
    from cldc.validation.metadata.model import MetadataCounts

# The steps of a submission in order, as the ledger calls them, and what each says while it runs.
STEPS = {
    "worksheet": "Making a worksheet",
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


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to, besides publishing the dataset and spending a place of the quota.

    Attributes:
        again: The same dataset may be submitted under another name.
        supersede: An entry of the account may be replaced, whatever its score.
        replaced: Uuids of entries that may be replaced: the person saw which ones they are.
        links: Links whose images may be published although they lead out of the dataset, by their paths in it; a folder
            stands for the linked files in it.
        after_closing: It may be submitted to a competition that is closed.
    """

    again: bool = False
    supersede: bool = False
    replaced: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    after_closing: bool = False

    def __or__(self, other: Consent) -> Consent:
        """Everything that one of the two agrees to."""
        return Consent(*(getattr(self, f.name) | getattr(other, f.name) for f in fields(Consent)))


class NeedsConsent(SubmissionRefused):
    """Something that a person may agree to, beforehand by an option or now by answering a question.

    Attributes:
        question: Names all that is agreed to.
        grants: What a yes agrees to.
    """

    def __init__(self, message: str, *, action: str, question: str, grants: Consent) -> None:
        super().__init__(message, action=action)
        self.question = question
        self.grants = grants


@dataclass(frozen=True, slots=True)
class Intent:
    """What a contestant wants to submit, and what they agreed to.

    Attributes:
        report: The dataset, valid or not.
        name: The submission's name; ``institution`` and ``link`` go with it into the description.
        named: Whether somebody chose that name. Otherwise it is the folder's, and an entry that has it already gives
            the submission the next free one.
        predictions: Images in the label book.
        preflight: The dataset's finished preflight; None where none is wanted.
        consent: What they agreed to.
    """

    report: ValidationReport
    name: str
    institution: str
    link: str
    predictions: int
    named: bool = True
    preflight: PreflightResult | None = None
    consent: Consent = field(default_factory=Consent)


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """One thing that was checked before the upload or before the tag.

    Attributes:
        subject: What was checked, in a word or two.
        finding: What was found.
        refusal: Why nothing can be submitted; empty where this check is no reason.
        warning: Whether the finding deserves attention but is no reason to refuse.
    """

    subject: str
    finding: str
    refusal: str = ""
    warning: bool = False
    error: CldcError | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Replaced:
    """An entry that a submission would replace.

    Attributes:
        uuid: Of the bundle that has, or had, the tag.
        score: What it was scored with; None where it has no score, or none that is known here.
        rank: Its rank on the board; None where the board does not show it, as far as known.
    """

    uuid: str
    name: str
    score: float | None
    rank: int | None

    def __str__(self) -> str:
        """``mine (0x...), which has the score 0.3450 and place 2``."""
        if self.score is None:
            has = "no score yet that is known here"
        else:
            has = f"the score {self.score:.4f}{f' and place {self.rank}' if self.rank else ''}"
        return f"{self.name} ({self.uuid}), which has {has}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, and every reason to refuse it.

    Attributes:
        record: The submission as the ledger will keep it, with its name and id.
        description: What the board will read; empty where it would hide or garble it.
        images: How many images; ``metadata`` counts those that carry more than their picture.
        predictions: How many predictions the run must leave: the images of the label book.
        worksheet: Name of the worksheet of its own that everything is put on.
        steps: Names of the steps still to do.
        checks: What was checked.
        quota: The account's quota before it.
        replaces: The entries that this one would replace.
        supersedes: Uuids of other tagged bundles of which, with this one, only the newest counts, and that have no score.
        scored: Uuids of those of them that have one.
        after_closing: Whether the tag may be set although the competition is closed.
    """

    record: Record
    description: str
    images: int
    metadata: MetadataCounts
    predictions: int
    worksheet: str
    steps: tuple[str, ...]
    checks: tuple[SubmissionCheck, ...]
    quota: Quota
    replaces: tuple[Replaced, ...] = ()
    supersedes: tuple[str, ...] = ()
    scored: tuple[str, ...] = ()
    after_closing: bool = False

    @property
    def refusals(self) -> tuple[CldcError, ...]:
        """Every reason to refuse it."""
        return tuple(check.error for check in self.checks if check.error is not None)

    def require(self) -> None:
        """Raise the first refusal, if there is one.

        Raises:
            CldcError: Of the kind that the refusal is.
        """
        for refusal in self.refusals:
            raise refusal


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission that carries the tag.

    Attributes:
        record: As the ledger keeps it, with its name and id.
        tagged: When the tag was set.
        again: Whether it carried the tag before this call, so that nothing was done.
        worksheet: Uuid of its worksheet; ``bundle`` that of the tagged bundle, ``dataset`` and ``run`` of the
            bundles behind it.
        evidence: What was verified before the tag was set, as everyone sees it; empty where that was done before.
        quota: The account's quota after it.
        usual_wait: How long the organisers usually take to score it, if that is known.
        form: Address of the form to be filled out after a first submission, if there is one.
        dataset_changed: How the folder differs from what was submitted, as a sentence; empty where it does not.
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
        """Their addresses on the server, by what they are."""
        bundles = {"upload": self.dataset, "run": self.run, "predictions": self.bundle}
        server = self.record.server
        return {
            "worksheet": f"{server}/worksheets/{self.worksheet}",
            **{step: f"{server}/bundles/{uuid}" for step, uuid in bundles.items()},
        }
