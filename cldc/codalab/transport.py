"""One request, once: no redirects, within the current budget, every failure designed."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import ssl
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import IO, Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from cldc import address
from cldc.codalab import failures, jsonapi, proxies
from cldc.codalab.connection import JSON_BYTES, Limits, Request
from cldc.codalab.failures import Unauthorized
from cldc.codalab.retry import RetryableError, retry_after
from cldc.errors import CldcError
from cldc.inside import bounded_http

_CHUNK_BYTES = 64 * 1024
_CONNECT_SECONDS = 10.0
_EXPLANATION_BYTES = 64 * 1024
_TRANSIENT_STATUSES = frozenset({429, 502, 503, 504})
# Another attempt can't change these.
_FINAL = (failures.TooLarge, failures.TooSlow, failures.Untrusted)


class Transport:
    """The connections to one server."""

    def __init__(self, server: str, limits: Limits) -> None:
        """Nothing is asked of the server yet.

        Raises:
            ConfigurationError: The environment names a proxy or certificates that can't be used.
        """
        self._server, self._limits = server, limits
        self._session = _Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _BoundedAdapter())
        # Without this header CodaLab answers 303 to a login page instead of 401.
        self._session.headers.update({"X-Requested-With": "XMLHttpRequest", "User-Agent": "cldc"})
        # A proxy can't reach this machine's own loopback.
        self._session.trust_env = not address.is_loopback(urllib.parse.urlsplit(server).hostname or "")
        proxies.check_proxy(server)
        if server.startswith("https:") and (bundle := proxies.ca_bundle()) is not None:
            self._session.verify = bundle

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @contextlib.contextmanager
    def send(
        self,
        request: Request,
        *,
        root: str = "",
        token: str | None = None,
        client: tuple[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        """Send one request. Its answer is read in the block, where failures are turned into designed errors, too.

        ``root`` comes before the request's path, as ``/rest``. The request is sent with an account's ``token``, as an OAuth
        ``client`` with its name and password, or as everyone.

        Raises:
            RetryableError: The network failed.
            CldcError: A failure that another attempt can't change.
        """
        connect = min(_CONNECT_SECONDS, self._limits.total_seconds)
        with (
            _designed_failures(self._server),
            self._session.request(
                request.method,
                self._server + root + request.path,
                params=list(request.params),
                json=request.body,
                data=request.form if request.file is None else _CountedFile(request.file),
                headers=dict(request.headers),
                # A callable, even without a token, keeps `requests` from looking for a password in ~/.netrc.
                auth=client or functools.partial(_add_token, token),
                stream=True,
                timeout=(connect, self._limits.silence_seconds + request.work_seconds),
            ) as answer,
        ):
            yield answer

    def check(self, answer: requests.Response, what: str, explanation: str | None = None) -> None:
        """Raise unless the request, for ``what``, succeeded; ``explanation`` is the answer's body if it was read already.

        Raises:
            Unauthorized: The server does not know the token, or asks to sign in.
            RetryableError: It may work next time.
            CldcError: It was refused.
        """
        status = answer.status_code
        if status in (200, 204):
            return
        if 300 <= status < 400:
            target = answer.headers.get("Location", "")
            if "/account/login" in target:
                raise Unauthorized("it asks to sign in")
            raise failures.not_codalab(self._server, f"it redirects to {target[:200] or 'nowhere'}")
        text = self.explain(answer) if explanation is None else explanation
        if status == 401 and not re.search("not verified|given access", text):
            raise Unauthorized(text)
        reason = text or answer.reason or "no reason given"
        failure = failures.refusal(what, reason, status=status, server=self._server)
        if status in _TRANSIENT_STATUSES:
            raise RetryableError(failure, retry_after(answer.headers.get("Retry-After")))
        raise failure

    def explain(self, answer: requests.Response) -> str:
        """Read why the server refuses, at most the beginning. An answer can be read once."""
        content = bytearray()
        with contextlib.suppress(requests.RequestException):
            for chunk in answer.iter_content(_EXPLANATION_BYTES):
                content += chunk
                if len(content) >= _EXPLANATION_BYTES:
                    break
        return content.decode("utf-8", "replace")

    def read(self, answer: requests.Response, limit_bytes: int) -> bytes:
        """Read an answer's decoded body.

        Raises:
            TooMuch: It is larger than ``limit_bytes``.
        """
        content = bytearray()
        for chunk in answer.iter_content(_CHUNK_BYTES):
            content += chunk
            bounded_http.check_size(len(content), limit_bytes)
        return bytes(content)

    def decode(self, answer: requests.Response) -> Any:
        """Decode an answer that is JSON; an empty object if it has no body.

        Raises:
            RetryableError: It was cut off.
            Unreachable: It is not JSON, but for example a login page of the network.
        """
        content = self.read(answer, JSON_BYTES)
        if not content and answer.status_code == 204:
            return {}
        try:
            return jsonapi.load(content)
        except ValueError as error:
            shown = content[:300].decode("utf-8", "replace")
            failure = failures.not_codalab(self._server, f"{shown or 'nothing'} instead of JSON")
            if "json" in answer.headers.get("Content-Type", ""):
                raise RetryableError(failure) from error
            raise failure from error


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect, and accept one that can't be parsed."""


class _CountedFile:
    """A file that is sent from its beginning; each byte counts for the current budget's rate."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        if (budget := bounded_http.current()) is not None:
            budget.moved(len(part))
            budget.check_time()
        return part


class _BoundedAdapter(HTTPAdapter):
    """Makes connections whose answers are limited by the current budget."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if getattr(kind, "response_class", None) is not bounded_http.BoundedResponse:
            members = {"response_class": bounded_http.BoundedResponse}
            pool.ConnectionCls = type(kind.__name__, (kind,), members)
        return pool


def _add_token(token: str | None, request: requests.PreparedRequest) -> requests.PreparedRequest:
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"
    return request


@contextlib.contextmanager
def _designed_failures(server: str) -> Iterator[None]:
    """Turn what the network raises into designed failures."""
    try:
        yield
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        bounded_http.TooMuch,
        OSError,
    ) as error:
        failure = _failure(error, server)
        if isinstance(failure, _FINAL):
            raise failure from error
        raise RetryableError(failure) from error


def _failure(error: BaseException, server: str) -> CldcError:
    """The error for a failed request, by the causes behind the exceptions of `requests`."""
    budget, causes = bounded_http.current(), tuple(_causes(error))
    if much := next((cause for cause in causes if isinstance(cause, bounded_http.TooMuch)), None):
        return failures.too_large(str(much))
    if budget is not None and budget.left_seconds <= 0:
        return failures.too_slow(server, budget.seconds)
    if any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in causes):
        return failures.no_answer(server)
    return _untrusted(error, causes, server) or failures.unreachable(
        server, _reason(error), proxy=proxies.proxy_variable(server)
    )


def _untrusted(error: BaseException, causes: Sequence[BaseException], server: str) -> CldcError | None:
    """The error for a TLS failure; None if it is another failure, or the connection only broke off."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return failures.untrusted(server, cause.verify_message, cause.verify_code)
    broken_off = any(isinstance(cause, ssl.SSLEOFError) for cause in causes)
    if isinstance(error, requests.exceptions.SSLError) and not broken_off:
        return failures.untrusted(server, _reason(error))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and, recursively, those that it wraps."""
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
    """The innermost reason, which is the readable one."""
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
