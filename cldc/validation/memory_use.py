"""What keeps a check within the memory it promises, whatever is in the folder."""

from __future__ import annotations

import contextlib
import functools

# Bytes of a file, or pixels of a picture, from which on it is large; no drawing is.
LARGE = 1 << 20
_M_MMAP_THRESHOLD = -3


@functools.cache
def give_back_large_blocks() -> None:
    """Have the C library give large blocks back as soon as they are freed.

    glibc keeps more and more of them once it has met some, up to several times of what one picture takes
    (mallopt(3), on its dynamic threshold).
    """
    import ctypes

    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE // 4)
