"""The ink of a picture, for programs of the analysis environment, which alone has numpy and scipy."""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

# A larger drawing is scaled down to this many pixels on its longer side.
_LARGEST = 128
# Ink is at least this dark, of 255, and has at least this share of the darkest pixel's darkness.
_FAINT = 40.0
INK_SHARE = 0.35
# Connected pieces with less than this share of the ink are specks.
SPECK = 0.02

Array = Any  # numpy's own type of an array is generic over shapes that say nothing here


class Ink(NamedTuple):
    """Which parts of a picture are ink.

    Attributes:
        darkness: Darkness of each pixel, 0 to 255, on a light background.
        marked: Which pixels are ink.
        pieces: For each pixel the number of the connected piece it is part of, from 1; 0 if it has no ink.
        areas: Pixels of each piece; 0 for number 0.
    """

    darkness: Array
    marked: Array
    pieces: Array
    areas: Array

    def strokes(self, kept: Array) -> Array:
        """Return the darkness of the ``kept`` pieces, with the grey around them; 0 elsewhere."""
        near = ndimage.binary_dilation(kept[self.pieces] & self.marked, iterations=2)
        return np.where(near, self.darkness, 0.0)


def read_ink(path: str) -> Ink | None:
    """Read the ink of a picture, dark on light or light on dark; None if there is none.

    Raises:
        Exception: Whatever Pillow raises for a file that it can't read.
    """
    with Image.open(path) as opened:
        image = opened.convert("L")
        if max(image.size) > _LARGEST:
            scale = _LARGEST / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BOX)
    darkness = 255 - np.asarray(image, float)
    if darkness.mean() > 127:
        darkness = 255 - darkness
    marked = darkness > max(_FAINT, darkness.max() * INK_SHARE)
    pieces, count = ndimage.label(marked, np.ones((3, 3)))
    if not count:
        return None
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    return Ink(darkness, marked, pieces, areas)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
