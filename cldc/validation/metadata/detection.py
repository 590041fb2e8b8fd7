"""Find metadata that a person would not want to publish; a BMP that TensorFlow reads has no room for any."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from cldc.validation.metadata.gif import gif_pieces
from cldc.validation.metadata.jpeg import jpeg_pieces
from cldc.validation.metadata.model import Metadata, OddStructureError, Piece
from cldc.validation.metadata.png import png_pieces
from cldc.validation.metadata.text import is_blank
from cldc.validation.tensorflow_decoder import Format
from cldc.validation.tensorflow_decoder.dispatch import format_of

# Each yields the parts of a file that its picture does not need, and returns where the file should end.
_WALKS: dict[Format, Callable[[bytes], Generator[Piece, None, int]]] = {
    Format.JPEG: jpeg_pieces,
    Format.PNG: png_pieces,
    Format.GIF: gif_pieces,
}


def find_metadata(content: bytes, kind: Format | None) -> tuple[Metadata, ...]:
    """List a file's kinds of metadata, sorted; of a damaged file, only those before the damage."""
    found: set[Metadata] = set()
    try:
        for piece in find_pieces(content, kind):
            found |= piece.kinds
    except OddStructureError:
        pass
    return tuple(sorted(found))


def find_pieces(content: bytes, kind: Format | None) -> Iterator[Piece]:
    """Find the parts of a file that its picture does not need, in their order.

    Raises:
        OddStructureError: When it comes to a place where the structure is not as the format says.
    """
    walk = _WALKS.get(kind) if kind else None
    if walk is not None:
        try:
            end = yield from walk(content)
        except IndexError:  # the file is cut short
            raise OddStructureError from None
        if end < len(content):
            yield Piece(end, len(content), set() if is_blank(content[end:]) else {Metadata.EMBEDDED})


def cut_metadata(content: bytes) -> bytes | None:
    """Return the file without its pieces; None if its structure is odd. `remove_metadata` also compares the pictures."""
    kept: list[bytes] = []
    at = 0
    try:
        for piece in find_pieces(content, format_of(content)):
            kept += (content[at : piece.start], piece.instead)
            at = piece.end
    except OddStructureError:
        return None
    return b"".join((*kept, content[at:]))
