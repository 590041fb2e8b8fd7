"""Requests to one CodaLab server: signed, patient where repeating is harmless, and every failure designed."""

from __future__ import annotations

import contextlib
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from cldc import address
from cldc.codalab import failures, jsonapi, proxies, tls
from cldc.codalab.retry import PAUSES_SECONDS, TRANSIENT, RetryableError, retry, retry_after
from cldc.credentials import Credentials
from cldc.errors import CldcError, CredentialsError
from cldc.inside import bounded_http
from cldc.inside.bounded_http import Budget
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
Params = Sequence[tuple[str, str | int]]

_MOST_REDIRECTIONS = 10
CONNECT_SECONDS = 10.0
# How long a server may be silent; `bounded_http.TOTAL_SECONDS` is for the whole request.
READ_SECONDS = 60.0
JSON_LIMIT_BYTES = 16 * 2**20
BOARD_LIMIT_BYTES = 32 * 2**20
_EXPLANATION_LIMIT_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
# A token is renewed this long before it ends, so that none ends between being taken and being looked at.
_RENEW_SECONDS = 300.0
_TOKEN_SECONDS = 3600.0
_CLIENT = ("codalab_cli_client", "")
_ACCOUNT = "/user"


class _Stale(Exception):
    """The server does not know the token, or asks to sign in."""


class _Grant(msgspec.Struct):
    """The server's answer to a sign-in."""

    access_token: str
    refresh_token: str | None = None
    expires_in: float | None = None


class _Token:
    """An access token and the moment to renew it, by both clocks: one may jump, the other stops in sleep."""

    def __init__(self, grant: _Grant) -> None:
        self.access, self.refresh = grant.access_token, grant.refresh_token
        seconds = _TOKEN_SECONDS if grant.expires_in is None else grant.expires_in
        left = max(0.0, seconds - _RENEW_SECONDS)
        self._ends = (time.monotonic() + left, time.time() + left)

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self._ends[0] and time.time() < self._ends[1]


