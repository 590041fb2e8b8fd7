"""The rows in the IDATs, inflated as libpng inflates them, and thrown away at once.

How libpng cuts its input and output decides some verdicts: a wrong Adler-32 is fatal if zlib reaches it in the
call that completes the last row, and a mere warning if it lies behind the end of that call's input. Hence pieces of
at most 8,192 bytes that never cross a chunk, and a cut before the last row.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from cldc.validation.tensorflow_decoder.png_header import FILTERS, Header
from cldc.validation.tensorflow_decoder.verdict import RefusedError, TooMuchWorkError

_PIECE = 8192
"""`PNG_IDAT_READ_SIZE`."""

_AFTER = 1024
"""`PNG_INFLATE_BUF_SIZE`: the buffer into which libpng inflates what follows the last row."""

_STEP = 1 << 18
_MOST_ROWS = 300_000_000
_MOST_AFTER = 1 << 26
_LARGEST_CALL = 1 << 15
"""CPython's zlib hands zlib at most this much room at a time, so only calls up to it are cut as libpng's are."""


class InflatedRows:
    """Checks that the IDATs hold the rows IHDR promises."""

    def __init__(self, header: Header, next_idat: Callable[[], bytes | memoryview | None]) -> None:
        """Use `next_idat`, which returns the next IDAT's body, checked, or None if another chunk follows."""
        self._groups = header.groups
        self._next_idat = next_idat
        self._idat: bytes | memoryview = b""
        self._input = b""
        self._inflater = zlib.decompressobj(0)  # 0: the window is what the stream's header says, as in libpng
        self._exact = True

    def check(self) -> None:
        """Check all rows: raise RefusedError if one is missing or wrong, TooMuchWorkError if only TensorFlow can tell."""
        offset = 0
        for span in self._spans():
            left = span
            while left:
                piece = self._inflate(left)
                self._check_filters(piece, offset)
                offset += len(piece)
                if offset > _MOST_ROWS:
                    raise TooMuchWorkError(f"more than {_MOST_ROWS} bytes to inflate")
                left -= len(piece)
        if not self._inflater.eof:
            self._read_past_the_rows()

    def _spans(self) -> Iterator[int]:
        """Yield how many bytes to inflate at a time, so that cuts fall where they matter."""
        total = sum(group.stride * group.rows for group in self._groups)
        self._fill()
        window = 256 << (self._input[0] >> 4)
        if window < 1 << 15 and window < total:
            # Whether a distance is too far back depends on what earlier calls left in the window: go row by row.
            for group in self._groups:
                self._exact = self._exact and group.stride <= _LARGEST_CALL
                for _ in range(group.rows):
                    yield group.stride
            return
        last = self._groups[-1].stride
        if total > last:
            yield total - last
        yield last

    def _fill(self) -> None:
        """Provide input, as the inner loop of `png_read_IDAT_data` does."""
        while not self._input:
            if not self._idat:
                idat = self._next_idat()
                if idat is None:
                    raise RefusedError("not enough image data")
                self._idat = idat
            self._input, self._idat = bytes(self._idat[:_PIECE]), self._idat[_PIECE:]

    def _inflate(self, wanted: int) -> bytes:
        self._fill()
        if self._inflater.eof:
            raise RefusedError("not enough image data")
        try:
            piece = self._inflater.decompress(self._input, min(wanted, _STEP))
        except zlib.error as error:
            if not self._exact and "too far back" in str(error):
                raise TooMuchWorkError("long rows in a stream with a small window") from None
            raise RefusedError(f"zlib: {str(error).rpartition(': ')[2]}") from None
        self._input = self._inflater.unconsumed_tail
        return piece

    def _read_past_the_rows(self) -> None:
        """Finish as `png_read_finish_IDAT` does: zlib's errors are warnings here, only a missing chunk is fatal."""
        produced = 0
        while True:
            self._fill()
            try:
                produced += len(self._inflater.decompress(self._input, _AFTER))
            except zlib.error:
                return
            self._input = self._inflater.unconsumed_tail
            if self._inflater.eof or not produced:
                return
            if produced > _MOST_AFTER:
                raise TooMuchWorkError("far more data than rows")

    def _check_filters(self, piece: bytes, offset: int) -> None:
        start = 0
        for group in self._groups:
            end = start + group.stride * group.rows
            if start < offset + len(piece) and offset < end:
                first = max(0, offset - start + group.stride - 1) // group.stride * group.stride + start
                if piece[first - offset : end - offset : group.stride].translate(None, FILTERS):
                    raise RefusedError("bad adaptive filter value")
            start = end
