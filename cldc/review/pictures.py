"""An image as the page shows it: small, large, or as the model sees it."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from cldc.dataset import ImageFile, read_image
from cldc.insight.pictures import seen_by_model
from cldc.review.session import Session
from cldc.validation.large_pictures import viewable_picture
from cldc.validation.tensorflow_decoder import Readable, judge

_SIDES = {"small": 208, "large": 1400}
_MOST_KEPT_BYTES = 64_000_000


class Size(StrEnum):
    """How a picture is wanted: for the grid, enlarged, or scaled to the few pixels that the model sees."""

    SMALL = "small"
    LARGE = "large"
    SEEN = "seen"


class NoPictureError(Exception):
    """The file can't be shown; the message says why, in a few words."""


class Pictures:
    """Creates pictures on request and caches the most recent small ones."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, size: Size) -> bytes:
        """A PNG.

        Raises:
            NoPictureError: The image is gone, has changed or can't be shown.
        """
        file = self._session.file(key)
        if file is None:
            raise NoPictureError("it has changed, or is no longer there")
        with self._lock:
            if size is Size.SMALL and key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = draw(self._session.root, file, size, seen=self._session.competition.dataset.image_size)
        with self._lock:
            if size is Size.SMALL and key not in self._kept:
                self._kept[key] = content
                self._bytes += len(content)
                while self._bytes > _MOST_KEPT_BYTES:
                    self._bytes -= len(self._kept.popitem(last=False)[1])
        return content


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
