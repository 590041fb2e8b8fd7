"""An image as the page shows it: small, large, or as the model sees it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from cldc.dataset import ImageFile, read_image
from cldc.insight.pictures import seen_by_model
from cldc.validation.large_pictures import viewable_picture
from cldc.validation.tensorflow_decoder import Readable, judge

_SIDES = {"small": 208, "large": 1400}


class Size(StrEnum):
    """How a picture is wanted: for the grid, enlarged, or scaled to the few pixels that the model sees."""

    SMALL = "small"
    LARGE = "large"
    SEEN = "seen"


class NoPictureError(Exception):
    """The file can't be shown; the message says why, in a few words."""


def draw(root: Path, file: ImageFile, size: Size, *, seen: Sequence[int]) -> bytes:
    """A PNG of an image of the dataset.

    Args:
        root: The dataset's folder.
        file: The image, whose content may be anything.
        size: Which picture of it.
        seen: Height and width in pixels that the training script scales an image to.

    Raises:
        NoPictureError: The file can't be read, or Pillow does not recognize it as a picture.
    """
    read = read_image(root, file)
    if read.image.error:
        raise NoPictureError(read.image.error)
    if read.content is None:
        raise NoPictureError("it is too large to be shown")
    if size is Size.SEEN and judge(read.content).readable is Readable.NO:
        raise NoPictureError("TensorFlow can't read it")
    try:
        picture = viewable_picture(read.content)
    except Exception as error:  # Pillow raises many kinds of exceptions on odd files
        raise NoPictureError("it can't be decoded") from error
    if picture is None:
        raise NoPictureError("it has too many pixels to be shown")
    if size is Size.SEEN:
        picture = seen_by_model(picture, seen)
    else:
        picture.thumbnail((_SIDES[size], _SIDES[size]))
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
