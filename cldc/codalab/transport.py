"""A `requests` session with time and size limits, and its errors as cldc's own."""

from __future__ import annotations

import contextlib
import io
import re
import ssl
from collections.abc import Iterator, Sequence
from typing import IO, Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from cldc import address
from cldc.codalab import failures, proxies
from cldc.codalab.failures import NoAnswer, RetryableError, TooLarge, TooSlow, Untrusted
from cldc.errors import CldcError
from cldc.inside import bounded_http

_CHUNK_BYTES = 64 * 1024
_EXPLANATION_BYTES = 64 * 1024
# Another attempt can't change these.
_FINAL = (TooLarge, TooSlow, Untrusted)


class BoundedSession(requests.Session):
    """The connections to one server, through the proxy and with the certificates that the environment names."""

    def __init__(self, server: str) -> None:
        """Send nothing yet.

        Raises:
            ConfigurationError: The environment names a proxy or certificates that can't be used.
        """
        super().__init__()
        for scheme in ("https://", "http://"):
            self.mount(scheme, _BoundedAdapter())
        # Without this header CodaLab answers 303 to a login page instead of 401.
        self.headers.update({"X-Requested-With": "XMLHttpRequest", "User-Agent": "cldc"})
        # A proxy can't reach this machine's own loopback.
        self.trust_env = not address.is_loopback(server)
        proxies.check_proxy(server)
        if server.startswith("https:") and (bundle := proxies.ca_bundle()) is not None:
            self.verify = bundle

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect, and accept one that can't be parsed."""


class _BoundedAdapter(HTTPAdapter):
    """Opens connections whose answers are limited by the current budget."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if getattr(kind, "response_class", None) is not bounded_http.BoundedResponse:
            members = {"response_class": bounded_http.BoundedResponse}
            pool.ConnectionCls = type(kind.__name__, (kind,), members)
        return pool


class CountedFile:
    """A file that is sent from its beginning; each byte counts for the current budget's rate."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes, like any file."""
        part = self._file.read(size)
        budget = bounded_http.current()
        budget.moved(len(part))
        budget.check_time()
        return part


def read_body(answer: requests.Response, limit_bytes: int) -> bytes:
    """Read an answer's decoded body.

    Raises:
        TooMuch: It is larger than ``limit_bytes``.
    """
    content = bytearray()
    for chunk in answer.iter_content(_CHUNK_BYTES):
        content += chunk
        bounded_http.check_size(len(content), limit_bytes)
    return bytes(content)


def explanation(answer: requests.Response) -> str:
    """Read why the server refuses, at most the beginning."""
    content = bytearray()
    with contextlib.suppress(requests.RequestException):
        for chunk in answer.iter_content(_EXPLANATION_BYTES):
            content += chunk
            if len(content) >= _EXPLANATION_BYTES:
                break
    return content.decode("utf-8", "replace")


@contextlib.contextmanager
def designed_failures(server: str) -> Iterator[None]:
    """Turn what the network raises into designed errors.

    Raises:
        RetryableError: Another attempt may succeed.
        CldcError: A failure that another attempt can't change.
    """
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, bounded_http.TooMuch, OSError) as error:
        failure = _failure(error, server)
        if isinstance(failure, _FINAL):
            raise failure from error
        raise RetryableError(failure) from error


def _failure(error: BaseException, server: str) -> CldcError:
    """Build the error for a failed request, by the causes behind the exceptions of `requests`."""
    budget, causes = bounded_http.current(), tuple(_causes(error))
    if much := next((cause for cause in causes if isinstance(cause, bounded_http.TooMuch)), None):
        return TooLarge(
            f"The server sent too much: {much}.",
            action="Check the address; use the browser if the file is meant to be that large.",
        )
    if budget.left_seconds <= 0:
        return TooSlow(
            f"{server} was too slow: a request took more than {budget.seconds:.0f} s.",
            action="The server or the network is overloaded; run the command again later.",
        )
    if any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in causes):
        return NoAnswer(
            f"{server} can't be reached: no answer in time.",
            action="The server is overloaded or hangs; run the command again later.",
        )
    return _untrusted(error, causes, server) or failures.unreachable(
        server, _reason(error), proxy=proxies.proxy_variable(server)
    )


def _untrusted(error: BaseException, causes: Sequence[BaseException], server: str) -> CldcError | None:
    """Build the error for a TLS failure; None if it is another failure, or the connection only broke off."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return failures.untrusted(server, cause.verify_message, cause.verify_code)
    broken_off = any(isinstance(cause, ssl.SSLEOFError) for cause in causes)
    if isinstance(error, requests.exceptions.SSLError) and not broken_off:
        return failures.untrusted(server, _reason(error))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Iterate over an exception and, recursively, those that it wraps."""
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
    """Find the innermost reason, which is the readable one."""
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
