"""Python's search for cycles, kept from going again and again over ten thousand values that have none."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Collect nothing of its own accord: a check keeps nearly everything it makes, and would spend a fifth of its time.

    Whoever reads many files meanwhile calls `gc.collect(0)` now and then, for what libraries leave behind.
    """
    were_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what was made is not looked at by the next collection, nor by the one at the program's end
        if were_on:
            gc.enable()
