"""What is meant to be submitted, what stands against it, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING

from cldc.description import plain_name
from cldc.errors import CldcError, SubmissionRefused
from cldc.quota import Quota

if TYPE_CHECKING:
    from cldc.preflight.model import PreflightResult
    from cldc.validation import ValidationReport
    from cldc.validation.metadata.model import MetadataCounts


def worksheet_name(account: str, name: str, identity: str) -> str:
    """What a submission's own worksheet is called; names of worksheets are one for a whole server."""
    return f"{own_sheets(account)}{plain_name(name)}-{identity[:8]}"


def own_sheets(account: str) -> str:
    """What the names of all worksheets begin with that cldc makes for an account."""
    return f"cldc-{plain_name(account)}-"


def preflight_sheets(account: str) -> str:
    """What the names of those begin with that are for preflights on the server."""
    return worksheet_name(account, "preflight", "")


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to besides making the dataset public and spending a place of the quota.

    Attributes:
        again: The same dataset may be submitted under another name.
        supersede: An entry of the account may be replaced, whatever its score.
        replaced: Uuids of entries that may be, since the person saw which ones they are.
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
class Check:
    """One thing looked at before anything is uploaded.

    Attributes:
        subject: What was looked at, in a word or two.
        finding: What was found.
        refusal: Why nothing can be submitted as it stands; empty where nothing stands against it.
        warning: Whether the finding deserves attention without standing against it.
    """

    subject: str
    finding: str
    refusal: str = ""
    warning: bool = False
    error: CldcError | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Replaced:
    """An entry that a submission would take the place of.

    Attributes:
        uuid: Of the bundle that has, or had, the tag.
        score: What it was scored with; None where it has no score, or none that is known here.
        rank: Its place on the board; None where the board does not show it, as far as known.
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
    """What will be done, and every reason for which it would be refused.

    Attributes:
        id: See `submission_id`.
        competition: The profile's name.
        server: Address of the CodaLab.
        account: User name there.
        name: The submission's name: what the predictions bundle is called and the board shows.
        description: What the board will read.
        dataset: Name of the dataset's bundle and zip.
        dataset_hash: Its identity.
        images: How many images; ``metadata`` counts those that carry more than their picture.
        predictions: How many predictions the run must leave: the images of the label book.
        preflight: Id of the preflight that it rests on, if any.
        worksheet: Name of the worksheet of its own that everything is put on.
        steps: Names of the steps still to do.
        checks: What was looked at.
        quota: Where the account stands before it.
        replaces: The entries that this one would take the place of.
        supersedes: Uuids of other tagged bundles of which, as of this one, only the newest counts, and that have no score.
        scored: Uuids of those of them that have one.
        after_closing: Whether the tag may be set although the competition is closed.
    """

    id: str
    competition: str
    server: str
    account: str
    name: str
    institution: str
    link: str
    description: str
    dataset: str
    dataset_hash: str
    images: int
    metadata: MetadataCounts
    predictions: int
    preflight: str | None
    worksheet: str
    steps: tuple[str, ...]
    checks: tuple[Check, ...]
    quota: Quota
    replaces: tuple[Replaced, ...] = ()
    supersedes: tuple[str, ...] = ()
    scored: tuple[str, ...] = ()
    after_closing: bool = False

    def require(self) -> None:
        """Raise the first refusal, if there is one.

        Raises:
            CldcError: Of the kind that the refusal is.
        """
        for check in self.checks:
            if check.error is not None:
                raise check.error


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission that carries the tag.

    Attributes:
        tagged: When the tag was set.
        again: Whether it carried the tag before this call, so that nothing was done.
        worksheet: Uuid of its worksheet; ``bundle`` that of the tagged bundle, ``dataset`` and ``run`` of the
            bundles behind it.
        links: Addresses of these on the server, by what they are.
        proof: What was looked at before the tag was set, as everyone sees it; empty where that was done before.
        quota: Where the account stands after it.
        usual_wait: How long the organisers usually take to score it, if that is known.
        form: Address of the form to be filled out after a first submission, if there is one.
        dataset_changed: How the folder differs from what was submitted, as a sentence; empty where it does not.
    """

    id: str
    name: str
    description: str
    server: str
    account: str
    tagged: datetime
    again: bool
    worksheet: str
    dataset: str
    run: str
    bundle: str
    links: dict[str, str]
    proof: tuple[Check, ...]
    quota: Quota
    usual_wait: str | None
    form: str | None
    dataset_changed: str = ""
