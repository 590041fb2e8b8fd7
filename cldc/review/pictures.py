"""An image as the page shows it: small, large, or as the model sees it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import PIL.Image

from cldc.dataset import ImageFile, read_image
from cldc.insight.pictures import seen_by_model
from cldc.validation.inspection import MAX_PIXELS
from cldc.validation.large_pictures import reduced_picture
from cldc.validation.pictures import FORMATS, as_grey
from cldc.validation.tensorflow_decoder import Readable, judge

# Includes formats that TensorFlow can't read, so that people see the image.
_SHOWN = (*FORMATS, "WEBP", "TIFF")
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
    picture = _decoded(read.content)
    if size is Size.SEEN:
        picture = seen_by_model(picture, seen)
    else:
        picture.thumbnail((_SIDES[size], _SIDES[size]))
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _decoded(content: bytes) -> PIL.Image.Image:
    """The picture in mode L or RGB, as TensorFlow reads it: without transparency, 16 bits as 8."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(content), formats=_SHOWN) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    reduced = reduced_picture(content, judge(content))
                    if reduced is None:
                        raise NoPictureError("it has too many pixels to be shown")
                    return reduced.grey
                if opened.mode in ("1", "L") or opened.mode.startswith("I;16"):
                    return as_grey(opened).convert("L")
                return opened.convert("RGB")
    except NoPictureError:
        raise
    except Exception as error:  # Pillow raises many kinds of exceptions on odd files
        raise NoPictureError("it can't be decoded") from error
