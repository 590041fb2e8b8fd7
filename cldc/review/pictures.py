"""Draw an image as the page shows it: small, large, or as the model sees it."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from enum import StrEnum

from cldc.dataset import Image, read_image
from cldc.insight.page_pictures import seen_by_model
from cldc.review.session import ReviewSession
from cldc.validation.large_pictures import viewable_picture
from cldc.validation.tensorflow_decoder import Readable, judge

_MOST_KEPT_BYTES = 64_000_000


class Size(StrEnum):
    """The size of a picture: for the grid, enlarged, or scaled to the few pixels that the model sees."""

    SMALL = "small"
    LARGE = "large"
    SEEN = "seen"


_SIDES = {Size.SMALL: 208, Size.LARGE: 1400}


class NoPictureError(Exception):
    """The file can't be shown; the message says why, in a few words."""


class Pictures:
    """Creates pictures on request and caches the most recent small ones."""

    def __init__(self, session: ReviewSession) -> None:
        self._session = session
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, size: Size) -> bytes:
        """Return a PNG of the image with that key.

        Raises:
            NoPictureError: The image is gone, has changed or can't be shown.
        """
        image = self._session.image(key)
        if image is None:
            raise NoPictureError("it was changed or removed")
        with self._lock:
            if size is Size.SMALL and key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = _draw(self._session, image, size)
        with self._lock:
            if size is Size.SMALL and key not in self._kept:
                self._kept[key] = content
                self._bytes += len(content)
                while self._bytes > _MOST_KEPT_BYTES:
                    self._bytes -= len(self._kept.popitem(last=False)[1])
        return content


def _draw(session: ReviewSession, image: Image, size: Size) -> bytes:
    image, content = read_image(session.root, image)
    if image.error:
        raise NoPictureError(image.error)
    if content is None:
        raise NoPictureError("it is too large to be shown")
    if size is Size.SEEN and judge(content).readable is Readable.NO:
        raise NoPictureError("TensorFlow can't read it")
    try:
        picture = viewable_picture(content)
    except Exception as error:  # Pillow raises many kinds of exceptions on odd files
        raise NoPictureError("it can't be decoded") from error
    if picture is None:
        raise NoPictureError("it has too many pixels to be shown")
    if size is Size.SEEN:
        picture = seen_by_model(picture, session.competition.dataset.image_size)
    else:
        picture.thumbnail((_SIDES[size], _SIDES[size]))
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
