"""The metadata that an image file carries besides its picture."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Metadata(StrEnum):
    """A kind of metadata that reveals something about a person; the value is stable, for JSON."""

    POSITION = "position"
    DEVICE = "device"
    TEXT = "text"
    EMBEDDED = "embedded"


class Piece(NamedTuple):
    """A part of a file that no decoder needs.

    Attributes:
        start: The offset of its first byte.
        end: The offset of the first byte after it.
        kinds: The kinds of metadata in it; none if it is harmless, such as the name of a program.
        instead: The bytes that must replace it.
    """

    start: int
    end: int
    kinds: Set[Metadata] = frozenset()
    instead: bytes = b""


class OddStructureError(Exception):
    """The file is not structured as its format says, so removing a part could change its picture."""


@dataclass(frozen=True, slots=True)
class MetadataCounts:
    """How many images carry metadata that a submission would publish.

    Attributes:
        images: Images with any of it.
        position: Images with a geographic position.
        device: Images with the camera, phone or scanner that took them, such as its model or serial number.
        text: Images with names or other text: author, copyright, caption, comment.
        embedded: Images with another picture, such as a preview that may show what was cut off, or other data behind the picture.
    """

    images: int = 0
    position: int = 0
    device: int = 0
    text: int = 0
    embedded: int = 0

    @classmethod
    def count(cls, every: Iterable[Iterable[Metadata]]) -> MetadataCounts:
        """Count the images with each combination of kinds."""
        carried = [frozenset(kinds) for kinds in every]
        each = {kind.value: sum(kind in kinds for kinds in carried) for kind in Metadata}
        return cls(images=sum(map(bool, carried)), **each)

    @property
    def summary(self) -> str:
        """Format counts as ``3 images carry metadata: a position (1), the device (3)``; empty if there are none."""
        named = (
            ("a GPS position", self.position),
            ("the device", self.device),
            ("the author or other text", self.text),
            ("another picture or data", self.embedded),
        )
        parts = ", ".join(f"{what} ({count:,})" for what, count in named if count)
        who = "1 image carries" if self.images == 1 else f"{self.images:,} images carry"
        return f"{who} metadata: {parts}" if parts else ""