class Connection:
    """Repeatable requests to ``server``, as an account or as nobody. Not for several threads at once."""

    def __init__(
        self,
        server: str,
        credentials: Credentials | None,
        *,
        observer: Observer = SILENT,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        read_seconds: float = READ_SECONDS,
        total_seconds: float = bounded_http.TOTAL_SECONDS,
    ) -> None:
        """Nothing is asked of the server yet.

        Args:
            server: Its address.
            credentials: The account; None for nobody.
            observer: Told when the server is asked again.
            pauses_seconds: Between two tries.
            read_seconds: How long the server may be silent.
            total_seconds: How long a request may take with all its tries and pauses.
        """
        self.server = address.check(server)
        self.credentials = credentials
        self._observer = observer
        self._pauses = tuple(pauses_seconds)
        self._read_seconds, self._total_seconds = read_seconds, total_seconds
        self._token: _Token | None = None
        self._session: requests.Session | None = None

    def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            self._session.close()

    def json(self, method: str, path: str, params: Params = (), body: Any = None) -> Any:
        """The decoded answer to a request that may be repeated.

        Raises:
            CldcError: As `failures` says.
        """
        return self.use(method, path, self.decode, params=params, body=body)

    def use(
        self,
        method: str,
        path: str,
        reader: Callable[[requests.Response], T],
        *,
        params: Params = (),
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        limit_bytes: int = JSON_LIMIT_BYTES,
        long: bool = False,
    ) -> T:
        """What ``reader`` makes of the answer; it runs again from the start if the body breaks off.

        Args:
            limit_bytes: How large the answer may be.
            long: Whether it may take longer than other requests, as long as it comes at a bearable rate.
        """
        with bounded_http.within(_budget(self._total_seconds, limit_bytes, long=long)):
            return self._use(method, path, reader, params=params, body=body, headers=headers)

    def _use(
        self,
        method: str,
        path: str,
        reader: Callable[[requests.Response], T],
        *,
        params: Params,
        body: Any,
        headers: Mapping[str, str] | None,
    ) -> T:
        def attempt() -> T:
            token = self._access()
            with self._send(
                method, path, params=params, body=body, headers=headers, auth=_bearer(token)
            ) as answer:
                self.check(answer, f"{method} {path}")
                return reader(answer)

        try:
            return retry(attempt, self.server, observer=self._observer, pauses_seconds=self._pauses)
        except _Stale:
            if self.credentials is None:
                raise self._unauthorized("it wants a signed-in account") from None
            # The server forgot the token (restarted, its clock moved): a new one, once.
            self._token = None
        except (failures.NotFound, failures.PermissionDenied):
            if path == _ACCOUNT or not self.reauthenticate():
                raise
        try:
            return retry(attempt, self.server, observer=self._observer, pauses_seconds=self._pauses)
        except _Stale as stale:
            raise self._unauthorized(str(stale)) from None

    def reauthenticate(self) -> bool:
        """Whether the server had forgotten the account's token; there is a new one now.

        It then answers reads as it answers everyone, without a word: with less, or that nothing is there.
        """
        before = self._token
        if before is None:
            return False
        self.json("GET", _ACCOUNT)
        return self._token is not before

    def _unauthorized(self, reason: str) -> CldcError:
        return failures.refusal("the request", reason, status=401, server=self.server)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Params,
        body: Any,
        headers: Mapping[str, str] | None,
        auth: Any,
    ) -> requests.Response:
        url = f"{self.server}/rest{path}"
        return self.open_session().request(
            method,
            url,
            params=list(params),
            json=body,
            headers=dict(headers or {}),
            auth=auth,
            stream=True,
            timeout=self._timeout,
        )

    @property
    def _timeout(self) -> tuple[float, float]:
        return min(CONNECT_SECONDS, self._total_seconds), self._read_seconds

    def open_session(self) -> requests.Session:
        """The session that all requests go through."""
        if self._session is None:
            import requests

            class Staying(requests.Session):
                def get_redirect_target(self, resp: requests.Response) -> None:
                    """None: we follow no redirection, and must not stumble over one that can't be read either."""

            session = Staying()
            for scheme in ("https://", "http://"):
                session.mount(scheme, bounded_adapter())
            # Without this header CodaLab answers 303 to a login page instead of 401.
            session.headers.update({"X-Requested-With": "XMLHttpRequest", "User-Agent": "cldc"})
            host = urllib.parse.urlsplit(self.server).hostname or ""
            # A proxy can't reach this machine's own loopback.
            session.trust_env = not address.is_loopback(host)
            proxies.check(self.server)
            if self.server.startswith("https:") and (bundle := tls.certificates_of_the_user()) is not None:
                session.verify = bundle
            self._session = session
        return self._session

    def check(self, answer: requests.Response, what: str, said: str | None = None) -> None:
        """Raise unless the request succeeded; ``said`` is the answer's text if it was read already."""
        status = answer.status_code
        if status == 200:
            return
        if 300 <= status < 400:
            target = answer.headers.get("Location", "")
            if "/account/login" in target:
                raise _Stale("it asks to sign in")
            raise failures.not_codalab(self.server, f"it sends elsewhere, to {target[:200] or 'nowhere'}")
        if status == 204:
            return
        text = explanation(answer) if said is None else said
        if status == 401:
            if re.search("not verified|given access", text):
                raise failures.refusal(what, text, status=status, server=self.server)
            raise _Stale(text)
        failure = failures.refusal(
            what, text or (answer.reason or "no reason given"), status=status, server=self.server
        )
        if status in TRANSIENT:
            raise RetryableError(failure, retry_after(answer.headers.get("Retry-After")))
        raise failure

    def decode(self, answer: requests.Response) -> Any:
        """An answer's JSON."""
        content = read(answer, JSON_LIMIT_BYTES)
        if not content and answer.status_code == 204:
            return {}
        kind = answer.headers.get("Content-Type", "")
        try:
            return jsonapi.load(content)
        except ValueError as error:
            shown = content[:300].decode("utf-8", "replace")
            failure = failures.not_codalab(self.server, f"{shown or 'nothing'} in place of JSON")
            if "json" in kind:
                raise RetryableError(failure) from error  # cut off on its way
            raise failure from error

    def _access(self) -> str | None:
        """A token that is good for some minutes; None for nobody."""
        if self.credentials is None:
            return None
        if self._token is None or not self._token.fresh:
            self._token = self._renewed() or self._signed_in(self.credentials)
        return self._token.access

    def _renewed(self) -> _Token | None:
        if self._token is None or self._token.refresh is None:
            return None
        try:
            return self._grant({"grant_type": "refresh_token", "refresh_token": self._token.refresh})
        except CredentialsError:
            return None

    def _signed_in(self, credentials: Credentials) -> _Token:
        return self._grant(
            {"grant_type": "password", "username": credentials.username, "password": credentials.password}
        )

    def _grant(self, form: dict[str, str]) -> _Token:
        def attempt() -> _Token:
            with self.open_session().post(
                f"{self.server}/rest/oauth2/token",
                data=form,
                auth=_CLIENT,
                stream=True,
                timeout=self._timeout,
            ) as answer:
                said = None if answer.status_code == 200 else explanation(answer)
                # Refused credentials are 401 from CodaLab 1.7.5, 400 from other versions of its OAuth library.
                if answer.status_code in (400, 401) and "<html" not in (said or "")[:500].lower():
                    raise failures.refusal(
                        "the sign-in", "Invalid username or password.", status=401, server=self.server
                    )
                if answer.status_code == 404:
                    raise failures.not_codalab(self.server, "it has no place to sign in")
                self.check(answer, "the sign-in", said)
                return _Token(jsonapi.convert(self.decode(answer), _Grant, where="the token"))

        return retry(attempt, self.server, observer=self._observer, pauses_seconds=self._pauses)


