"""Requests to one CodaLab server, layer by layer: budget, authentication, retries, a single request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, TypeVar

from cldc import address
from cldc.codalab import failures, jsonapi
from cldc.codalab.auth import Auth, Grant
from cldc.codalab.failures import NotFound, PermissionDenied, Unauthorized
from cldc.codalab.retry import retry
from cldc.credentials import Credentials
from cldc.errors import CldcError
from cldc.inside import bounded_http
from cldc.inside.bounded_http import Budget
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:  # `requests` takes a tenth of a second to load, and no `--help` needs it
    from requests import Response

    from cldc.codalab.transport import Transport

T = TypeVar("T")
Params = Sequence[tuple[str, str | int]]
JSON_BYTES = 16 * 2**20
_CLIENT = ("codalab_cli_client", "")
_ACCOUNT = "/user"


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

    def budget(self, limit_bytes: int, *, is_large: bool = False, extra_seconds: float = 0.0) -> Budget:
        """The budget of a request whose answer may have ``limit_bytes``.

        Args:
            limit_bytes: For the content; headers and chunk sizes come on top.
            is_large: Whether the transfer may take longer, as long as it keeps a bearable rate.
            extra_seconds: Added to the total.
        """
        rate = bounded_http.LEAST_BYTES_PER_SECOND if is_large else 0.0
        seconds = self.total_seconds + extra_seconds
        return Budget(seconds, limit_bytes=1.25 * limit_bytes + 2**20, bytes_per_second=rate)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to a server.

    Attributes:
        method: As GET.
        path: The path on the server, below the ``root`` of `Transport.send`.
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


def open_transport(server: str, limits: Limits) -> Transport:
    """Load `requests`, and prepare the connections to a server; raises as `Transport` does."""
    from cldc.codalab.transport import Transport  # noqa: PLC0415 - `requests`, as above

    return Transport(server, limits)


class Connection:
    """One server as an account, or as everyone without credentials. Not for several threads at once.

    Every method raises what `failures` lists.
    """

    def __init__(
        self,
        server: str,
        credentials: Credentials | None,
        *,
        observer: Observer = SILENT,
        limits: Limits | None = None,
    ) -> None:
        """Nothing is asked of the server yet.

        Raises:
            ConfigurationError: The address, or a proxy or certificates that the environment names, can't be used.
        """
        self.server, self.credentials = address.check(server), credentials
        self._auth = Auth(credentials, self._request_grant)
        self._observer = observer
        self._limits = limits or DEFAULT_LIMITS
        self.transport = open_transport(self.server, self._limits)

    def json(self, request: Request) -> Any:
        """Send a request and decode its answer."""
        return self.send(request, self.transport.decode)

    def send(self, request: Request, reader: Callable[[Response], T]) -> T:
        """Send a request, and return what ``reader`` makes of its answer.

        ``reader`` runs again from the start if the answer breaks off and the request is repeatable.
        """
        budget = self._limits.budget(
            request.limit_bytes, is_large=request.is_large, extra_seconds=request.work_seconds
        )
        with bounded_http.within(budget):
            return self._send_handling_auth(request, reader)

    def _send_handling_auth(self, request: Request, reader: Callable[[Response], T]) -> T:
        """Sign in again, once, if the server has forgotten the token (restarted, its clock moved)."""
        try:
            return self._send_handling_retries(request, reader)
        except Unauthorized:
            if self.credentials is None:
                raise self._unauthorized("it wants a signed-in account") from None
            self._auth.token = None
        except (NotFound, PermissionDenied):
            if request.path == _ACCOUNT or not self.reauthenticate():
                raise
        try:
            return self._send_handling_retries(request, reader)
        except Unauthorized as refused:
            raise self._unauthorized(str(refused)) from None

    def reauthenticate(self) -> bool:
        """Sign in again if the server has forgotten the account's token; whether it had.

        The server then silently treats us as anonymous: it shows less, or says that nothing is there.
        """
        before = self._auth.token
        if before is None:
            return False
        self.json(Request(path=_ACCOUNT))
        return self._auth.token is not before

    def _unauthorized(self, reason: str) -> CldcError:
        return failures.refusal("the request", reason, status=401, server=self.server)

    def _send_handling_retries(self, request: Request, reader: Callable[[Response], T]) -> T:
        return retry(
            lambda: self._send_single_request(request, reader),
            pauses_seconds=self._limits.pauses_seconds if request.is_repeatable else (),
            observer=self._observer,
        )

    def _send_single_request(self, request: Request, reader: Callable[[Response], T]) -> T:
        token = self._auth.access_token()
        with self.transport.send(request, root="/rest", token=token) as answer:
            self.transport.check(answer, f"{request.method} {request.path}")
            return reader(answer)

    def _request_grant(self, form: Mapping[str, str]) -> Grant:
        """Sign in with an OAuth form; safe to repeat."""
        return retry(
            lambda: self._send_single_grant(form),
            pauses_seconds=self._limits.pauses_seconds,
            observer=self._observer,
        )

    def _send_single_grant(self, form: Mapping[str, str]) -> Grant:
        what, request = "the sign-in", Request(method="POST", path="/oauth2/token", form=form)
        with self.transport.send(request, root="/rest", client=_CLIENT) as answer:
            explanation = None if answer.status_code == 200 else self.transport.explain(answer)
            # Refused credentials are 401 from CodaLab 1.7.5, 400 from other versions of its OAuth library.
            if answer.status_code in (400, 401) and "<html" not in (explanation or "")[:500].lower():
                raise failures.refusal(what, "Invalid username or password.", status=401, server=self.server)
            if answer.status_code == 404:
                raise failures.not_codalab(self.server, "it has no place to sign in")
            self.transport.check(answer, what, explanation)
            return jsonapi.convert(self.transport.decode(answer), Grant, where="the token")
