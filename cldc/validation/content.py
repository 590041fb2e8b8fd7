"""Rules about what the images show: duplicates, conflicts, blank and outsized ones, balance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cldc.dataset import Image
from cldc.text import plural
from cldc.validation.alike import PRECISION, Evidence, Pair
from cldc.validation.decoding import Readable
from cldc.validation.model import Hit, Rule, Severity, Subject, rule
from cldc.validation.pictures import MAX_PIXELS

_DATA = "good practice; measured on the 2021 competition's starting dataset"
_BLANK_SHARE = 0.001
_OUTSIZED = 4
_UNBALANCED = 3
_SMALL_SPLIT = 0.05

# Images that are copies of each other, and how that is known.
_Group = tuple[list[Image], str]


@rule(
    "identical-two-labels",
    title="No image is there under two labels",
    severity=Severity.WARNING,
    why="One of the labels is wrong, and the model is taught both.",
    source=_DATA,
)
def identical_two_labels(subject: Subject) -> Iterator[Hit]:
    """Files of one content in folders of different classes."""
    return _copies(
        subject,
        _identical(subject),
        "label",
        message="The same file is labelled {where}.",
        consequence="The script trains on, or checks against, a wrong label.",
        remedy="Keep the one with the right label.",
    )


@rule(
    "identical-across-splits",
    title="No image is in two splits",
    severity=Severity.WARNING,
    why="The best weights are chosen by the validation accuracy; images that were trained on make it look better.",
    source=_DATA,
)
def identical_across_splits(subject: Subject) -> Iterator[Hit]:
    """Files of one content and label in more than one split."""
    return _copies(
        subject,
        _identical(subject),
        "split",
        message="The same file is in {where}.",
        consequence="The script checks the model on an image that it was trained on.",
        remedy="Keep it in one split only.",
    )


@rule(
    "identical-in-class",
    title="No image is there twice",
    severity=Severity.NOTE,
    why="A copy weighs an image double and takes a place under the limit.",
    source=_DATA,
)
def identical_in_class(subject: Subject) -> Iterator[Hit]:
    """Files of one content, split and label."""
    return _copies(
        subject,
        _identical(subject),
        "",
        message="The same file is there {count} times.",
        consequence="The script counts it {count} times.",
        remedy="Keep one, unless it is to weigh more.",
    )


@rule(
    "in-label-book",
    title="No image is in the label book",
    severity=Severity.WARNING,
    why="The label book is the sample test set; an image trained on says nothing as a test.",
    source=_DATA,
)
def in_label_book(subject: Subject) -> Iterator[Hit]:
    """Files whose content, or whose drawing, is in the label book."""
    if not subject.label_book:
        return
    drawn = {
        sha: (next(subject.label_book[other][0] for other in contents if other in subject.label_book), links)
        for contents, links in subject.book_groups
        for sha in contents
    }
    for image in subject.dataset.images:
        if image.sha256 and image.sha256 in subject.label_book:
            known = subject.label_book[image.sha256]
            yield Hit(
                message=f"{image.path} is in the label book, as {known[0]}.",
                consequence="The accuracy on the label book comes out better than it is.",
                remedy="Remove it from the dataset.",
                paths=(image.path,),
            )
        elif image.sha256 in drawn:
            path, links = drawn[image.sha256]
            yield Hit(
                message=f"{image.path} shows the same drawing as {path} in the label book: {_because(links)}.",
                consequence="The accuracy on the label book comes out better than it is.",
                remedy="Look at them, and remove it from the dataset.",
                paths=(image.path,),
            )


@rule(
    "drawing-two-labels",
    title="No drawing is there under two labels",
    severity=Severity.WARNING,
    why="The same drawing, cut, padded or saved differently, is a duplicate that other checks do not see. Under "
    "two labels one of them is wrong.",
    source=_DATA,
)
def drawing_two_labels(subject: Subject) -> Iterator[Hit]:
    """Different files that show the same drawing in folders of different classes."""
    return _copies(
        subject,
        _drawings(subject),
        "label",
        message="The same drawing is labelled {where}: {because}.",
        consequence="The script trains on, or checks against, a wrong label.",
        remedy="Look at them and keep the right label.",
    )


@rule(
    "drawing-across-splits",
    title="No drawing is in two splits",
    severity=Severity.WARNING,
    why="A drawing that was trained on says little in validation, though it was cut or padded differently.",
    source=_DATA,
)
def drawing_across_splits(subject: Subject) -> Iterator[Hit]:
    """Different files that show the same drawing in more than one split."""
    return _copies(
        subject,
        _drawings(subject),
        "split",
        message="The same drawing is in {where}: {because}.",
        consequence="The script checks the model on a drawing that it was trained on.",
        remedy="Keep it in one split only.",
    )


@rule(
    "drawing-in-class",
    title="Drawings that are there several times",
    severity=Severity.NOTE,
    why="Variants of a drawing may be wanted; here they are told, so that none is there by mistake.",
    source=_DATA,
)
def drawing_in_class(subject: Subject) -> Iterator[Hit]:
    """Different files that show the same drawing in one class of one split."""
    return _copies(
        subject,
        _drawings(subject),
        "",
        message="{count} files show the same drawing: {because}.",
        consequence="The script takes them as different images.",
        remedy="Nothing needs to be done if these variants are meant.",
    )


@rule(
    "blank-image",
    title="No image is blank",
    severity=Severity.WARNING,
    why="An image without ink teaches that nothing looks like its class.",
    source=_DATA,
)
def blank_image(subject: Subject) -> Iterator[Hit]:
    """Images of one shade, or nearly."""
    for image, found in subject.seen:
        seen = found.features
        if seen and (seen.ink_pixels < 1 or seen.ink_pixels < _BLANK_SHARE * seen.width * seen.height):
            how = (
                "blank" if not seen.ink_pixels else f"nearly blank: {plural(seen.ink_pixels, 'pixel')} of ink"
            )
            yield Hit(
                message=f"{image.path} is {how}.",
                consequence=f"The script trains on it as {subject.classes[image.label] or image.label!r}.",
                remedy="Remove it, or put the right image there.",
                paths=(image.path,),
            )


@rule(
    "not-compared",
    title="Every image is compared with the others",
    severity=Severity.NOTE,
    why="Where a picture is too large, or its drawing does not stand out from a table or a shadow, no copy of it is found.",
    source=_DATA,
)
def not_compared(subject: Subject) -> Iterator[Hit]:
    """Images that TensorFlow may read and whose drawing is not known."""
    if not subject.thorough:
        return
    paths = tuple(
        image.path
        for image, found in subject.seen
        if found.features is None and found.verdict.readable is not Readable.NO
    )
    if paths:
        them, they = ("it", "it is") if len(paths) == 1 else ("them", "they are")
        yield Hit(
            message=f"{plural(len(paths), 'image')} could not be compared with the others.",
            consequence=f"Nobody knows whether {they} blank or there under another label, in another split or in the "
            "label book.",
            remedy=f"Cut {them} to the one drawing, on a plain background, and save {them} with at most "
            f"{MAX_PIXELS:,} pixels.",
            paths=paths,
        )


@rule(
    "outsized-image",
    title="Images are of like size",
    severity=Severity.WARNING,
    why="The script scales every image to the same few pixels; on a sheet of many drawings nothing of them is left.",
    source=_DATA,
)
def outsized_image(subject: Subject) -> Iterator[Hit]:
    """Images much larger than most of the dataset."""
    height, width = subject.competition.dataset.image_size
    longest = sorted([wide if wide > high else high for wide, high in subject.sizes])
    usual = longest[len(longest) // 2] if longest else 0
    if not longest or longest[-1] <= _OUTSIZED * usual:
        return
    for wide, high, image in _sized(subject):
        if wide > _OUTSIZED * usual or high > _OUTSIZED * usual:
            yield Hit(
                message=f"{image.path} is {wide:,} x {high:,} pixels; most are about {usual:,.0f}.",
                consequence=f"The script scales it to {width} x {height} pixels, as it does all others.",
                remedy="Cut it to the one drawing that it should show.",
                paths=(image.path,),
            )


@rule(
    "small-image",
    title="Images are no smaller than what the script makes of them",
    severity=Severity.NOTE,
    why="A smaller image is scaled up, and can't hold more than its own pixels.",
    source=_DATA,
)
def small_image(subject: Subject) -> Iterator[Hit]:
    """Images smaller than the script's own size."""
    height, width = subject.competition.dataset.image_size
    if any(wide < width or high < height for wide, high in subject.sizes):
        small = (image.path for wide, high, image in _sized(subject) if wide < width or high < height)
        yield Hit(
            message=f"Images smaller than {width} x {height} pixels.",
            consequence="The script scales them up.",
            remedy="Nothing needs to be done if they are meant to be so small.",
            paths=tuple(small),
        )


