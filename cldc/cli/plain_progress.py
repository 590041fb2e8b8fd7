"""The wording of progress, and plain lines for output that is not a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from cldc.text import size

# Between two lines about a task: often enough to see that it goes on, seldom enough to read.
_EVERY_SECONDS = 60.0
_GAP = "  "


def parts_of(done: float, total: float | None, unit: str, detail: str) -> list[str]:
    """Describe progress in parts that can be dropped one by one.

    Two spaces separate the parts of ``detail``, into which a training also puts its epochs.
    """
    counts = ""
    if unit == "bytes":
        counts = f"{size(done)} of {size(total)}" if total else size(done)
    elif total and unit != "epochs":
        counts = f"{done:,.0f} of {total:,.0f} {unit}".rstrip()
    return [part for part in (counts, *detail.split(_GAP)) if part]


def fitted(parts: Sequence[str], width: int) -> str:
    """Join as many parts as fit; the first and the last, such as the time left, are dropped last."""
    kept = list(parts)
    while len(_GAP.join(kept)) > width and len(kept) > 1:
        del kept[-2 if len(kept) > 2 else -1]
    line = _GAP.join(kept)
    return line if len(line) <= width else f"{line[: max(0, width - 1)]}…"


class PlainProgress:
    """Progress as plain lines on standard error, for pipes, logs and screen readers."""

    def __init__(self) -> None:
        """Start without a task."""
        self._task, self._total, self._unit, self._last = "", None, "", 0.0  # type: str, float | None, str, float

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """Print one line for the task."""
        self._task, self._total, self._unit, self._last = task, total, unit, time.monotonic()
        tell(f"{task} ...")

    def advance(self, done: float, detail: str = "") -> None:
        """Print progress at most once a minute."""
        if time.monotonic() - self._last < _EVERY_SECONDS:
            return
        self._last = time.monotonic()
        tell(_GAP.join([f"{self._task}:", *parts_of(done, self._total, self._unit, detail)]))

    def note(self, text: str) -> None:
        """Print the sentence on a line."""
        tell(text)


def tell(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
