"""GIF's LZW as giflib 5.2's `DGifDecompressLine` decodes it, counting pixels instead of storing them.

For every code only the length of its string and a few of its colour indices are kept, so a picture of any size
costs time in proportion to its codes. Streams with codes that can't be defined yet, which giflib decodes into
junk and not always into an error, go through `decode_pixels`, which mirrors giflib's tables.
"""

from __future__ import annotations

from collections.abc import Iterator

from cldc.validation.tensorflow_decoder.verdict import RefusedError

_MAX_CODE = 4095
_MAX_BITS = 12
_NO_SUCH_CODE = 4098
_NOWHERE = 1 << 62


class OddCodeError(Exception):
    """A code beyond the table, which only `decode_pixels` decodes as giflib does."""


class _Codes:
    """`DGifDecompressInput`: the codes of a stream, of growing width."""

    def __init__(self, data: bytes, minimum: int) -> None:
        self.data = data
        self.minimum = minimum
        self.reset()

    def reset(self) -> None:
        """Reset the table, as a clear code does."""
        self.running = (1 << self.minimum) + 2
        self.bits = self.minimum + 1

    def __iter__(self) -> Iterator[int]:
        held = count = 0
        for byte in self.data:
            held |= byte << count
            count += 8
            while count >= self.bits:
                bits = self.bits
                code = held & ((1 << bits) - 1)
                held >>= bits
                count -= bits
                if self.running < _MAX_CODE + 2:
                    self.running += 1
                    if self.running > 1 << bits and bits < _MAX_BITS:
                        self.bits += 1
                yield code
        raise RefusedError("Image is defective, decoding aborted")  # the data ends before the picture


def scan_indices(data: bytes, minimum: int, pixels: int, wanted: int | None = None) -> tuple[int, bool]:
    """Find the highest colour index in the strings that make up the `pixels`, and whether a pixel has the index `wanted`.

    Raises:
        RefusedError: giflib stops.
        OddCodeError: This short cut can't follow giflib.
    """
    clear = 1 << minimum
    lengths = [1] * clear + [0, 0]
    firsts = list(range(clear + 2))
    tops = list(range(clear + 2))
    # Where in a code's string the wanted index comes first.
    places = [0 if index == wanted else _NOWHERE for index in range(clear + 2)]
    codes = _Codes(data, minimum)
    last = -1
    highest = 0
    has_wanted = False
    for code in codes:
        following = len(lengths)
        if code == clear:
            codes.reset()
            for table in (lengths, firsts, tops, places):
                del table[clear + 2 :]
            last = -1
            continue
        if code == clear + 1:
            raise RefusedError("Image EOF detected before image complete")
        if code > following or (code == following and (last < 0 or following > _MAX_CODE)):
            raise OddCodeError
        if last >= 0 and following <= _MAX_CODE:
            lengths.append(lengths[last] + 1)
            firsts.append(firsts[last])
            tops.append(max(tops[last], firsts[code]))
            places.append(min(places[last], lengths[last] if firsts[code] == wanted else _NOWHERE))
        highest = max(highest, tops[code])
        has_wanted |= places[code] < pixels
        pixels -= lengths[code]
        if pixels <= 0:
            return highest, has_wanted
        last = code
    raise AssertionError("unreachable: the codes end in an exception")


def decode_pixels(data: bytes, minimum: int, pixels: int) -> bytearray:
    """Return the colour indices, by giflib's own tables and with its junk; raise RefusedError when it stops."""
    clear = 1 << minimum
    prefix = [_NO_SUCH_CODE] * (_MAX_CODE + 1)
    suffix = bytearray(_MAX_CODE + 1)
    codes = _Codes(data, minimum)
    last = _NO_SUCH_CODE
    line = bytearray()
    for code in codes:
        if code == clear + 1:
            raise RefusedError("Image EOF detected before image complete")
        if code == clear:
            prefix = [_NO_SUCH_CODE] * (_MAX_CODE + 1)
            codes.reset()
            last = _NO_SUCH_CODE
            continue
        slot = codes.running - 2
        if code < clear:
            line.append(code)
        else:
            current, junk = code, b""
            if prefix[code] == _NO_SUCH_CODE:
                suffix[slot] = _prefix_char(prefix, last if code == slot else code, clear) & 0xFF
                current, junk = last, bytes((suffix[slot],))
            line += _expand(prefix, suffix, current, clear, junk)
        if last != _NO_SUCH_CODE and prefix[slot] == _NO_SUCH_CODE:
            prefix[slot] = last
            suffix[slot] = _prefix_char(prefix, last if code == slot else code, clear) & 0xFF
        last = code
        if len(line) >= pixels:
            return line[:pixels]
    raise AssertionError("unreachable: the codes end in an exception")


def _expand(prefix: list[int], suffix: bytearray, code: int, clear: int, junk: bytes) -> bytes:
    """Return the string of a code, by giflib's stack, with `junk` as its last index."""
    stack = bytearray(junk)
    while len(stack) < _MAX_CODE and clear < code <= _MAX_CODE:
        stack.append(suffix[code])
        code = prefix[code]
    if len(stack) >= _MAX_CODE or code > _MAX_CODE:
        raise RefusedError("Image is defective, decoding aborted")
    stack.append(code & 0xFF)
    return bytes(reversed(stack))


def _prefix_char(prefix: list[int], code: int, clear: int) -> int:
    """Return the first index of a code's string, as `DGifGetPrefixChar` does."""
    for _ in range(_MAX_CODE + 1):
        if code <= clear:
            break
        if code > _MAX_CODE:
            return _NO_SUCH_CODE
        code = prefix[code]
    return code