@rule(
    "class-balance",
    title="Classes are of like size",
    severity=Severity.WARNING,
    why="A model prefers the classes that it saw most.",
    source=_DATA,
)
def class_balance(subject: Subject) -> Iterator[Hit]:
    """A split in which one class has several times the images of another."""
    for split in subject.competition.dataset.splits:
        counts = {
            label: subject.tally.get((split, label), 0) for label in subject.competition.dataset.classes
        }
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        if counts[least] and counts[most] > _UNBALANCED * counts[least]:
            yield Hit(
                message=f"In {split}, class {most} has {counts[most]:,} images and class {least} "
                f"{counts[least]:,}.",
                consequence="The script does not weigh classes: rare ones are learnt, or count, less.",
                remedy=f"Add images of class {least}, or take away some of class {most}.",
                paths=(f"{split}/{least}", f"{split}/{most}"),
            )


@rule(
    "split-ratio",
    title="Splits are of sensible size",
    severity=Severity.WARNING,
    why="Too few validation images choose the best weights by chance; those in validation are not learnt from.",
    source=_DATA,
)
def split_ratio(subject: Subject) -> Iterator[Hit]:
    """A later split that is tiny, or larger than the training split."""
    first, *rest = subject.competition.dataset.splits
    sizes = {
        split: sum(count for (of, _), count in subject.tally.items() if of == split)
        for split in (first, *rest)
    }
    for split in rest:
        if not sizes[first] or not sizes[split]:
            continue
        share = sizes[split] / (sizes[first] + sizes[split])
        if share < _SMALL_SPLIT or share > 0.5:
            yield Hit(
                message=f"{split} has {sizes[split]:,} images and {first} {sizes[first]:,}: {share:.0%} in {split}.",
                consequence="The script learns from one and chooses the best weights by the other.",
                remedy="Move images between them until a tenth to a third validates.",
                paths=(first, split),
            )


