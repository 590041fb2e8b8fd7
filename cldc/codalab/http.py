"""Requests to one CodaLab server: signed, patient where repeating is harmless, and every failure designed."""

from __future__ import annotations

import email.utils
import os
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cldc.codalab import address, failures, jsonapi
from cldc.credentials import Credentials
from cldc.errors import CldcError, CredentialsError
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
Params = Sequence[tuple[str, str | int]]

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
# However long a server asks to be left alone, a person waits at this end.
LONGEST_PAUSE_SECONDS = 60.0
_TRANSIENT = frozenset({429, 502, 503, 504})
# One silent minute may be bad luck; two are a server that will not answer (a run whose worker died blocks so).
_MOST_READ_TIMEOUTS = 2
# A token is renewed this long before it ends, so that none ends between being taken and being looked at.
_RENEW_SECONDS = 300.0
_CLIENT = ("codalab_cli_client", "")


class _Again(Exception):
    """The attempt failed in a way that may pass.

    Attributes:
        failure: What to raise if it does not.
        pause_seconds: How long the server asked to wait, if it did.
    """

    def __init__(self, failure: CldcError, pause_seconds: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.pause_seconds = pause_seconds


class _Stale(Exception):
    """The server does not know the token, or asks to sign in."""


class _Token:
    """An access token and the moment to renew it, by both clocks: one may jump, the other stops in sleep."""

    def __init__(self, fields: jsonapi.Fields) -> None:
        self.access = fields.text("access_token")
        self.refresh = fields.optional_text("refresh_token")
        left = max(0.0, fields.number("expires_in", 3600.0) - _RENEW_SECONDS)
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
    ) -> None:
        self.server = address.check(server)
        self.credentials = credentials
        self._observer = observer
        self._pauses = tuple(pauses_seconds)
        self._read_seconds = read_seconds
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
    ) -> T:
        """What ``reader`` makes of the answer; it runs again from the start if the body breaks off."""

        def attempt() -> T:
            token = self._access()
            with self._send(
                method, path, params=params, body=body, headers=headers, auth=_bearer(token)
            ) as answer:
                self._check(answer, f"{method} {path}")
                return reader(answer)

        try:
            return self._patiently(attempt)
        except _Stale:
            if self.credentials is None:
                raise self._unauthorized("it wants a signed-in account") from None
        # The server forgot the token (restarted, its clock moved): a new one, once.
        self._token = None
        try:
            return self._patiently(attempt)
        except _Stale as stale:
            raise self._unauthorized(str(stale)) from None

    def _unauthorized(self, reason: str) -> CldcError:
        return failures.refusal("the request", reason, status=401, server=self.server)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` until it succeeds, fails for good, or the pauses are used up."""
        import requests
        import urllib3.exceptions

        timeouts = 0
        for pause in (*self._pauses, None):
            try:
                return attempt()
            except _Again as again:
                failure, asked = again.failure, again.pause_seconds
            except requests.exceptions.SSLError as error:
                raise failures.unreachable(self.server, _cause(error)) from error
            except (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
                timeouts += 1
                failure, asked = failures.unreachable(self.server, "no answer in time"), None
                if timeouts >= _MOST_READ_TIMEOUTS:
                    raise failure from error
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                failure, asked = failures.unreachable(self.server, _cause(error)), None
            if pause is None:
                raise failure
            self._observer.note(f"{failure.message} Trying again.")
            time.sleep(min(max(pause, asked or 0.0), LONGEST_PAUSE_SECONDS) if self._pauses else 0.0)
        raise AssertionError("the last pause is None")

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
        return self._open_session().request(
            method,
            url,
            params=list(params),
            json=body,
            headers=dict(headers or {}),
            auth=auth,
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_SECONDS, self._read_seconds),
        )

    def _open_session(self) -> requests.Session:
        if self._session is None:
            import requests

            session = requests.Session()
            # Without this header CodaLab answers 303 to a login page instead of 401.
            session.headers.update({"X-Requested-With": "XMLHttpRequest", "User-Agent": "cldc"})
            host = urllib.parse.urlsplit(self.server).hostname or ""
            # A proxy can't reach this machine's own loopback.
            session.trust_env = not address.is_loopback(host)
            bundle = os.environ.get("SSL_CERT_FILE")
            if bundle and not (os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")):
                session.verify = bundle
            self._session = session
        return self._session

    def _check(self, answer: requests.Response, what: str) -> None:
        """Raise for whatever is no success."""
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
        text = answer.text if len(answer.headers.get("Content-Length", "")) < 7 else ""
        if status == 401:
            if re.search("not verified|given access", text):
                raise failures.refusal(what, text, status=status, server=self.server)
            raise _Stale(text)
        failure = failures.refusal(
            what, text or (answer.reason or "no reason given"), status=status, server=self.server
        )
        if status in _TRANSIENT:
            raise _Again(failure, _retry_after(answer.headers.get("Retry-After")))
        raise failure

    def decode(self, answer: requests.Response) -> Any:
        """An answer's JSON."""
        content = answer.content
        if not content and answer.status_code == 204:
            return {}
        kind = answer.headers.get("Content-Type", "")
        try:
            return jsonapi.load(content)
        except ValueError as error:
            shown = content[:300].decode("utf-8", "replace")
            failure = failures.not_codalab(self.server, f"{shown or 'nothing'} in place of JSON")
            if "json" in kind:
                raise _Again(failure) from error  # cut off on its way
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
            with self._open_session().post(
                f"{self.server}/rest/oauth2/token",
                data=form,
                auth=_CLIENT,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, self._read_seconds),
            ) as answer:
                # Refused credentials are 401 from CodaLab 1.7.5, 400 from other versions of its OAuth library.
                if answer.status_code in (400, 401) and b"<html" not in answer.content[:500].lower():
                    raise failures.refusal(
                        "to sign in", "Invalid username or password.", status=401, server=self.server
                    )
                if answer.status_code == 404:
                    raise failures.not_codalab(self.server, "it has no place to sign in")
                self._check(answer, "to sign in")
                return _Token(jsonapi.Fields.of("the token", self.decode(answer)))

        return self._patiently(attempt)


def _bearer(token: str | None) -> Callable[[Any], Any]:
    """Signs a request; given for nobody too, since `requests` would else look for a password in ~/.netrc."""

    def sign(request: Any) -> Any:
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


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


def _retry_after(value: str | None) -> float | None:
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
