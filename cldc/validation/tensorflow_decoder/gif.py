"""GIF as giflib 5.2's `DGifSlurp` and TensorFlow's `gif_io.cc` read it.

Every frame has to decode, though only the first is used; its colour map has to hold every index it shows.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from cldc.validation.tensorflow_decoder.gif_lzw import OddCodeError, decode_pixels, scan_indices
from cldc.validation.tensorflow_decoder.verdict import (
    Format,
    Readable,
    RefusedError,
    Remark,
    TooMuchWorkError,
    Verdict,
)

_MOST_PIXELS = 1 << 28
_MOST_ODD_PIXELS = 1 << 22
_MOST_CODES = 12_000_000
"""As many of the shortest codes as the data could hold; each takes about 0.3 microseconds."""

_MOST_BLOCKS = 500_000
_INT_MAX = 2**31 - 1

_READ_FAILED = "Failed to read from given file"
_GRAPHIC_CONTROL = 0xF9


@dataclass(frozen=True, slots=True)
class _Frame:
    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    colours: int
    minimum: int
    data: bytes
    transparent: int | None
    """The colour index that is declared transparent."""
    highest: int | None = None
    """The highest colour index; None if only `decode_pixels` can tell."""
    has_transparent: bool = False
    """Whether a pixel has the index `transparent`; only if there is a `highest`."""

    @property
    def pixels(self) -> int:
        return self.width * self.height


class _Reader:
    """A position in the file; running over its end is giflib's read failure."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 6
        self._blocks = _MOST_BLOCKS

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.content):
            raise RefusedError(_READ_FAILED)
        piece = self.content[self.position : end]
        self.position = end
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def block(self) -> bytes:
        """One sub-block; empty at their end."""
        self._blocks -= 1
        if self._blocks < 0:
            raise TooMuchWorkError(f"more than {_MOST_BLOCKS} blocks")
        return self.take(self.byte())

    def blocks(self) -> bytes:
        """All sub-blocks up to the empty one, joined."""
        pieces = []
        while piece := self.block():
            pieces.append(piece)
        return b"".join(pieces)


def judge_gif(content: bytes) -> Verdict:
    """Return the verdict on content that begins with ``GIF8``."""
    frames: list[_Frame] = []
    reader = _Reader(content)
    failed = "failed to open gif file: "
    try:
        global_colours, canvas = _open(reader)
        failed = "failed to slurp gif file: "
        _slurp(reader, frames, global_colours)
        failed = ""
        _check_colours(frames)
    except TooMuchWorkError as work:
        width, height = _size(frames)
        return Verdict(Readable.UNKNOWN, Format.GIF, width, height, f"Only TensorFlow can tell: {work}.")
    except RefusedError as refused:
        reason = f"TensorFlow: Invalid GIF data (size {len(content)}), {failed}{refused}"
        return Verdict(Readable.NO, Format.GIF, reason=reason)
    width, height = _size(frames)
    return Verdict(Readable.YES, Format.GIF, width, height, remarks=_remarks(reader, frames, canvas))


def _open(reader: _Reader) -> tuple[int, tuple[int, int]]:
    """Return the number of global colours and the canvas, as `DGifOpen` and `DGifGetScreenDesc` do."""
    if len(reader.content) < 6:
        raise RefusedError(_READ_FAILED)
    try:
        width, height, flags = struct.unpack("<HHBxx", reader.take(7))
        colours = 2 << (flags & 7) if flags & 0x80 else 0
        reader.take(3 * colours)
    except RefusedError:
        raise RefusedError("No screen descriptor detected") from None
    return colours, (width, height)


def _slurp(reader: _Reader, frames: list[_Frame], global_colours: int) -> None:
    """Read every record up to the trailer, as `DGifSlurp` does."""
    transparent = None
    codes = pixels = 0
    while (kind := reader.byte()) != 0x3B:
        if kind == 0x21:
            transparent = _read_extension(reader, transparent)
        elif kind == 0x2C:
            frame = _read_frame(reader, global_colours, transparent=transparent)
            transparent = None
            codes += len(frame.data) * 8 // (frame.minimum + 1)
            if codes > _MOST_CODES:
                raise TooMuchWorkError(f"more than {_MOST_CODES} codes")
            frames.append(_check_codes(frame))
            pixels += frame.pixels
            if pixels > _MOST_PIXELS:
                raise TooMuchWorkError(f"more than {_MOST_PIXELS} pixels")
        else:
            raise RefusedError("Wrong record type detected")
    if not frames:
        raise RefusedError("No Image Descriptor detected")


