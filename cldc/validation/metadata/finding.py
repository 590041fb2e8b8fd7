"""Find metadata that a person would not want to publish; a BMP that TensorFlow reads has no room for any."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cldc.validation.metadata.gif import gif_pieces
from cldc.validation.metadata.jpeg import jpeg_pieces
from cldc.validation.metadata.model import Metadata, OddStructureError, Piece
from cldc.validation.metadata.png import png_pieces
from cldc.validation.tensorflow_decoder import Format

_WALKS: dict[Format, Callable[[bytes], Iterator[Piece]]] = {
    Format.JPEG: jpeg_pieces,
    Format.PNG: png_pieces,
    Format.GIF: gif_pieces,
}


def find_metadata(content: bytes, kind: Format | None) -> tuple[Metadata, ...]:
    """What a file of this format carries, sorted; of a damaged one, what comes before the damage."""
    found: set[Metadata] = set()
    try:
        for piece in find_pieces(content, kind):
            found |= piece.kinds
    except OddStructureError:
        pass
    return tuple(sorted(found))


def find_pieces(content: bytes, kind: Format | None) -> Iterator[Piece]:
    """The parts of a file that its picture does not need, in their order.

    Raises:
        OddStructureError: At the point from which on the file is not plainly right.
    """
    walk = _WALKS.get(kind) if kind else None
    return walk(content) if walk else iter(())
