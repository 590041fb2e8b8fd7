"""HTTP with limits on the time and size of each response, whatever the server sends.

A socket's timeout only ends a silence, and a server that sends a byte every ten seconds is never silent. Here each
response has a `Budget` that limits every read from the socket, headers and chunk sizes included.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import importlib.util
import io
import os
import socket
import ssl
import time
import urllib.parse
import urllib.request
from contextvars import ContextVar
from typing import Any, Iterator, Optional

# One request, from connecting to the last byte of the response, retries included.
TOTAL_SECONDS = 240.0
# A large transfer may take longer as long as it keeps this rate.
LEAST_BYTES_PER_SECOND = 8 * 1024
_MIB = 2**20
_HEADERS_LIMIT_BYTES = 256 * 1024


class BudgetExceeded(socket.timeout):
    """The time limit is reached."""


class TooMuch(http.client.HTTPException):
    """The response is larger than the limit."""


class Budget:
    """The time and size that one request may take; the time starts now.

    Attributes:
        seconds: Seconds in total.
        bytes_per_second: Bytes transferred at this rate extend the time; 0 means they don't.
        limit_bytes: Maximum size of one response.
    """

    def __init__(
        self, seconds: float = TOTAL_SECONDS, *, limit_bytes: float, bytes_per_second: float = 0.0
    ) -> None:
        self.seconds, self.bytes_per_second, self.limit_bytes = seconds, bytes_per_second, limit_bytes
        self._moved_bytes = 0
        self._began = time.monotonic()

    @property
    def left_seconds(self) -> float:
        """Seconds left; negative after the limit."""
        bought = self._moved_bytes / self.bytes_per_second if self.bytes_per_second else 0.0
        return self._began + self.seconds + bought - time.monotonic()

    def moved(self, count: int) -> None:
        """Count transferred bytes."""
        self._moved_bytes += count

    def check_time(self) -> None:
        """Raise `BudgetExceeded` after the time limit."""
        if self.left_seconds <= 0:
            raise BudgetExceeded(f"it took more than {self.seconds:.0f} s")


def check_size(size: int, limit_bytes: float) -> None:
    """Raise `TooMuch` if ``size`` bytes exceed the limit."""
    if size > limit_bytes:
        raise TooMuch(f"its answer is larger than {limit_bytes / _MIB:,.0f} MiB")


_current: ContextVar[Optional[Budget]] = ContextVar("budget", default=None)  # noqa: UP045 - Python 3.8


@contextlib.contextmanager
def within(budget: Budget) -> Iterator[None]:
    """Let all requests of the block share one budget: that of the outer block, if there is one, else this one."""
    token = _current.set(_current.get() or budget)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Budget:
    """Return the budget of the current block; outside of any, a new one."""
    return _current.get() or Budget(limit_bytes=BoundedResponse.limit_bytes)


class _Timed(io.RawIOBase):
    """A socket's received data, limited by a budget."""

    def __init__(self, line: Any, raw: io.RawIOBase, budget: Budget) -> None:
        self._line, self._raw, self._budget = line, raw, budget
        self._silence_seconds = line.gettimeout()
        self._size, self.headers_came = 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._budget.check_time()
        left = self._budget.left_seconds
        silence = left if self._silence_seconds is None else self._silence_seconds
        self._line.settimeout(max(0.001, min(silence, left)))
        try:
            count = self._raw.readinto(buffer)
        except socket.timeout:
            self._budget.check_time()
            raise
        self._budget.moved(count or 0)
        self._size += count or 0
        if not self.headers_came and self._size > _HEADERS_LIMIT_BYTES:
            raise TooMuch(f"its headers are larger than {_HEADERS_LIMIT_BYTES // 1024} KiB")
        check_size(self._size, self._budget.limit_bytes)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """A response limited by the current budget, or by its own."""

    # For a response outside any `within`.
    limit_bytes = 16 * _MIB

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._budget = current()
        self._timed = _Timed(sock, self.fp.detach(), self._budget)
        self.fp: Any = io.BufferedReader(self._timed)

    def begin(self) -> None:
        super().begin()
        self._timed.headers_came = True
        # Reading allocates the announced length before the first byte arrives.
        check_size(self.length or 0, self._budget.limit_bytes)


