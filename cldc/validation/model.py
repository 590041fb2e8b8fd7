"""The input of the rules, their findings, and the report of a whole check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal, NamedTuple

from cldc.competition import Competition
from cldc.dataset import Dataset, Image, meant_class
from cldc.errors import InvalidDataset
from cldc.validation.inspection_result import Inspection
from cldc.validation.metadata.model import Metadata, MetadataCounts
from cldc.validation.near_duplicates import DrawingGroup, Pair, group_pairs

# Whether to search for copies that were rotated, stretched or sheared; "required" creates the environment for it.
WarpedSearch = Literal["no", "if ready", "required"]


class Severity(StrEnum):
    """How bad a finding is: an error stops the script or the submission, a warning spoils the result."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing that a rule found.

    Attributes:
        rule: The rule's stable id.
        severity: How bad it is.
        message: What was found, as a sentence.
        consequence: What it means for the training script or the competition.
        remedy: What to do, as an imperative sentence.
        paths: The files or folders it is about, relative to the dataset, with slashes.
        fixable: Whether `cldc validate --fix` fixes it.
    """

    rule: str
    severity: Severity
    message: str
    consequence: str
    remedy: str
    paths: tuple[str, ...] = ()
    fixable: bool = False


class RuleMatch(NamedTuple):
    """A match that a rule's function yields; the rule adds its id and, unless given here, its severity."""

    message: str
    consequence: str
    remedy: str
    paths: tuple[str, ...] = ()
    severity: Severity | None = None
    fixable: bool = False


@dataclass(frozen=True)
class InspectedDataset:
    """The input of the rules: a dataset and the inspections of its images.

    Attributes:
        dataset: The dataset.
        competition: The competition with the rules.
        inspections: The inspection of each content, by SHA-256; unreadable files have none.
        pairs: Contents of dataset and label book that show the same drawing.
        label_book: Paths in the label book for each SHA-256 there; empty if none was given.
        ignored_formats: Picture formats, by content, of files that the script ignores, by path.
        pointers: Images that are only pointers to the real ones, by path: ``Git LFS`` or ``git-annex``.
        warped_compared: Whether copies that were rotated, stretched or sheared are among the pairs of two splits.
    """

    dataset: Dataset
    competition: Competition
    inspections: Mapping[str, Inspection]
    pairs: tuple[Pair, ...] = ()
    label_book: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored_formats: Mapping[str, str] = field(default_factory=dict)
    pointers: Mapping[str, str] = field(default_factory=dict)
    warped_compared: bool = False

    @cached_property
    def by_content(self) -> dict[str, list[Image]]:
        """The images with each SHA-256."""
        images: dict[str, list[Image]] = defaultdict(list)
        for image in self.dataset.images:
            if image.sha256:
                images[image.sha256].append(image)
        return images

    @cached_property
    def drawings(self) -> tuple[DrawingGroup, ...]:
        """Groups of the dataset's contents that show the same drawing."""
        here = self.inspections
        return group_pairs(pair for pair in self.pairs if pair.first in here and pair.second in here)

    @cached_property
    def book_drawings(self) -> tuple[DrawingGroup, ...]:
        """Groups of contents that show the same drawing as one in the label book."""
        book = self.label_book.keys()
        return tuple(group for group in group_pairs(self.pairs) if not book.isdisjoint(group.contents))

    @cached_property
    def readable(self) -> list[tuple[Image, Inspection]]:
        """The images that could be read, with what they show."""
        inspections = self.inspections
        return [(i, inspections[i.sha256]) for i in self.dataset.images if i.sha256 in inspections]

    @cached_property
    def sizes(self) -> list[tuple[int, int, Image]]:
        """Width and height in pixels of the images whose headers could be read."""
        verdicts = [(inspection.verdict, image) for image, inspection in self.readable]
        return [(v.width, v.height, image) for v, image in verdicts if v.width and v.height]

    @cached_property
    def metadata(self) -> list[tuple[Image, tuple[Metadata, ...]]]:
        """The images that carry metadata, with its kinds."""
        return [(image, inspection.metadata) for image, inspection in self.readable if inspection.metadata]

    @cached_property
    def classes(self) -> dict[str, str]:
        """The class that each folder of images is, or is named after; empty if there is none."""
        classes = self.competition.dataset.classes
        return {label: meant_class(label, classes) for label in {label for _, label in self.dataset.tally()}}


class Rule(NamedTuple):
    """A rule.

    Attributes:
        id: Its stable id.
        title: The problem that it finds, in a few words; a count may follow.
        counted: The title as it follows a number above 1, such as "drawings with two labels".
        severity: How bad a finding is, unless the rule says otherwise.
        why: Why that is a problem.
        source: The observation or specification that it is based on.
        check: Finds it.
    """

    id: str
    title: str
    counted: str
    severity: Severity
    why: str
    source: str
    check: Callable[[InspectedDataset], Iterable[RuleMatch]]


def rule(
    id: str, *, title: str, severity: Severity, why: str, source: str, counted: str = ""
) -> Callable[[Callable[[InspectedDataset], Iterable[RuleMatch]]], Rule]:
    """Create a rule from the function that follows; see `Rule`."""
    return lambda check: Rule(
        id, title, counted or title[0].lower() + title[1:], severity, why, source, check
    )


def rules_in(module: Mapping[str, object]) -> tuple[Rule, ...]:
    """Return the rules that a module defines, in their order; ``module`` is its `globals`."""
    return tuple(each for each in module.values() if isinstance(each, Rule))


@dataclass(frozen=True)
class ValidationReport:
    """Everything found in a dataset.

    Attributes:
        dataset: The checked dataset.
        competition: The competition whose rules were applied.
        findings: Errors first, then warnings, then notes.
        metadata: Number of images with metadata that a submission would publish.
        silenced: Number of findings that are left out because a person called them correct as they are.
        warped_compared: Whether the check searched the splits for copies that were rotated, stretched or sheared.
    """

    dataset: Dataset
    competition: Competition
    findings: tuple[Finding, ...]
    metadata: MetadataCounts
    silenced: int = 0
    warped_compared: bool = False

    @cached_property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Number of images of each class of each split, as the script labels them."""
        rules = self.competition.dataset
        counts = {split: dict.fromkeys(rules.classes, 0) for split in rules.splits}
        for (split, label), count in self.dataset.tally().items():
            counts[split][label] = count
        return counts

    @property
    def total(self) -> int:
        """Number of images in all splits."""
        return len(self.dataset.images)

    @property
    def padded(self) -> int:
        """Number of images after rounding each split up to whole batches, as the script counts them."""
        return self.competition.dataset.padded(sum(classes.values()) for classes in self.counts.values())

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def ok(self) -> bool:
        """Whether the script would run and the submission would count: there is no error."""
        return not self.of(Severity.ERROR)

    def exit_code(self, *, strict: bool = False) -> int:
        """0, or `InvalidDataset.code` if there are errors or, with ``strict``, warnings."""
        bad = not self.ok or (strict and self.of(Severity.WARNING))
        return InvalidDataset.code if bad else 0

    def require_valid(self) -> None:
        """Raise if there are errors.

        Raises:
            InvalidDataset: There are errors; it names the first one and their number.
        """
        errors = self.of(Severity.ERROR)
        if errors:
            more = f" That is 1 of {len(errors)} errors." if len(errors) > 1 else ""
            raise InvalidDataset(
                f"{self.dataset.root} can't be used: {errors[0].message}{more}",
                action=f"{errors[0].remedy} `cldc validate` shows everything that was found.",
            )
