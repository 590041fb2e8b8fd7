"""Rules about what the images show: duplicates, conflicting labels, blank and oversized images, balance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from cldc.text import plural
from cldc.validation.inspection_result import MAX_PIXELS
from cldc.validation.model import InspectedDataset, RuleMatch, Severity, rule, rules_in
from cldc.validation.near_duplicates import Pair, Similarity
from cldc.validation.tensorflow_decoder import Readable

_rule = partial(rule, source="good practice; measured on the 2021 competition's starting dataset")
_BLANK_SHARE = 0.001
_OVERSIZED = 4
_UNBALANCED = 3
_SMALL_SPLIT = 0.05


@_rule(
    "drawing-two-labels",
    title="Same drawing, two labels",
    counted="drawings with two labels",
    severity=Severity.WARNING,
    why="A drawing that was cropped, padded or saved differently is a duplicate that other checks do not see. With "
    "two labels, one of them is wrong.",
)
def drawing_two_labels(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Different files that show the same drawing in folders of different classes."""
    for copies in _same_drawings(inspected):
        if len(copies.labels) > 1:
            yield RuleMatch(
                message=f"The same drawing is labelled {' and '.join(copies.labels)}: {copies.because}.",
                consequence="The script trains on, or validates with, a wrong label.",
                remedy="Compare them and keep the right label.",
                paths=copies.paths,
            )