class Plain(http.client.HTTPConnection):
    """A connection without TLS, for this machine only, so without a proxy."""

    response_class = BoundedResponse


class _Secured(http.client.HTTPSConnection):
    response_class = BoundedResponse


def secured(netloc: str, timeout: float = 60) -> http.client.HTTPSConnection:
    """Create a connection with TLS, through the environment's proxy if there is one."""
    proxy = _proxy(netloc)
    if proxy is None:
        return _Secured(netloc, timeout=timeout)
    if proxy.scheme.startswith("socks"):
        connection = _Secured(netloc, timeout=timeout)
        connection._create_connection = functools.partial(_through_socks, proxy)  # type: ignore[attr-defined]
        return connection
    connection = _Secured(f"{proxy.hostname}:{proxy.port or 80}", timeout=timeout)
    headers = {}
    if proxy.username:
        secret = ":".join(_account(proxy))
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    connection.set_tunnel(netloc, headers=headers)
    return connection


def _proxy(netloc: str) -> urllib.parse.SplitResult | None:
    proxies = urllib.request.getproxies()
    chosen = proxies.get("https") or proxies.get("all")
    if not chosen or urllib.request.proxy_bypass(netloc):
        return None
    return urllib.parse.urlsplit(chosen if "//" in chosen else "//" + chosen)


def _account(proxy: urllib.parse.SplitResult) -> tuple[str, str]:
    return urllib.parse.unquote(proxy.username or ""), urllib.parse.unquote(proxy.password or "")


def _through_socks(
    proxy: urllib.parse.SplitResult, address: tuple[str, int], timeout: float, *_: object
) -> socket.socket:
    socks = _socks()
    name, password = _account(proxy)
    try:
        connection: socket.socket = socks.create_connection(
            address,
            timeout=timeout,
            proxy_type=socks.SOCKS4 if proxy.scheme.startswith("socks4") else socks.SOCKS5,
            proxy_addr=proxy.hostname,
            proxy_port=proxy.port or 1080,
            proxy_rdns=proxy.scheme in ("socks4a", "socks5h"),
            proxy_username=name or None,
            proxy_password=password or None,
        )
    except socks.ProxyError as error:
        # The server was not reached.
        raise ConnectionRefusedError(f"the SOCKS proxy: {error}") from error
    return connection


@functools.lru_cache(maxsize=None)
def _socks() -> Any:
    """Import PySocks from the path that cldc passes, since this environment may lack it."""
    path = os.environ.get("CLDC_SOCKS")
    spec = importlib.util.spec_from_file_location("socks", path) if path else None
    if spec is None or spec.loader is None:
        raise OSError("a SOCKS proxy needs PySocks, which is not installed")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trust_certificates() -> None:
    """Let OpenSSL use the certificates that the environment names for `requests`, else the system's, else certifi's."""
    chosen = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    defaults = ssl.get_default_verify_paths()
    if not chosen and not defaults.cafile and not defaults.capath:
        with contextlib.suppress(ImportError):
            import certifi

            chosen = certifi.where()
    if chosen:
        os.environ["SSL_CERT_DIR" if os.path.isdir(chosen) else "SSL_CERT_FILE"] = chosen


class _PlainHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(Plain, req)


class _SecuredHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(secured, req)  # type: ignore[arg-type]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: CodaLab never redirects, so a redirect comes from something else, perhaps without TLS."""


def opener() -> urllib.request.OpenerDirector:
    """Create an opener with these limits that follows no redirect."""
    # The connections handle proxies themselves.
    proxies = urllib.request.ProxyHandler({})
    return urllib.request.build_opener(proxies, _PlainHandler, _SecuredHandler, _NoRedirects)