def read(answer: requests.Response, limit_bytes: int) -> bytes:
    """An answer's decoded body.

    Raises:
        TooMuch: It is larger than ``limit_bytes``.
    """
    content = bytearray()
    for chunk in answer.iter_content(CHUNK_BYTES):
        content += chunk
        bounded_http.check_size(len(content), limit_bytes)
    return bytes(content)


def explanation(answer: requests.Response) -> str:
    """What a server says of a refusal; of a long text, or a damaged one, only the beginning. To be asked once."""
    import requests

    content = bytearray()
    with contextlib.suppress(requests.RequestException):
        for chunk in answer.iter_content(_EXPLANATION_LIMIT_BYTES):
            content += chunk
            if len(content) >= _EXPLANATION_LIMIT_BYTES:
                break
    return content.decode("utf-8", "replace")


def _budget(seconds: float, limit_bytes: int, *, long: bool) -> Budget:
    """For an answer of ``limit_bytes``; on its way it is a little more, with headers and between chunks."""
    rate = bounded_http.LEAST_BYTES_PER_SECOND if long else 0.0
    return Budget(seconds, limit_bytes=1.25 * limit_bytes + 2**20, bytes_per_second=rate)


def bounded_adapter() -> requests.adapters.BaseAdapter:
    """Makes connections whose answers keep within the current budget."""
    import requests

    class Bounded(requests.adapters.HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            kind = pool.ConnectionCls
            if getattr(kind, "response_class", None) is not bounded_http.BoundedResponse:
                members = {"response_class": bounded_http.BoundedResponse}
                pool.ConnectionCls = type(kind.__name__, (kind,), members)
            return pool

    return Bounded()


def fetch_text(
    url: str,
    *,
    observer: Observer = SILENT,
    limit_bytes: int = BOARD_LIMIT_BYTES,
    total_seconds: float = bounded_http.TOTAL_SECONDS,
) -> str:
    """What anyone may read at ``url``, a file that an organiser publishes; redirections are followed, each to an address
    that would do as well.

    Raises:
        ConfigurationError: It is no address, or has no TLS beyond this machine.
        Unreachable: Nothing usable is there.
        CodaLabError: It is refused, or larger than ``limit_bytes``.
    """
    with bounded_http.within(_budget(total_seconds, limit_bytes, long=True)):
        for _ in range(_MOST_REDIRECTIONS):
            text, elsewhere = _fetched(url, observer, limit_bytes)
            if not elsewhere:
                return text
            url = elsewhere
    raise failures.not_codalab(url, "it sends elsewhere again and again")


def _fetched(url: str, observer: Observer, limit_bytes: int) -> tuple[str, str]:
    """A file's text, or where it is to be had instead."""
    server, path = _split(url)
    connection = Connection(server, None, observer=observer)

    def attempt() -> tuple[str, str]:
        with connection.open_session().get(
            connection.server + path,
            auth=_bearer(None),
            stream=True,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        ) as answer:
            if answer.is_redirect and (target := answer.headers.get("Location", "")):
                return "", _joined(url, target)
            connection.check(answer, "the file")
            return read(answer, limit_bytes).decode("utf-8", "replace"), ""

    try:
        return retry(attempt, connection.server, observer=observer)
    except _Stale:
        raise failures.refusal(
            "the file", "it wants a sign-in", status=401, server=connection.server
        ) from None
    finally:
        connection.close()


def _split(url: str) -> tuple[str, str]:
    """Server and the rest of an address."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", urllib.parse.urlunsplit(("", "", *parts[2:]))


def _joined(url: str, target: str) -> str:
    try:
        return urllib.parse.urljoin(url, target)
    except ValueError:
        raise failures.not_codalab(url, f"it sends elsewhere, to {target[:200]}") from None


def _bearer(token: str | None) -> Callable[[Any], Any]:
    """Signs a request; given for nobody too, since `requests` would else look for a password in ~/.netrc."""

    def sign(request: Any) -> Any:
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign
