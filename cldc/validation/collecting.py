"""Python's search for cycles, kept from going again and again over ten thousand values that have none."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

# Often enough that pictures held by a library's own cycles do not pile up: some hundred files each time.
_THRESHOLDS = (5_000, 20, 1_000)


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Collect seldom, since a check keeps nearly everything that it makes: a fifth of its time otherwise."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
