"""Parse the script's predictions of the label book, and compare them with the accuracy that it printed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cldc.competition import Competition
from cldc.files import storage_errors
from cldc.preflight.model import LabelBook, Script
from cldc.preflight.output import ScriptOutput

_KERAS_LOADER = b"image_dataset_from_directory"
# From this version on, Keras' loader reads class folders in order of name; older versions use the listing order.
_BY_NAME_FROM = (2, 5)


class UnusablePredictions(ValueError):
    """The predictions can't be used; the text gives the reason as a sentence."""


@dataclass(frozen=True, slots=True)
class ExpectedLabels:
    """The labels of the label book's images, and the orders in which a script may read them.

    Within a class the order makes no difference to how many predictions are right.

    Attributes:
        counts: Number of images of each class, in the order of the competition's classes.
        orders: Orders of class indices in which the script may go through the classes; empty where any order of the
            images is possible.
    """

    counts: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(self.counts)

    def right(self, predictions: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield for each possible order the smallest and the largest possible number of right predictions."""
        for order in self.orders:
            labels = [index for index in order for _ in range(self.counts[index])]
            right = sum(label == predicted for label, predicted in zip(labels, predictions, strict=True))
            yield right, right
        if not self.orders:
            predicted = Counter(predictions)
            pairs = [(count, predicted[index]) for index, count in enumerate(self.counts)]
            fewest = sum(max(0, count + guessed - self.total) for count, guessed in pairs)
            yield fewest, sum(min(pair) for pair in pairs)


def expected_labels(
    label_book: LabelBook, competition: Competition, script: Script, *, tensorflow: str = ""
) -> ExpectedLabels:
    """Build the labels that predictions must fit.

    Args:
        script: The training script: Keras' loader has its own order, and other scripts may have any.
        tensorflow: The version that runs it; empty if unknown.

    Raises:
        StorageError: The script can't be read.
    """
    classes = competition.dataset.classes
    found = Counter(path.partition("/")[0] for path, _ in label_book.images)
    counts = tuple(found[name] for name in classes)
    with storage_errors(script.path):
        if _KERAS_LOADER not in script.path.read_bytes():
            return ExpectedLabels(counts, ())
    as_listed = tuple(range(len(classes)))
    by_name = tuple(sorted(as_listed, key=lambda index: classes[index]))
    version = re.match(r"(\d{1,4})\.(\d{1,4})", tensorflow)
    if version is None:
        return ExpectedLabels(counts, (as_listed, by_name))
    recent = (int(version[1]), int(version[2])) >= _BY_NAME_FROM
    return ExpectedLabels(counts, (by_name if recent else as_listed,))


def parse_predictions(
    content: bytes, labels: ExpectedLabels, output: ScriptOutput, *, what: str
) -> tuple[int, ...]:
    """Parse the class index of each image of the label book, in the script's order.

    Args:
        output: The script's output; if it has no accuracy on the label book, nothing is compared.
        what: Name of the predictions in messages.

    Raises:
        UnusablePredictions: The number of class indices is not that of the images, or they contradict the printed accuracy.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusablePredictions(f"{what} is not valid JSON: {error}.") from error
    if not isinstance(found, list) or not all(type(item) is int for item in found):
        raise UnusablePredictions(f"{what} is not a list of whole numbers.")
    if len(found) != labels.total:
        raise UnusablePredictions(
            f"{what} has {len(found)} predictions, the label book {labels.total} images."
        )
    classes = len(labels.counts)
    if wrong := [item for item in found if not 0 <= item < classes]:
        raise UnusablePredictions(
            f"{what} has the prediction {wrong[0]}; the {classes} classes are 0 to {classes - 1}."
        )
    _compare(found, labels, output, what)
    return tuple(found)


def _compare(predictions: Sequence[int], labels: ExpectedLabels, output: ScriptOutput, what: str) -> None:
    printed, total = output.label_book, labels.total
    if printed is None:
        return
    # An accuracy is a whole number of images, so less than half an image is rounding, as is the script's own rounding.
    tolerance = max(0.5, total * output.rounding)
    wanted = printed.accuracy * total
    possible = list(labels.right(predictions))
    if any(fewest - tolerance <= wanted <= most + tolerance for fewest, most in possible):
        return
    near = min((count for pair in possible for count in pair), key=lambda count: abs(count - wanted))
    share = f"{near / total:.2%}" if total else "none"
    exactly = "" if labels.orders else "at most " if near < wanted else "at least "
    raise UnusablePredictions(
        f"{what} gets {exactly}{share} of the label book right, but the training script printed "
        f"{printed.accuracy:.2%}: they do not come from the same model."
    )
