"""The result of inspecting the content of an image file."""

from __future__ import annotations

from typing import NamedTuple

from cldc.validation.metadata.model import Metadata
from cldc.validation.tensorflow_decoder import Verdict

MAX_PIXELS = 4_000_000
"""Pictures with more pixels are reduced to this many before they are compared or shown."""


class Features(NamedTuple):
    """A picture's features; the last seven are empty or 0 if there is no ink.

    Attributes:
        width: Pixels.
        height: Pixels.
        ink_pixels: The amount of ink, in pixels of full contrast.
        ink_box: Width and height in pixels of the part that holds all ink.
        ink: Hash of that part: equal for the same drawing with other margins.
        contrast: The distance of the blackest ink from the background, 1 to 255.
        blocks: That part scaled to 16 x 16 pixels, a byte each, 0 for no ink; pale ink as if it were black.
        shape: A bit for each of these 256: is it inkier than their mean?
        rows: Sampled hashes of four consecutive rows of ink, four bytes each, the first through more than one stroke:
            shared by pictures that show a part of the same drawing, pixel for pixel.
    """

    width: int
    height: int
    ink_pixels: int
    ink_box: tuple[int, int] = (0, 0)
    ink: str = ""
    contrast: int = 0
    blocks: bytes = b""
    shape: int = 0
    rows: bytes = b""

    @property
    def row_hashes(self) -> memoryview[int]:
        """Return `rows` as numbers."""
        return memoryview(self.rows).cast("I")


class Inspection(NamedTuple):
    """What a content shows, whichever files have it.

    Attributes:
        verdict: Whether TensorFlow reads it.
        features: The drawing's features; None if no picture could be loaded, or no drawing stands out in it.
        metadata: The kinds of metadata in it.
    """

    verdict: Verdict
    features: Features | None = None
    metadata: tuple[Metadata, ...] = ()