@_rule(
    "identical-two-labels",
    title="Same file, two labels",
    counted="files with two labels",
    severity=Severity.WARNING,
    why="One of the labels is wrong, and the model is taught both.",
)
def identical_two_labels(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Files of one content in folders of different classes."""
    for copies in _same_files(inspected):
        if len(copies.labels) > 1:
            yield RuleMatch(
                message=f"The same file is labelled {' and '.join(copies.labels)}.",
                consequence="The script trains on, or validates with, a wrong label.",
                remedy="Keep the one with the right label.",
                paths=copies.paths,
            )


@_rule(
    "in-label-book",
    title="Images from the label book",
    severity=Severity.WARNING,
    why="The label book is the sample test set; a test on an image that the model was trained on says nothing.",
)
def in_label_book(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Files whose content, or whose drawing, is in the label book."""
    book = inspected.label_book
    drawings = {
        sha: (next(book[other][0] for other in group.contents if other in book), group.pairs)
        for group in inspected.book_drawings
        for sha in group.contents
    }
    for image in inspected.dataset.images:
        if image.sha256 and image.sha256 in book:
            message = f"{image.path} is in the label book, as {book[image.sha256][0]}."
            remedy = "Remove it from the dataset."
        elif image.sha256 in drawings:
            path, pairs = drawings[image.sha256]
            message = f"{image.path} shows the same drawing as {path}: {_because(pairs)}."
            remedy = "Compare them, and remove it from the dataset."
        else:
            continue
        yield RuleMatch(
            message=message,
            consequence="The accuracy on the label book is too high.",
            remedy=remedy,
            paths=(image.path,),
        )


@_rule(
    "identical-across-splits",
    title="In both train and val",
    counted="files in two splits",
    severity=Severity.WARNING,
    why="The best weights are chosen by the validation accuracy; images that the model was trained on make it look better.",
)
def identical_across_splits(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Files of one content and label in more than one split."""
    for copies in _same_files(inspected):
        if len(copies.labels) == 1 and len(copies.splits) > 1:
            yield RuleMatch(
                message=f"The same file is in {' and '.join(copies.splits)}.",
                consequence="The script validates the model with an image that it was trained on.",
                remedy="Keep it in one split only.",
                paths=copies.paths,
            )


@_rule(
    "drawing-across-splits",
    title="Same drawing in train and val",
    counted="drawings in two splits",
    severity=Severity.WARNING,
    why="Validating with a drawing that the model was trained on says little, even if it is cropped or padded differently.",
)
def drawing_across_splits(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Different files that show the same drawing in more than one split."""
    for copies in _same_drawings(inspected):
        if len(copies.labels) == 1 and len(copies.splits) > 1:
            yield RuleMatch(
                message=f"The same drawing is in {' and '.join(copies.splits)}: {copies.because}.",
                consequence="The script validates the model with a drawing that it was trained on.",
                remedy="Keep it in one split only.",
                paths=copies.paths,
            )


@_rule(
    "blank-image",
    title="Blank images",
    severity=Severity.WARNING,
    why="An image without ink teaches the model that blank paper belongs to its class.",
)
def blank_image(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images of a single shade, or nearly."""
    for image, inspection in inspected.readable:
        features = inspection.features
        if features and (
            features.ink_pixels < 1 or features.ink_pixels < _BLANK_SHARE * features.width * features.height
        ):
            ink = plural(features.ink_pixels, "pixel")
            yield RuleMatch(
                message=f"{image.path} is {f'nearly blank: {ink} of ink' if features.ink_pixels else 'blank'}.",
                consequence=f"The script trains on it as {inspected.classes[image.label] or image.label!r}.",
                remedy="Remove it, or replace it with the right image.",
                paths=(image.path,),
            )


@_rule(
    "outsized-image",
    title="Oversized images",
    severity=Severity.WARNING,
    why="The script scales every image to the same few pixels; nothing is left of the drawings on a large sheet.",
)
def outsized_image(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images much larger than most of the dataset."""
    if not inspected.sizes:
        return
    target_height, target_width = inspected.competition.dataset.image_size
    longest_sides = sorted(max(width, height) for width, height, _ in inspected.sizes)
    usual = longest_sides[len(longest_sides) // 2]
    for width, height, image in inspected.sizes:
        if max(width, height) > _OVERSIZED * usual:
            yield RuleMatch(
                message=f"{image.path} is {width:,} x {height:,} pixels; most are about {usual:,}.",
                consequence=f"The script scales it to {target_width} x {target_height} pixels, like all others.",
                remedy="Crop it to the one drawing that it should show.",
                paths=(image.path,),
            )


@_rule(
    "class-balance",
    title="Unbalanced classes",
    counted="splits with unbalanced classes",
    severity=Severity.WARNING,
    why="A model favours the classes that it has seen most.",
)
def class_balance(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """A split in which one class has several times the images of another."""
    rules, tally = inspected.competition.dataset, inspected.dataset.tally()
    for split in rules.splits:
        counts = {label: tally[split, label] for label in rules.classes}
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        if counts[least] and counts[most] > _UNBALANCED * counts[least]:
            yield RuleMatch(
                message=f"In {split}, class {most} has {counts[most]:,} images and class {least} "
                f"{counts[least]:,}.",
                consequence="The script does not weight classes, so rare ones are learned, or count, less.",
                remedy=f"Add images of class {least}, or remove some of class {most}.",
                paths=(f"{split}/{least}", f"{split}/{most}"),
            )


@_rule(
    "split-ratio",
    title="Unusual split sizes",
    counted="unusual split sizes",
    severity=Severity.WARNING,
    why="With too few validation images the best weights are chosen by chance; with too many, little is left to learn from.",
)
def split_ratio(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """A later split that is tiny, or larger than the training split."""
    sizes = {split: inspected.dataset.count(split) for split in inspected.competition.dataset.splits}
    first, *rest = sizes
    for split in rest:
        if not sizes[first] or not sizes[split]:
            continue
        share = sizes[split] / (sizes[first] + sizes[split])
        if share < _SMALL_SPLIT or share > 0.5:
            yield RuleMatch(
                message=f"{split} has {sizes[split]:,} images and {first} {sizes[first]:,}: {share:.0%} in {split}.",
                consequence="The script learns from one and chooses the best weights by the other.",
                remedy="Move images between them until a tenth to a third is for validation.",
                paths=(first, split),
            )


@_rule(
    "identical-in-class",
    title="Duplicates in one class",
    counted="duplicate pairs",
    severity=Severity.NOTE,
    why="A copy doubles an image's weight and counts towards the limit.",
)
def identical_in_class(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Files of one content, split and label."""
    for copies in _same_files(inspected):
        if len(copies.labels) == len(copies.splits) == 1:
            yield RuleMatch(
                message=f"{len(copies.paths)} identical files.",
                consequence="The script counts each of them.",
                remedy="Keep one, unless it should weigh more.",
                paths=copies.paths,
            )


@_rule(
    "drawing-in-class",
    title="Same drawing several times",
    counted="drawings that appear several times",
    severity=Severity.NOTE,
    why="You may want variants of a drawing; they are listed so that none is there by mistake.",
)
def drawing_in_class(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Different files that show the same drawing in one class of one split."""
    for copies in _same_drawings(inspected):
        if len(copies.labels) == len(copies.splits) == 1:
            yield RuleMatch(
                message=f"{len(copies.paths)} files show the same drawing: {copies.because}.",
                consequence="The script treats them as different images.",
                remedy="Nothing needs to be done if you want these variants.",
                paths=copies.paths,
            )


@_rule(
    "not-compared",
    title="Images that could not be compared",
    severity=Severity.NOTE,
    why="Copies of a picture are not found if it is too large, or if its drawing does not stand out from a table or a shadow.",
)
def not_compared(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images that TensorFlow may read but whose drawing can't be extracted."""
    paths = tuple(
        image.path
        for image, inspection in inspected.readable
        if inspection.features is None and inspection.verdict.readable is not Readable.NO
    )
    if paths:
        them, they = ("it", "it is") if len(paths) == 1 else ("them", "they are")
        yield RuleMatch(
            message=f"{plural(len(paths), 'image')} could not be compared with the others.",
            consequence=f"It is unknown whether {they} blank, or also under another label, in another split or in the "
            "label book.",
            remedy=f"Crop {them} to the drawing, on a plain background, and save {them} with at most "
            f"{MAX_PIXELS:,} pixels.",
            paths=paths,
        )


@_rule(
    "small-image",
    title="Very small images",
    severity=Severity.NOTE,
    why="The script enlarges an image that is smaller than its own size, which adds no detail.",
)
def small_image(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images smaller than the script's own size."""
    height, width = inspected.competition.dataset.image_size
    paths = tuple(image.path for w, h, image in inspected.sizes if w < width or h < height)
    if paths:
        yield RuleMatch(
            message=f"{plural(len(paths), 'image')} smaller than {width} x {height} pixels.",
            consequence="The script enlarges them.",
            remedy="Nothing needs to be done if they should be so small.",
            paths=paths,
        )


class _Copies(NamedTuple):
    """Images of one file or drawing: paths, classes, splits, number of contents, and the similarity in words."""

    paths: tuple[str, ...]
    labels: list[str]
    splits: list[str]
    contents: int
    because: str


def _same_files(inspected: InspectedDataset) -> list[_Copies]:
    """Find images of the same content."""
    found = (_copies(inspected, [sha]) for sha, images in inspected.by_content.items() if len(images) > 1)
    return [copies for copies in found if len(copies.paths) > 1]


def _same_drawings(inspected: InspectedDataset) -> list[_Copies]:
    """Find images of different content that show one drawing, in the order of their paths."""
    found = (_copies(inspected, contents, _because(pairs)) for contents, pairs in inspected.drawings)
    return sorted(copies for copies in found if copies.contents > 1)


def _copies(inspected: InspectedDataset, contents: Sequence[str], because: str = "") -> _Copies:
    """Return the images of these contents; leave out those in a folder that is not a class, which have no label."""
    images = [image for sha in contents for image in inspected.by_content.get(sha, ())]
    images = [image for image in sorted(images, key=attrgetter("path")) if inspected.classes[image.label]]
    labels = sorted({inspected.classes[image.label] for image in images})
    splits = sorted({image.split for image in images})
    paths = tuple(image.path for image in images)
    return _Copies(paths, labels, splits, len({image.sha256 for image in images}), because)


def _because(pairs: list[Pair]) -> str:
    """Describe the weakest similarity in a group."""
    order = list(Similarity)
    weakest = max((pair.similarity for pair in pairs), key=order.index)
    measures = [pair.measure for pair in pairs if pair.similarity is weakest]
    return {
        Similarity.INK: "the ink is the same pixel for pixel",
        Similarity.ROWS: f"{min(measures):.0%} of the compared rows of ink are equal",
        Similarity.SHAPE: f"the ink differs by {max(measures):.0%} on average",
        Similarity.WARPED: f"rotated, stretched or sheared back, it differs {max(measures):.0%} as much as other drawings do",
    }[weakest]


# Reports show thumbnails with the findings of these rules, which are about what images show.
RULES = rules_in(globals())
