"""Trying again what may be tried again, with pauses that a server and a person can bear."""

from __future__ import annotations

import email.utils
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cldc.codalab import failures, proxies
from cldc.errors import CldcError
from cldc.inside import bounded_http
from cldc.progress import SILENT, Observer

T = TypeVar("T")
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
# However long a server asks to be left alone, a person waits at this end.
LONGEST_PAUSE_SECONDS = 60.0
TRANSIENT = frozenset({429, 502, 503, 504})
# One silent minute may be bad luck; two are a server that will not answer (a run whose worker died blocks so).
_MOST_READ_TIMEOUTS = 2
# What no second try makes better.
_FINAL = (failures.TooLarge, failures.TooSlow, failures.Untrusted)


class RetryableError(Exception):
    """The attempt failed in a way that may pass.

    Attributes:
        failure: What to raise if it does not.
        pause_seconds: How long the server asked to wait, if it did.
    """

    def __init__(self, failure: CldcError, pause_seconds: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.pause_seconds = pause_seconds


def retry(
    attempt: Callable[[], T],
    server: str,
    *,
    observer: Observer = SILENT,
    pauses_seconds: Sequence[float] = PAUSES_SECONDS,
) -> T:
    """Call ``attempt`` until it succeeds, fails for good, or the pauses or the current budget's time are used up.

    Raises:
        Unreachable: The network never let it through.
        CldcError: What it raised, or what it gave with its last `RetryableError`.
    """
    import requests
    import urllib3.exceptions

    timeouts = 0
    for pause in (*pauses_seconds, None):
        try:
            return attempt()
        except RetryableError as again:
            failure, asked = again.failure, again.pause_seconds
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            bounded_http.TooMuch,
            OSError,
        ) as error:
            failure, asked = _failure(error, server), None
            timeouts += isinstance(failure, failures.NoAnswer)
            if timeouts >= _MOST_READ_TIMEOUTS or isinstance(failure, _FINAL):
                raise failure from error
        wait = min(max(pause or 0.0, asked or 0.0), LONGEST_PAUSE_SECONDS)
        budget = bounded_http.current()
        if pause is None or (budget is not None and wait >= budget.left_seconds):
            raise failure
        observer.note(f"{failure.message} Trying again.")
        time.sleep(wait)
    raise AssertionError("the last pause is None")


def _failure(error: BaseException, server: str) -> CldcError:
    """What a failed request means, by what is behind the exceptions of `requests`."""
    import urllib3.exceptions

    budget, causes = bounded_http.current(), tuple(_causes(error))
    if much := next((cause for cause in causes if isinstance(cause, bounded_http.TooMuch)), None):
        return failures.too_large(str(much))
    if budget is not None and budget.left_seconds <= 0:
        return failures.too_slow(server, budget.seconds)
    if any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in causes):
        return failures.no_answer(server)
    return _untrusted(error, causes, server) or failures.unreachable(
        server, _reason(error), proxy=proxies.variable_of(server)
    )


def _untrusted(error: BaseException, causes: Sequence[BaseException], server: str) -> CldcError | None:
    """The failure of TLS; None where it is something else, or was only broken off."""
    import requests

    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return failures.untrusted(server, cause.verify_message, cause.verify_code)
    broken_off = any(isinstance(cause, ssl.SSLEOFError) for cause in causes)
    if isinstance(error, requests.exceptions.SSLError) and not broken_off:
        return failures.untrusted(server, _reason(error))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it wraps, what that wraps, and so on."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        cause = waiting.pop()
        if cause in seen:
            continue
        seen.append(cause)
        yield cause
        wrapped = (getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__)
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]


def _reason(error: BaseException) -> str:
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
