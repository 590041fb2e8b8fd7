"""Trying again what may be tried again, with pauses that a server and a person can bear."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from cldc.codalab import failures
from cldc.errors import CldcError
from cldc.progress import SILENT, Observer

T = TypeVar("T")
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
# However long a server asks to be left alone, a person waits at this end.
LONGEST_PAUSE_SECONDS = 60.0
TRANSIENT = frozenset({429, 502, 503, 504})
# One silent minute may be bad luck; two are a server that will not answer (a run whose worker died blocks so).
_MOST_READ_TIMEOUTS = 2


class Again(Exception):
    """The attempt failed in a way that may pass.

    Attributes:
        failure: What to raise if it does not.
        pause_seconds: How long the server asked to wait, if it did.
    """

    def __init__(self, failure: CldcError, pause_seconds: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.pause_seconds = pause_seconds


def patiently(
    attempt: Callable[[], T],
    server: str,
    *,
    observer: Observer = SILENT,
    pauses_seconds: Sequence[float] = PAUSES_SECONDS,
) -> T:
    """Call ``attempt`` until it succeeds, fails for good, or the pauses are used up.

    Raises:
        Unreachable: The network never let it through.
        CldcError: What it raised, or what it gave with its last `Again`.
    """
    import requests
    import urllib3.exceptions

    timeouts = 0
    for pause in (*pauses_seconds, None):
        try:
            return attempt()
        except Again as again:
            failure, asked = again.failure, again.pause_seconds
        except requests.exceptions.SSLError as error:
            raise failures.unreachable(server, _cause(error)) from error
        except (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
            timeouts += 1
            failure, asked = failures.unreachable(server, "no answer in time"), None
            if timeouts >= _MOST_READ_TIMEOUTS:
                raise failure from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure, asked = failures.unreachable(server, _cause(error)), None
        if pause is None:
            raise failure
        observer.note(f"{failure.message} Trying again.")
        time.sleep(min(max(pause, asked or 0.0), LONGEST_PAUSE_SECONDS))
    raise AssertionError("the last pause is None")


def _cause(error: BaseException) -> str:
    """The innermost reason, which is the readable one in what `requests` wraps."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        if inner is None:
            break
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # urllib3 puts the connection's own name before the reason.
    text = re.sub(r"^.*?HTTPS?Connection[^:]*: (Failed to establish a new connection: )?", "", str(error))
    return text or type(error).__name__


def retry_after(value: str | None) -> float | None:
    """The header's seconds, given as such or as a date."""
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
