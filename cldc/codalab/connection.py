"""Requests to one CodaLab server, layer by layer.

`Connection.send` limits a request's time and size, `_send_handling_auth` signs in, `_send_handling_retries` repeats what is
safe to repeat, and `_send_single_request` sends it once. The retries are our own: no library ends them with the
request's budget, signs in between them, or repeats a request whose answer breaks off while it is read. This module
repeats single requests; `cldc.bundles.attempts` repeats work of several requests and resumes it.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

import msgspec
import requests
from requests import Response

from cldc import address
from cldc.codalab import failures, json_api
from cldc.codalab.failures import (
    NoAnswer,
    NotFound,
    PermissionDenied,
    Redirected,
    RetryableError,
    Unauthorized,
)
from cldc.codalab.transport import BoundedSession, CountedFile, designed_failures, explanation, read_body
from cldc.credentials import Credentials
from cldc.errors import CldcError
from cldc.inside import bounded_http
from cldc.inside.bounded_http import Budget
from cldc.progress import SILENT, Observer

T = TypeVar("T")
Params = Sequence[tuple[str, str | int]]
JSON_BYTES = 16 * 2**20
_CONNECT_SECONDS = 10.0
# A person is waiting, even if the server asks for a longer pause.
_MAX_PAUSE_SECONDS = 60.0
# After two silent minutes the server will not answer, as for a run whose worker died.
_MAX_SILENT_ATTEMPTS = 2
_TRANSIENT_STATUSES = frozenset({429, 502, 503, 504})
# A token is renewed this long before it expires, so that it can't expire on its way.
_RENEW_SECONDS = 300.0
# How CodaLab's own client introduces itself when it signs in: name and password.
_CLIENT = ("codalab_cli_client", "")
_ACCOUNT = "/user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to a server.

    Attributes:
        method: As GET.
        path: The path below the connection's root.
        params: The query.
        body: JSON to send; or
        form: a form to send; or
        file: a file to send, from its beginning.
        headers: In addition to the usual ones.
        limit_bytes: How large the answer may be.
        is_large: Whether it may take longer than others, as long as its bytes keep the least rate.
        is_repeatable: Whether doing it twice has the effect of doing it once. Otherwise it gets one attempt, and is sent
            again only if the server refused it because of its token, and so did nothing.
        work_seconds: How long the server may work before it answers, beyond the usual.
    """

    method: str = "GET"
    path: str
    params: Params = ()
    body: Any = None
    form: Mapping[str, str] | None = field(default=None, repr=False)  # it may hold a password
    file: IO[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    limit_bytes: int = JSON_BYTES
    is_large: bool = False
    is_repeatable: bool = True
    work_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of each request of a client.

    Attributes:
        pauses_seconds: Between attempts; one for each attempt after the first.
        silence_seconds: How long the server may be silent.
        total_seconds: For a request with all its attempts and pauses, from connecting to the answer's last byte.
    """

    pauses_seconds: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    silence_seconds: float = 60.0
    total_seconds: float = bounded_http.TOTAL_SECONDS

    def budget(self, request: Request) -> Budget:
        """Return the budget of a request, whose time starts now."""
        # Headers and chunk sizes come on top of the content.
        return Budget(
            self.total_seconds + request.work_seconds,
            limit_bytes=1.25 * request.limit_bytes + 2**20,
            bytes_per_second=bounded_http.LEAST_BYTES_PER_SECOND if request.is_large else 0.0,
        )


DEFAULT_LIMITS = Limits()


class Token(msgspec.Struct):
    """The server's answer to a sign-in."""

    access_token: str
    expires_in: float = 3600.0
    # By two clocks: one may jump, the other stops while the machine sleeps.
    received: tuple[float, float] = msgspec.field(default_factory=lambda: (time.monotonic(), time.time()))

    @property
    def is_fresh(self) -> bool:
        """Check whether it will stay valid for some minutes."""
        age = max(time.monotonic() - self.received[0], time.time() - self.received[1])
        return age < self.expires_in - _RENEW_SECONDS


class Connection:
    """One server as an account, or as everyone without credentials. Not for several threads at once.

    Every method raises what `failures` lists.
    """

    def __init__(
        self,
        server: str,
        credentials: Credentials | None,
        *,
        root: str = "/rest",
        observer: Observer = SILENT,
        limits: Limits | None = None,
    ) -> None:
        """Send nothing yet; ``root`` comes before the path of each request.

        Raises:
            ConfigurationError: The address, or a proxy or certificates that the environment names, can't be used.
        """
        self.server, self.credentials = address.check(server), credentials
        self._root, self._observer, self._limits = root, observer, limits or DEFAULT_LIMITS
        self._session = BoundedSession(self.server)
        self._token: Token | None = None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def json(self, request: Request, shape: type[T]) -> T:
        """Send a request and read its answer, which is JSON, into ``shape``."""
        return self.send(request, lambda answer: self.decode(answer, shape))

    def send(self, request: Request, reader: Callable[[Response], T]) -> T:
        """Send a request, and return its answer as ``reader`` reads it.

        ``reader`` runs again from the start if the answer breaks off and the request is repeatable.
        """
        with bounded_http.within(self._limits.budget(request)):
            return self._send_handling_auth(request, reader)

    def decode(self, answer: Response, shape: type[T], *, where: str = "it") -> T:
        """Read an answer that is JSON; no content counts as an empty object. ``where`` is as for `json_api.convert`.

        Raises:
            RetryableError: It was cut off.
            Unreachable: It is not JSON, but for example a login page of the network.
        """
        content = read_body(answer, JSON_BYTES)
        if answer.status_code == 204:
            content = content or b"{}"
        try:
            return json_api.convert(json_api.load(content), shape, where=where)
        except ValueError as error:
            shown = content[:300].decode("utf-8", "replace")
            failure = failures.not_codalab(self.server, f"{shown or 'nothing'} instead of JSON")
            if "json" in answer.headers.get("Content-Type", ""):
                raise RetryableError(failure) from error
            raise failure from error

    # --- authentication

    def _send_handling_auth(self, request: Request, reader: Callable[[Response], T]) -> T:
        """Send a request as the account, and again if the server forgot its token (after a restart or a clock change)."""

        def checked(answer: Response) -> T:
            return reader(self._checked(answer, f"{request.method} {request.path}"))

        try:
            return self._send_handling_retries(request, checked, self._bearer())
        except Unauthorized:
            if self.credentials is None:
                raise self._unauthorized("it wants a signed-in account") from None
            self._token = None
        except (NotFound, PermissionDenied):
            if request.path == _ACCOUNT or not self.reauthenticate():
                raise
        try:
            return self._send_handling_retries(request, checked, self._bearer())
        except Unauthorized as refused:
            raise self._unauthorized(str(refused)) from None

    def reauthenticate(self) -> bool:
        """Sign in again if the server has forgotten the account's token, and return whether it had.

        The server then silently treats us as anonymous: it shows less, or says that nothing is there.
        """
        before = self._token
        if before is None:
            return False
        self.json(Request(path=_ACCOUNT), Any)
        return self._token is not before

    def _unauthorized(self, reason: str) -> CldcError:
        return failures.refusal("the request", reason, status=401, server=self.server)

    def _bearer(self) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
        """Return a function that adds the account's token to a request, if there is an account.

        A callable in any case: without one, `requests` would look for a password in ~/.netrc.

        Raises:
            CredentialsError: The server refuses the account.
        """
        if self.credentials is None:
            return lambda request: request
        if self._token is None or not self._token.is_fresh:
            account = self.credentials
            form = {"grant_type": "password", "username": account.username, "password": account.password}
            sign_in = Request(method="POST", path="/oauth2/token", form=form)
            self._token = self._send_handling_retries(sign_in, self._read_token, _CLIENT)
        return functools.partial(_add_token, self._token.access_token)

    def _read_token(self, answer: Response) -> Token:
        what, status = "the sign-in", answer.status_code
        # Refused credentials are 401 from CodaLab 1.7.5, 400 from other versions of its OAuth library.
        if status in (400, 401):
            reason = explanation(answer)
            if "<html" not in reason[:500].lower():
                reason, status = "Invalid username or password.", 401
            raise failures.refusal(what, reason, status=status, server=self.server)
        if status == 404:
            raise failures.not_codalab(self.server, "it has no sign-in endpoint")
        return self.decode(self._checked(answer, what), Token, where="the token")

    # --- retries

    def _send_handling_retries(self, request: Request, reader: Callable[[Response], T], auth: Any) -> T:
        """Send a request until it succeeds, fails for good, or its attempts or its time are used up.

        A failure is noted once, until its message changes.
        """
        pauses = iter(self._limits.pauses_seconds if request.is_repeatable else ())
        silent_attempts, shown = 0, ""
        while True:
            try:
                return self._send_single_request(request, reader, auth)
            except RetryableError as error:
                silent_attempts += isinstance(error.failure, NoAnswer)
                pause = next(pauses, None)
                if pause is None or silent_attempts >= _MAX_SILENT_ATTEMPTS:
                    raise error.failure from error
                wait = min(max(pause, error.pause_seconds), _MAX_PAUSE_SECONDS)
                if wait >= bounded_http.current().left_seconds:
                    raise error.failure from error
                if error.failure.message != shown:
                    shown = error.failure.message
                    self._observer.note(f"{shown} Trying again.")
            time.sleep(wait)

    # --- a single request

    def _send_single_request(self, request: Request, reader: Callable[[Response], T], auth: Any) -> T:
        """Send a request once; what the network raises, also while ``reader`` reads, becomes a designed error.

        ``auth`` is what `requests` calls so.
        """
        connect = min(_CONNECT_SECONDS, self._limits.total_seconds)
        with (
            designed_failures(self.server),
            self._session.request(
                request.method,
                self.server + self._root + request.path,
                params=list(request.params),
                json=request.body,
                data=request.form if request.file is None else CountedFile(request.file),
                headers=dict(request.headers),
                auth=auth,
                stream=True,
                timeout=(connect, self._limits.silence_seconds + request.work_seconds),
            ) as answer,
        ):
            return reader(answer)

    def _checked(self, answer: Response, what: str) -> Response:
        """Return the answer if the request, for ``what``, succeeded.

        Raises:
            Unauthorized: The server does not know the token, or asks to sign in.
            RetryableError: It may work next time.
            CldcError: It was refused.
        """
        status = answer.status_code
        if status in (200, 204):
            return answer
        if 300 <= status < 400:
            target = answer.headers.get("Location", "")
            if "/account/login" in target:
                raise Unauthorized("it asks to sign in")
            raise Redirected(self.server, target)
        text = explanation(answer)
        if status == 401 and not re.search("not verified|given access", text):
            raise Unauthorized(text)
        reason = text or answer.reason or "no reason given"
        failure = failures.refusal(what, reason, status=status, server=self.server)
        if status in _TRANSIENT_STATUSES:
            raise RetryableError(failure, _retry_after(answer.headers.get("Retry-After", "")))
        raise failure


def _add_token(token: str, request: requests.PreparedRequest) -> requests.PreparedRequest:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def _retry_after(header: str) -> float:
    """Read the pause that a server asks for, given in seconds or as a date; 0 if it asks for none."""
    with contextlib.suppress(ValueError):
        return float(header)
    with contextlib.suppress(ValueError):
        return email.utils.parsedate_to_datetime(header).timestamp() - time.time()
    return 0.0