def _copies(
    subject: Subject,
    groups: Iterable[_Group],
    apart: str,
    *,
    message: str,
    consequence: str,
    remedy: str,
) -> Iterator[Hit]:
    """A hit for each group of copies that ``apart`` tells apart: their "label", else their "split", else nothing.

    Texts may name what the copies lie in, ``{where}``, their ``{count}``, and ``{because}``.
    """
    classes = subject.classes
    for images, because in groups:
        labels, splits = {classes[image.label] for image in images}, {image.split for image in images}
        if apart != ("label" if len(labels) > 1 else "split" if len(splits) > 1 else ""):
            continue
        where = " and ".join(sorted(labels if apart == "label" else splits))
        told = {"where": where, "count": len(images), "because": because}
        yield Hit(
            message=message.format(**told),
            consequence=consequence.format(**told),
            remedy=remedy,
            paths=tuple(image.path for image in images),
        )


def _identical(subject: Subject) -> Iterator[_Group]:
    """Images that share their content with others; those in a folder that is no class are left out."""
    for images in subject.by_content.values():
        if len(images) > 1 and len(labelled := _labelled(subject, images)) > 1:
            yield labelled, ""


def _drawings(subject: Subject) -> Iterator[_Group]:
    """Images of different content that show one drawing, in the order of their paths, and how that is known."""
    groups = []
    for contents, links in subject.drawings:
        every = [image for sha in contents for image in subject.by_content.get(sha, ())]
        images = _labelled(subject, every)
        if len({image.sha256 for image in images}) > 1:
            groups.append((sorted(images, key=lambda image: image.path), _because(links)))
    yield from sorted(groups, key=lambda group: group[0][0].path)


def _labelled(subject: Subject, images: list[Image]) -> list[Image]:
    """Those in a folder that is a class or is named like one: others have no label that could be wrong."""
    return [image for image in images if subject.classes[image.label]]


def _because(links: list[Pair]) -> str:
    """The evidence of a group, as good as its weakest link, and how often it was right where that was measured."""
    weakest = max(links, key=lambda link: (list(Evidence).index(link.evidence), -link.measure))
    share = min(link.measure for link in links if link.evidence == weakest.evidence)
    most = max(link.measure for link in links if link.evidence == weakest.evidence)
    right, measured = PRECISION[weakest.evidence]
    text = {
        Evidence.INK: "cut to its ink, it is the same pixel for pixel",
        Evidence.ROWS: f"they share {share:.0%} of the rows of ink that were compared",
        Evidence.SHAPE: f"cut to the ink, their blocks differ by {most:.0%} on average",
    }[weakest.evidence]
    return f"{text} (right in {right} of {measured} pairs where this was measured)"


def _sized(subject: Subject) -> list[tuple[int, int, Image]]:
    """Width and height in pixels of the images whose headers tell them."""
    return [
        (found.verdict.width, found.verdict.height, image)
        for image, found in subject.seen
        if found.verdict.width and found.verdict.height
    ]


# Rules whose findings are about what images show, for which a reader wants to see them.
RULES: tuple[Rule, ...] = (
    drawing_two_labels,
    identical_two_labels,
    in_label_book,
    identical_across_splits,
    drawing_across_splits,
    blank_image,
    outsized_image,
    class_balance,
    split_ratio,
    identical_in_class,
    drawing_in_class,
    not_compared,
    small_image,
)
__all__ = ["RULES"]
