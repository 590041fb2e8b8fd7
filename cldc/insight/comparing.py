"""Compare two preflights: images by content, accuracy by class, mistakes by image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cldc.insight.model import class_accuracies
from cldc.insight.paired import RepeatedComparison, TrainedModel
from cldc.preflight.model import ImagePrediction, ModelPredictions, PreflightResult


@dataclass(frozen=True, slots=True)
class Moved:
    """An image whose path or label differs between two datasets; the fields of a dataset without it are empty.

    Paths are relative to the dataset; those of the label book begin with its name.
    """

    before: str
    after: str
    label_before: str
    label_after: str


@dataclass(frozen=True, slots=True)
class ClassChange:
    """The accuracy of both models on a class of a split, from 0 to 1; None without images or probabilities."""

    split: str
    label: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between two preflights.

    Attributes:
        before: The first preflight; ``after`` is the second.
        added: Images whose content is only in the second dataset.
        removed: Images whose content is only in the first.
        relabelled: Images of the same content under another class.
        moved: Images of the same content and class in another split.
        renamed: Number of images with the same content, class and split, and another name.
        same: Number of images with the same content, class and split, the renamed ones included.
        classes: Accuracy on each class of every split but the first, which is trained on.
        fixed: Images in both that only the first model misclassifies.
        broken: Images in both that only the second model misclassifies.
        note: Why mistakes are unknown; empty if they are known.
        repeated: The comparison over several seeds; None if each was trained once.
    """

    before: PreflightResult
    after: PreflightResult
    added: tuple[Moved, ...]
    removed: tuple[Moved, ...]
    relabelled: tuple[Moved, ...]
    moved: tuple[Moved, ...]
    renamed: int
    same: int
    classes: tuple[ClassChange, ...]
    fixed: tuple[Moved, ...] = field(metadata={"key": "mended"})
    broken: tuple[Moved, ...] = field(metadata={"key": "made"})
    note: str = ""
    repeated: RepeatedComparison | None = None


class _Image(NamedTuple):
    path: str
    split: str
    label: str


_ABSENT = _Image("", "", "")

# What two files of the same content share if they are the same image before and after, the surest first.
_SHARED: tuple[Callable[[_Image], object], ...] = (
    lambda image: image.path,
    lambda image: (image.split, image.label),
    lambda image: image.label,
    lambda _: "content",
)


def compare_preflights(before: TrainedModel, after: TrainedModel) -> Comparison:
    """Compare two preflights and the predictions of their models."""
    first, second = before.predictions, after.predictions
    book = list(after.result.images)[-1]
    changes = _image_changes(first, second, book)
    fixed, broken = _mistakes(first, second, book)
    old, new = class_accuracies(first), class_accuracies(second)
    return Comparison(
        before=before.result,
        after=after.result,
        added=tuple(changes["added"]),
        removed=tuple(changes["removed"]),
        relabelled=tuple(changes["relabelled"]),
        moved=tuple(changes["moved"]),
        renamed=len(changes["renamed"]),
        same=len(changes["same"]) + len(changes["renamed"]),
        classes=tuple(
            ClassChange(split, label, old.get((split, label)), new.get((split, label)))
            for split in (second.splits or first.splits)[1:]
            for label in after.result.classes
        ),
        fixed=fixed,
        broken=broken,
        note=first.why_not or second.why_not,
    )


def _image_changes(first: ModelPredictions, second: ModelPredictions, book: str) -> dict[str, list[Moved]]:
    """Return the images of both datasets, by the kind of change."""
    old, new = (_images_by_content(predictions, book) for predictions in (first, second))
    changes: dict[str, list[Moved]] = defaultdict(list)
    for sha256 in sorted(old.keys() | new.keys(), key=lambda s: (old.get(s) or new[s])[0].path):
        for image, twin in _pairs(old.get(sha256, ()), new.get(sha256, ())):
            moved = Moved(image.path, twin.path, image.label, twin.label)
            changes[_kind_of_change(image, twin)].append(moved)
    return changes


def _kind_of_change(image: _Image, twin: _Image) -> str:
    if image is _ABSENT:
        return "added"
    if twin is _ABSENT:
        return "removed"
    if image.label != twin.label:
        return "relabelled"
    if image.split != twin.split:
        return "moved"
    return "same" if image.path == twin.path else "renamed"


def _pairs(old: Iterable[_Image], new: Iterable[_Image]) -> Iterator[tuple[_Image, _Image]]:
    """Pair images with the same content, unmoved ones first, so that an extra copy counts as added."""
    left, right = list(old), list(new)
    for shared in _SHARED:
        for image in list(left):
            twin = next((other for other in right if shared(other) == shared(image)), None)
            if twin is not None:
                left.remove(image)
                right.remove(twin)
                yield image, twin
    yield from ((image, _ABSENT) for image in left)
    yield from ((_ABSENT, image) for image in right)


def _images_by_content(predictions: ModelPredictions, book: str) -> dict[str, list[_Image]]:
    images: dict[str, list[_Image]] = defaultdict(list)
    for image in predictions.images:
        if image.split != book:
            found = _Image(image.path, image.split, predictions.classes[image.label])
            images[image.sha256].append(found)
    return images


def _mistakes(
    first: ModelPredictions, second: ModelPredictions, book: str
) -> tuple[tuple[Moved, ...], tuple[Moved, ...]]:
    """Find the mistakes fixed and the new mistakes, among the images on which both models were evaluated."""

    def path(image: ImagePrediction) -> str:
        return f"{book}/{image.path}" if image.split == book else image.path

    evaluated = (second.splits or first.splits)[1:]
    old = {(i.split, i.sha256): i for i in first.images if i.split in evaluated and i.probabilities}
    fixed: list[Moved] = []
    broken: list[Moved] = []
    for image in second.images:
        earlier = old.get((image.split, image.sha256))
        if earlier is None or not image.probabilities or earlier.misclassified == image.misclassified:
            continue
        move = Moved(
            path(earlier), path(image), first.classes[earlier.predicted], second.classes[image.predicted]
        )
        (fixed if earlier.misclassified else broken).append(move)
    return tuple(fixed), tuple(broken)
