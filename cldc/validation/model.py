"""What a rule says, and what a whole check comes to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from cldc.dataset import meant_class
from cldc.errors import InvalidDataset
from cldc.validation.decoding.verdict import Readable, Verdict
from cldc.validation.metadata.model import NO_METADATA, Metadata, MetadataCounts

if TYPE_CHECKING:
    from cldc.competition import Competition
    from cldc.dataset import Dataset, Image, OutwardLink
    from cldc.validation.alike import Pair
    from cldc.validation.inspection import Inspection


class Severity(StrEnum):
    """How bad a finding is: an error stops the script or the submission, a warning spoils the result."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing found.

    Attributes:
        rule: The rule's stable id.
        severity: How bad it is.
        message: What was found, as a sentence.
        consequence: What the training script, or the competition, would make of it.
        remedy: What to do, as an imperative sentence.
        paths: The files or folders it is about, relative to the dataset, with slashes.
        fixable: Whether `cldc validate --fix` mends it.
    """

    rule: str
    severity: Severity
    message: str
    consequence: str
    remedy: str
    paths: tuple[str, ...] = ()
    fixable: bool = False


class Hit(NamedTuple):
    """What a rule's function yields; the rule adds its id and, unless given here, its severity."""

    message: str
    consequence: str
    remedy: str
    paths: tuple[str, ...] = ()
    severity: Severity | None = None
    fixable: bool = False


@dataclass(frozen=True)
class Subject:
    """What rules look at.

    Attributes:
        dataset: The dataset as it was read.
        competition: Whose rules apply.
        inspections: For each image's SHA-256, what its content shows; unreadable files have none.
        label_book: For each SHA-256 in the label book, the paths there; empty where none was given.
        pairs: Contents that show the same drawing.
        book_groups: Contents that show the same drawing as one of the label book's, with the pairs that join them.
        formats_passed_over: Picture formats by content of files that the script passes over, by path.
        thorough: Whether pictures were looked at, so that all features are known that can be.
        pointers: Images that are only pointers to them, by path: ``Git LFS`` or ``git-annex``.
    """

    dataset: Dataset
    competition: Competition
    inspections: Mapping[str, Inspection]
    label_book: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    book_groups: tuple[tuple[list[str], list[Pair]], ...] = ()
    formats_passed_over: Mapping[str, str] = field(default_factory=dict)
    thorough: bool = True
    pointers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_content(self) -> dict[str, list[Image]]:
        """For each SHA-256, the images that have it."""
        images: dict[str, list[Image]] = defaultdict(list)
        for image in self.dataset.images:
            if image.sha256:
                images[image.sha256].append(image)
        return images

    @cached_property
    def drawings(self) -> list[tuple[list[str], list[Pair]]]:
        """Contents that show one drawing, and the pairs that join them."""
        from cldc.validation.alike import joined

        return joined(self.pairs)

    @cached_property
    def seen(self) -> list[tuple[Image, Inspection]]:
        """The images that could be read, with what their contents show."""
        images = self.dataset.images
        found = map(self.inspections.get, [image.sha256 for image in images])
        return [(image, seen) for image, seen in zip(images, found, strict=True) if seen]

    @cached_property
    def remarkable(self) -> list[tuple[Image, Verdict]]:
        """Those of the images that TensorFlow may not read, or not as people see them."""
        yes = Readable.YES
        return [
            (image, found.verdict)
            for image, found in self.seen
            if found.verdict.remarks or found.verdict.readable is not yes
        ]

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height in pixels of those images whose headers tell them."""
        verdicts = [found.verdict for _, found in self.seen]
        return [(v.width, v.height) for v in verdicts if v.width and v.height]

    @cached_property
    def metadata(self) -> list[tuple[Image, tuple[Metadata, ...]]]:
        """The images that carry metadata, with its kinds."""
        return [(image, found.metadata) for image, found in self.seen if found.metadata]

    @cached_property
    def tally(self) -> Counter[tuple[str, str]]:
        """How many images each split and class has."""
        return self.dataset.tally()

    @cached_property
    def classes(self) -> dict[str, str]:
        """For each folder that holds images, the class it is or is named like; empty for a folder that is no class."""
        classes = self.competition.dataset.classes
        return {label: meant_class(label, classes) for label in {label for _, label in self.tally}}

    @cached_property
    def paths(self) -> str:
        """The images' paths with a NUL between them: what stands in none of them is told of all at once."""
        return "\0".join([image.path for image in self.dataset.images])


