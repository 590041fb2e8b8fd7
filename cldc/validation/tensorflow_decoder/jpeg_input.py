"""The input as libjpeg reads it through TensorFlow's source manager (`jpeg_handle.cc`).

At the end of the input that manager raises a fatal error if libjpeg has declared all of it consumed; otherwise it requests a
suspension, which TensorFlow does not always notice. So the two must be distinguished.
"""

from __future__ import annotations

import re

from cldc.validation.tensorflow_decoder.verdict import RefusedError, TooMuchWorkError

_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_MOST_MARKERS = 1_000_000


class SuspendedError(Exception):
    """The input ends inside something libjpeg would read again from its start."""


class Input:
    """A position in the file and the point up to which everything is consumed."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0
        self._consumed = 0
        self._markers = 0

    def byte(self) -> int:
        """Read a byte, as `INPUT_BYTE` does."""
        if self.position >= len(self.content):
            self._run_out()
        value = self.content[self.position]
        self.position += 1
        return value

    def word(self) -> int:
        """Read two bytes, as `INPUT_2BYTES` does."""
        high = self.byte()
        return high << 8 | self.byte()

    def bytes(self, count: int) -> bytes:
        """Read `count` bytes, as that many `INPUT_BYTE` do."""
        end = self.position + count
        if end > len(self.content):
            self.position = len(self.content)
            self._run_out()
        piece = self.content[self.position : end]
        self.position = end
        return piece

    def sync(self) -> None:
        """Mark everything so far as consumed, as `INPUT_SYNC` does."""
        self._consumed = self.position

    def skip(self, count: int) -> None:
        """Skip input, as `skip_input_data` does."""
        if count > len(self.content) - self.position:
            raise RefusedError("the file ends inside a segment")
        self.position += max(0, count)
        self.sync()

    def next_marker(self) -> int:
        """Return the code of the next marker, with the input behind it; decoder and scan find the same one."""
        found = _MARKER.search(self.content, self.position)
        if found is None:
            if self.content.endswith(b"\xff") and self.position < len(self.content):
                raise SuspendedError
            raise RefusedError("the file ends before its end marker")
        self._markers += 1
        if self._markers > _MOST_MARKERS:
            raise TooMuchWorkError(f"more than {_MOST_MARKERS} markers")
        self.position = found.end()
        self.sync()
        return self.content[found.end() - 1]

    def _run_out(self) -> None:
        if self._consumed >= len(self.content):
            raise RefusedError("the file ends before its end marker")
        raise SuspendedError