def _read_extension(reader: _Reader, transparent: int | None) -> int | None:
    """Read an extension; return the transparent colour index of the next frame, `transparent` unless it sets one."""
    label = reader.byte()
    first = reader.block()
    reader.blocks()
    return first[3] if label == _GRAPHIC_CONTROL and len(first) == 4 and first[0] & 1 else transparent


def _read_frame(reader: _Reader, global_colours: int, *, transparent: int | None) -> _Frame:
    """Read a frame as `DGifGetImageDesc` does, and its sub-blocks: if they are cut short, nothing can save the file."""
    left, top, width, height, flags = struct.unpack("<HHHHB", reader.take(9))
    colours = global_colours
    if flags & 0x80:
        colours = 2 << (flags & 7)
        reader.take(3 * colours)
    minimum = reader.byte()
    if minimum > 8:
        raise RefusedError(_READ_FAILED)
    if not width or not height or width > _INT_MAX // height:  # `DGifSlurp` gives no reason for either
        raise RefusedError("Unknown error")
    data = reader.blocks()
    return _Frame(left, top, width, height, bool(flags & 0x40), colours, minimum, data, transparent)


def _check_codes(frame: _Frame) -> _Frame:
    """Return the frame with its highest index; raise RefusedError if giflib can't decode it."""
    try:
        highest, found = scan_indices(frame.data, frame.minimum, frame.pixels, frame.transparent)
        return replace(frame, highest=highest, has_transparent=found)
    except OddCodeError:
        if frame.pixels > _MOST_ODD_PIXELS:
            raise TooMuchWorkError("a large frame with codes out of order") from None
        decode_pixels(frame.data, frame.minimum, frame.pixels)
        return frame


def _check_colours(frames: list[_Frame]) -> None:
    """Check the first frame as `gif_io.cc` does."""
    frame = frames[0]
    if not frame.colours:
        raise RefusedError("missing color map for frame 0")
    if frame.highest is not None and frame.highest < frame.colours:
        return
    if frame.pixels > _MOST_ODD_PIXELS:
        raise TooMuchWorkError("a large frame with indices out of range")
    wrong = _shown_pixels(frame, *_size(frames)).translate(None, bytes(range(min(frame.colours, 256))))
    if wrong:
        raise RefusedError(f"found color index {wrong[0]} outside of color map range {frame.colours}")


def _shown_pixels(frame: _Frame, width: int, height: int) -> bytes:
    """Return the frame's indices in the picture that TensorFlow creates, which is as large as the largest frame."""
    pixels = decode_pixels(frame.data, frame.minimum, frame.pixels)
    rows = list(range(frame.height))
    if frame.interlaced:
        passes = ((0, 8), (4, 8), (2, 4), (1, 2))
        rows = [row for start, step in passes for row in range(start, frame.height, step)]
    columns = max(0, min(frame.width, width - frame.left))
    starts = sorted(
        (row, number * frame.width) for number, row in enumerate(rows) if frame.top + row < height
    )
    return b"".join(pixels[start : start + columns] for _, start in starts)


def _shows_transparency(frame: _Frame, width: int, height: int) -> bool:
    """Check whether a pixel that TensorFlow reads is transparent: many GIFs declare a transparent index and use none."""
    if frame.transparent is None:
        return False
    if frame.highest is None or (frame.has_transparent and (frame.left or frame.top)):
        return frame.pixels > _MOST_ODD_PIXELS or frame.transparent in _shown_pixels(frame, width, height)
    return frame.has_transparent


def _size(frames: list[_Frame]) -> tuple[int, int]:
    return max((f.width for f in frames), default=0), max((f.height for f in frames), default=0)


def _remarks(reader: _Reader, frames: list[_Frame], canvas: tuple[int, int]) -> tuple[Remark, ...]:
    first = frames[0]
    remarks = []
    if len(frames) > 1:
        remarks.append(Remark.ANIMATION)
    if _shows_transparency(first, *_size(frames)):
        remarks.append(Remark.TRANSPARENT_GIF)
    if (first.left, first.top, first.width, first.height) != (0, 0, *canvas):
        remarks.append(Remark.PARTIAL_FRAME)
    if reader.position < len(reader.content):
        remarks.append(Remark.TRAILING_BYTES)
    return tuple(remarks)
