"""Whether libjpeg-turbo decodes Huffman-coded data that no marker ends.

libjpeg never fails on bad codes, and a marker behind the data always lets it finish. Only where the data run into the
end of the file does it matter how far the decoder reads ahead: up to 57 bits, byte by byte, in its careful loop, and six
bytes at a time while much input is left (jdhuff.c and jdhuff.h of libjpeg-turbo 2.0 on 64-bit machines).
"""

from __future__ import annotations

from cldc.validation.tensorflow_decoder.jpeg_markers import HuffmanTable

_FAST_ROOM = 512
"""`BUFSIZE`: input bytes a block that must be left for the fast loop."""

_FULL = 57
"""`MIN_GET_BITS`."""


class _RunOutError(Exception):
    pass


class _Code:
    """A Huffman table, by length: the first code and the index of its symbol."""

    def __init__(self, table: HuffmanTable) -> None:
        self.symbols = table.symbols.ljust(256, b"\0")
        self.largest = [-1] * 17
        self.offset = [0] * 17
        code = index = 0
        for length in range(1, 17):
            count = table.counts[length - 1]
            if count:
                self.offset[length] = index - code
                index += count
                code += count
                self.largest[length] = code - 1
            code <<= 1


class _Bits:
    """The bit buffer: what is consumed is exact, what is read ahead follows libjpeg."""

    def __init__(self, segment: bytes, *, fast: bool) -> None:
        self.data = segment.replace(b"\xff\x00", b"\xff")
        self.fast = fast
        self.loaded = 0
        self.used = 0
        self._counted = 0
        self._stuffed = 0

    def fill(self, room: int) -> None:
        """Load at least `room` bits, and more while it can, as `FILL_BIT_BUFFER_FAST` or `jpeg_fill_bit_buffer` does."""
        left = self.loaded * 8 - self.used
        if self.fast:
            self.loaded += 6 if left <= 16 else 0
        elif left < room:
            wanted = -(-(_FULL - left) // 8)
            if self.loaded + wanted > len(self.data):
                raise _RunOutError
            self.loaded += wanted

    def take(self, count: int) -> None:
        """Consume that many bits."""
        self.fill(count)
        self.used += count

    def window(self, start: int, count: int) -> int:
        """Return bits of the stream by position; zeros behind its end."""
        first = start >> 3
        last = (start + count + 7) >> 3
        value = int.from_bytes(self.data[first:last].ljust(last - first, b"\0"), "big")
        return value >> (last * 8 - start - count) & ((1 << count) - 1)

    def raw_offset(self) -> int:
        """Return how many bytes of the segment are loaded, stuffed zeros included."""
        self._stuffed += self.data.count(b"\xff", self._counted, self.loaded)
        self._counted = self.loaded
        return self.loaded + self._stuffed


def reaches_the_end(
    segment: bytes, blocks: list[tuple[HuffmanTable, HuffmanTable]], units: int, *, may_be_fast: bool
) -> bool:
    """Check whether `units` MCUs decode without asking for a byte behind the segment.

    `segment` ends before the trailing 0xFF bytes of the file; `blocks` are the DC and AC tables of the blocks of one MCU.
    """
    bits = _Bits(segment, fast=may_be_fast)
    coders = [(_Code(dc), _Code(ac)) for dc, ac in blocks]
    try:
        for _ in range(units):
            # One more byte, the trailing 0xFF, is in libjpeg's buffer.
            bits.fast = bits.fast and len(segment) + 1 - bits.raw_offset() >= _FAST_ROOM * len(blocks)
            for dc, ac in coders:
                _block(bits, dc, ac)
    except _RunOutError:
        return False
    return True


def _block(bits: _Bits, dc: _Code, ac: _Code) -> None:
    size = _symbol(bits, dc)
    if size:
        bits.take(size)
    position = 1
    while position < 64:
        symbol = _symbol(bits, ac)
        run, size = symbol >> 4, symbol & 15
        if size:
            position += run
            bits.take(size)
        elif run == 15:
            position += 15
        else:
            break
        position += 1


def _symbol(bits: _Bits, code: _Code) -> int:
    """Decode as `HUFF_DECODE` and `jpeg_huff_decode` do: eight bits first, then bit by bit for longer codes."""
    bits.fill(8)
    ahead = bits.window(bits.used, 17)
    for length in range(1, 17):
        if ahead >> (17 - length) <= code.largest[length]:
            break
    else:
        length = 17
    if bits.fast or length <= 8:
        bits.used += length
    else:
        bits.take(9)
        for _ in range(length - 9):
            bits.take(1)
    if length > 16:
        return 0
    return code.symbols[(ahead >> (17 - length)) + code.offset[length] & 0xFF]
