"""Retry with backoff what is safe to repeat."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from cldc.codalab.failures import NoAnswer
from cldc.errors import CldcError
from cldc.inside import bounded_http
from cldc.progress import Observer

T = TypeVar("T")
# A person is waiting, even if the server asks for a longer pause.
MAX_PAUSE_SECONDS = 60.0
# After two silent minutes the server will not answer, as for a run whose worker died.
_MAX_SILENT_ATTEMPTS = 2


class RetryableError(Exception):
    """The attempt failed in a way that may be temporary.

    Attributes:
        failure: What to raise if no attempt succeeds.
        pause_seconds: How long the server asked to wait, if it did.
    """

    def __init__(self, failure: CldcError, pause_seconds: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.pause_seconds = pause_seconds


def retry(attempt: Callable[[], T], *, pauses_seconds: Sequence[float], observer: Observer) -> T:
    """Call ``attempt`` until it succeeds, fails for good, or the pauses or the current budget's time are used up.

    ``attempt`` must be idempotent unless there are no pauses. A failure is noted once, until its message changes.

    Raises:
        CldcError: What ``attempt`` raised, or the failure of its last `RetryableError`.
    """
    pauses, silent_attempts, shown = iter(pauses_seconds), 0, ""
    while True:
        try:
            return attempt()
        except RetryableError as error:
            silent_attempts += isinstance(error.failure, NoAnswer)
            pause = next(pauses, None)
            if pause is None or silent_attempts >= _MAX_SILENT_ATTEMPTS:
                raise error.failure from error
            wait = min(max(pause, error.pause_seconds or 0.0), MAX_PAUSE_SECONDS)
            budget = bounded_http.current()
            if budget is not None and wait >= budget.left_seconds:
                raise error.failure from error
            if error.failure.message != shown:
                shown = error.failure.message
                observer.note(f"{shown} Trying again.")
        time.sleep(wait)


def retry_after(value: str | None) -> float | None:
    """The seconds in a Retry-After header, which has either seconds or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
