"""Convert a grey picture to the form of the competition's images: dark ink on white paper, no larger than needed."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from PIL import Image, ImageChops, ImageFilter, ImageMath

# Longest side of imported images, in pixels; 98 of 100 images of the 2021 competition have less.
MAX_SIDE = 512
# Below this contrast, of 255, nothing is drawn.
_LEAST_CONTRAST = 24
# Paper of at least this brightness everywhere is left unchanged.
_WHITE_PAPER = 250
# In pixels: narrower than a stroke, wider than noise.
_NOISE_RADIUS = 1.5
# The share of the paper's pixels that may stay grey.
_NOISE_SHARE = 0.03
# Longest side, in pixels, of the picture of the paper, and how wide ink on it may be.
_PAPER_SIDE, _WIDEST_INK = 96, 25
# The share of the outer pixels, and of all, that must be dark before dark counts as the paper.
_DARK_SHARE = 0.6
_BORDER_SHARE = 0.04
# Around a trimmed drawing, as a share of its longer side.
_MARGIN = 0.1
# Ink that covers less than this share of the picture, or fewer pixels, is a speck.
_LEAST_INK = 0.0002


class NothingDrawn(Exception):
    """The picture is blank."""


class Toned(NamedTuple):
    """A finished image (mode L), and whether light ink on dark ground was inverted."""

    image: Image.Image
    inverted: bool


def tone(grey: Image.Image, *, trim: bool) -> Toned:
    """Make ink dark on white paper, of at most `MAX_SIDE` pixels; a picture that already fits keeps its pixels.

    Args:
        grey: The picture (mode L).
        trim: Whether to crop it to the drawing and a margin.

    Raises:
        NothingDrawn: It is blank.
    """
    _require_contrast(grey)
    inverted = _is_light_on_dark(grey)
    drawn = _even_paper(ImageChops.invert(grey) if inverted else grey)
    box = _ink_box(drawn)
    if trim:
        drawn = _trimmed(drawn, box)
    if max(drawn.size) > MAX_SIDE:
        drawn.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return Toned(drawn, inverted)


def _is_light_on_dark(grey: Image.Image) -> bool:
    """Check that most of the border, and most of the picture, is the darker of its two shades.

    Both, because a photo of paper on a dark table has a dark border only.
    """
    histogram = grey.histogram()
    dark = _otsu(histogram)
    inner = grey.crop(_inset(grey.size))
    border = [whole - part for whole, part in zip(histogram, inner.histogram(), strict=True)]
    shares = [sum(counts[: dark + 1]) / max(1, sum(counts)) for counts in (border, histogram)]
    return min(shares) > _DARK_SHARE


def _inset(size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    edge = max(1, round(min(size) * _BORDER_SHARE))
    return (
        min(edge, width // 2),
        min(edge, height // 2),
        max(width - edge, width // 2),
        max(height - edge, height // 2),
    )


def _otsu(histogram: list[int]) -> int:
    """Compute Otsu's threshold: the shade that divides pixels into the two classes that differ most."""
    total, weighted = sum(histogram), sum(shade * count for shade, count in enumerate(histogram))
    best, chosen = -1.0, 0
    below = below_weighted = 0
    for shade, count in enumerate(histogram[:-1]):
        below += count
        below_weighted += shade * count
        if not 0 < below < total:
            continue
        mean, other = below_weighted / below, (weighted - below_weighted) / (total - below)
        if (between := below * (total - below) * (mean - other) ** 2) > best:
            best, chosen = between, shade
    return chosen


def _require_contrast(grey: Image.Image) -> None:
    """Require contrast beyond noise, which a blur removes, against the most common shade.

    Raises:
        NothingDrawn: There is only noise.
    """
    histogram = grey.filter(ImageFilter.GaussianBlur(_NOISE_RADIUS)).histogram()
    darkest, middle, lightest = (_shade_at(histogram, share) for share in (_LEAST_INK, 0.5, 1 - _LEAST_INK))
    if max(middle - darkest, lightest - middle) < _LEAST_CONTRAST:
        raise NothingDrawn


def _even_paper(grey: Image.Image) -> Image.Image:
    """Even out the paper: divide out shadows and the paper's grey, then make ink as dark as possible."""
    small = grey.copy()
    small.thumbnail((_PAPER_SIDE, _PAPER_SIDE), Image.Resampling.BOX, reducing_gap=None)
    widest = min(_WIDEST_INK, (min(small.size) - 1) // 2 * 2 + 1)
    paper = small.filter(ImageFilter.MaxFilter(max(3, widest))).filter(ImageFilter.GaussianBlur(4))
    if int(paper.getextrema()[0]) >= _WHITE_PAPER:  # type: ignore[arg-type]
        return grey
    even: Image.Image = ImageMath.lambda_eval(
        lambda given: given["convert"](
            given["min"](given["grey"] * 255 / given["max"](given["paper"], 1), 255), "L"
        ),
        grey=grey,
        paper=paper.resize(grey.size, Image.Resampling.BICUBIC),
    )
    _require_contrast(even)
    histogram = even.histogram()
    darkest, white = _shade_at(histogram, _LEAST_INK), _white_point(histogram)
    return even.point([max(0, min(255, round((v - darkest) * 255 / (white - darkest)))) for v in range(256)])


def _shade_at(histogram: list[int], share: float) -> int:
    """Return the shade such that at most that share of pixels is darker."""
    least = sum(histogram) * share
    return next(shade for shade, count in enumerate(itertools.accumulate(histogram)) if count > least)


def _white_point(histogram: list[int]) -> int:
    """Return the shade from which pixels count as paper: most shades lighter than ink, with their noise."""
    ink = _otsu(histogram)
    paper = [0] * (ink + 1) + histogram[ink + 1 :]
    middle = _shade_at(paper, 0.5)
    return max(_shade_at(paper, _NOISE_SHARE), (ink + middle) // 2)


def _ink_box(drawn: Image.Image) -> tuple[int, int, int, int]:
    """Return the box around the ink: left, top, right, bottom.

    Raises:
        NothingDrawn: The picture is blank.
    """
    threshold = _otsu(drawn.histogram())
    ink = drawn.point([255 * (shade <= threshold) for shade in range(256)])
    if ink.histogram()[255] < max(4, _LEAST_INK * drawn.width * drawn.height):
        raise NothingDrawn
    # A single pixel is not ink, unless there is nothing else.
    box = ink.filter(ImageFilter.MedianFilter(3)).getbbox() or ink.getbbox()
    assert box is not None  # noqa: S101 - there is ink
    return box


def _trimmed(drawn: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Crop to the box with a margin, filled with white beyond the picture's edge."""
    left, top, right, bottom = box
    margin = max(2, round(max(right - left, bottom - top) * _MARGIN))
    cut = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin), 255)
    cut.paste(drawn, (margin - left, margin - top))
    return cut