Check = Callable[[Subject], Iterable[Hit]]


class Rule(NamedTuple):
    """A rule: what it is called, what it looks for, why, and where that is known from."""

    id: str
    title: str
    severity: Severity
    why: str
    source: str
    check: Check

    def findings(self, subject: Subject) -> Iterable[Finding]:
        """Everything the rule finds."""
        for hit in self.check(subject):
            yield Finding(
                rule=self.id,
                severity=hit.severity or self.severity,
                message=hit.message,
                consequence=hit.consequence,
                remedy=hit.remedy,
                paths=hit.paths,
                fixable=hit.fixable,
            )


def rule(id: str, *, title: str, severity: Severity, why: str, source: str) -> Callable[[Check], Rule]:
    """Make a rule of the function that follows."""
    return lambda check: Rule(id, title, severity, why, source, check)


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Everything found in a dataset.

    Attributes:
        dataset: What was checked.
        competition: Name of the competition whose rules were applied.
        findings: Errors first, then warnings, then notes.
        counts: Images of each class of each split, as the script labels them.
        total: Images of all splits together.
        padded: Images after rounding each split up to whole batches, as the script counts them.
        max_images: The guide's limit on ``total``.
        max_padded: The script's own limit on ``padded``.
        thorough: Whether what the images show was looked at; if not, the errors are the same, warnings and notes are not.
        metadata: How many images carry metadata that a submission would publish.
    """

    dataset: Dataset
    competition: str
    findings: tuple[Finding, ...]
    counts: Mapping[str, Mapping[str, int]]
    total: int
    padded: int
    max_images: int
    max_padded: int
    thorough: bool = True
    metadata: MetadataCounts = NO_METADATA

    @classmethod
    def make(
        cls,
        dataset: Dataset,
        competition: Competition,
        findings: tuple[Finding, ...],
        metadata: MetadataCounts,
        *,
        thorough: bool = True,
    ) -> ValidationReport:
        """The report on a dataset whose findings are known."""
        limits = competition.dataset
        counts = {split: dict.fromkeys(limits.classes, 0) for split in limits.splits}
        for (split, label), count in dataset.tally().items():
            counts[split][label] = count
        totals = [sum(classes.values()) for classes in counts.values()]
        return cls(
            dataset=dataset,
            competition=competition.name,
            findings=findings,
            counts=counts,
            total=sum(totals),
            padded=limits.padded(totals),
            max_images=limits.max_images,
            max_padded=limits.max_padded,
            thorough=thorough,
            metadata=metadata,
        )

    @property
    def outward_links(self) -> tuple[OutwardLink, ...]:
        """Links out of the dataset through which a submission would publish images."""
        return self.dataset.outward_links

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def ok(self) -> bool:
        """Whether the script would run and the submission count: there is no error."""
        return not self.of(Severity.ERROR)

    def exit_code(self, *, strict: bool = False) -> int:
        """0, or `InvalidDataset.code` where there are errors or, if ``strict``, warnings."""
        bad = not self.ok or (strict and self.of(Severity.WARNING))
        return InvalidDataset.code if bad else 0

    def require_valid(self) -> None:
        """Raise where there are errors.

        Raises:
            InvalidDataset: With the first error, and how many there are.
        """
        errors = self.of(Severity.ERROR)
        if errors:
            more = f" (and {len(errors) - 1} more errors)" if len(errors) > 1 else ""
            raise InvalidDataset(
                f"{self.dataset.root} can't be used: {errors[0].message}{more}",
                action=f"{errors[0].remedy} `cldc validate` shows everything that was found.",
            )
