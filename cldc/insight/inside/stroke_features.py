"""Drawings as numbers: cut to their strokes, set upright, described by the directions and counts of their strokes.

Only programs of the analysis environment import this.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import os
import sys
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "inside"))

from ink import INK_SHARE, SPECK, Array, read_ink

# Pieces at the picture's edge with less than this share of the ink are what a cut left of another drawing or of a frame.
_REMNANT = 0.12
# Half the side of an upright drawing, in standard deviations of its ink.
_REACH = 2.2


class Drawing(NamedTuple):
    """A drawing cut to its strokes.

    Attributes:
        strokes: Darkness of each pixel, 0 to 255, without specks and remnants; cut to the strokes.
        proportion: Logarithm of width by height.
    """

    strokes: Array
    proportion: float


def read_drawing(path: str) -> Drawing | None:
    """Read the drawing in a file, dark on light or light on dark; None without ink.

    Raises:
        Exception: Whatever Pillow raises for a file that it can't read.
    """
    ink = read_ink(path)
    if ink is None:
        return None
    edges = [ink.pieces[:2], ink.pieces[-2:], ink.pieces[:, :2], ink.pieces[:, -2:]]
    least = np.full(len(ink.areas), SPECK * ink.areas.sum())
    least[np.unique(np.concatenate([edge.ravel() for edge in edges]))] = _REMNANT * ink.areas.sum()
    kept = ink.areas >= np.minimum(least, ink.areas.max())
    inside = kept[ink.pieces] & ink.marked
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    strokes = ink.strokes(kept)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Drawing(strokes, float(np.log(strokes.shape[1] / strokes.shape[0])))


def scaled(strokes: Array, side: int) -> Array:
    """Stretch the strokes to a square, 0 to 1."""
    image = Image.fromarray(strokes.astype("uint8"))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), float) / 255


def upright(strokes: Array, side: int) -> Array:
    """Put the strokes in a square, 0 to 1, without slant and with equal variance of their ink along both axes."""
    rows, columns = np.mgrid[: strokes.shape[0], : strokes.shape[1]]
    total = strokes.sum()
    row, column = (rows * strokes).sum() / total, (columns * strokes).sum() / total
    high = ((rows - row) ** 2 * strokes).sum() / total + 0.5
    wide = ((columns - column) ** 2 * strokes).sum() / total + 0.5
    both = ((rows - row) * (columns - column) * strokes).sum() / total
    slant = both / high
    matrix = np.array([[np.sqrt(high), 0.0], [slant * np.sqrt(high), np.sqrt(max(wide - slant * both, 0.5))]])
    matrix *= 2 * _REACH / side
    offset = np.array([row, column]) - matrix @ np.full(2, (side - 1) / 2)
    smooth = ndimage.gaussian_filter(strokes, max(0.01, 0.4 * np.sqrt(np.linalg.det(matrix))))
    found = ndimage.affine_transform(smooth, matrix, offset, (side, side), order=1)
    return found / max(found.max(), 1e-6)


def direction_histograms(square: Array, *, cell: int, bins: int = 8) -> Array:
    """Compute histograms of the strokes' directions over overlapping blocks (Dalal and Triggs, 2005)."""
    planes = _direction_planes(square, bins, turn=np.pi)
    cells = square.shape[0] // cell
    histogram = planes.reshape(bins, cells, cell, cells, cell).sum((2, 4)).transpose(1, 2, 0)
    blocks = [histogram[i : i + 2, j : j + 2].ravel() for i in range(cells - 1) for j in range(cells - 1)]
    return np.concatenate([block / np.sqrt((block**2).sum() + 0.01) for block in blocks])


def direction_maps(square: Array, *, cells: int = 8, bins: int = 8) -> Array:
    """Compute the strength of edges in each of eight directions around points of a grid (Liu, 2007)."""
    planes = _direction_planes(ndimage.gaussian_filter(square, 0.7), bins, turn=2 * np.pi)
    step = square.shape[0] / cells
    planes = ndimage.gaussian_filter(planes, (0, step * 0.6, step * 0.6))
    points = ((np.arange(cells) + 0.5) * step).astype(int)
    found = np.sqrt(np.maximum(planes[:, points][:, :, points], 0)).ravel()
    return found / (np.linalg.norm(found) + 0.1)


def _direction_planes(square: Array, bins: int, *, turn: float) -> Array:
    """Divide the strength of each pixel's gradient between the two nearest of ``bins`` directions."""
    down, right = np.gradient(square)
    strength = np.hypot(right, down)
    angle = (np.arctan2(down, right) % turn) / turn * bins
    low, part = np.floor(angle).astype(int) % bins, angle - np.floor(angle)
    planes = np.zeros((bins, *square.shape))
    rows, columns = np.indices(square.shape)
    np.add.at(planes, (low, rows, columns), strength * (1 - part))
    np.add.at(planes, ((low + 1) % bins, rows, columns), strength * part)
    return planes


def stroke_counts(square: Array) -> Array:
    """Count how many strokes a line crosses, on average over each of 16 bands of rows and 16 of columns."""
    marked = square > INK_SHARE * max(square.max(), 0.1)
    return np.concatenate(
        [
            (np.diff(np.pad(lines.astype(int), ((0, 0), (1, 0))), axis=1) > 0).sum(1).reshape(16, -1).mean(1)
            for lines in (marked, marked.T)
        ]
    )
