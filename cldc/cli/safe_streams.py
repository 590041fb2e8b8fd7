"""Standard streams that escape everything written to them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from cldc.text import shown


class SafeStream:
    """A text stream that escapes what terminals and job logs would obey, and masks secrets.

    Attributes:
        trusted: The stream itself, for text that was made safe before and has escape sequences or log commands of ours.
    """

    def __init__(self, trusted: TextIO, *, lossy: bool = False) -> None:
        """Wrap ``trusted``; ``lossy`` drops what can't be written, such as to a full disk or a closed terminal."""
        self.trusted = trusted
        self._lossy = lossy

    def write(self, text: str) -> int:
        """Write ``text``, escaped and masked."""
        with self._losing():
            self.trusted.write(shown(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with self._losing():
            self.trusted.flush()

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            if not self._lossy:
                raise
            discard(self.trusted)

    def writelines(self, lines: Any) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.trusted, name)


def make_safe() -> None:
    """Replace both standard streams by a `SafeStream` for the rest of this process.

    No command fails because its progress or its error can't be shown, but one whose result can't be shown does.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, SafeStream):
            setattr(sys, name, SafeStream(stream, lossy=name == "stderr"))


def trusted(stream: TextIO) -> TextIO:
    """Return the stream behind a `SafeStream`, or the stream itself."""
    return stream.trusted if isinstance(stream, SafeStream) else stream


def discard(stream: TextIO) -> None:
    """Discard what a stream that can't be written to holds, and whatever is written to it later.

    Otherwise Python would complain once more when it closes the stream, and exit with code 120.
    """
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
