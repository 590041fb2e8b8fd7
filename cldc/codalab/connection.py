"""Requests to one CodaLab server, layer by layer: budget, authentication, retries, a single request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from requests import Response

from cldc import address
from cldc.codalab import failures, jsonapi, transport
from cldc.codalab.auth import Auth, Grant
from cldc.codalab.failures import NotFound, PermissionDenied, Unauthorized
from cldc.codalab.retry import retry
from cldc.codalab.transport import Limits, Request, Transport
from cldc.credentials import Credentials
from cldc.errors import CldcError
from cldc.inside import bounded_http
from cldc.progress import SILENT, Observer

T = TypeVar("T")
_CLIENT = ("codalab_cli_client", "")
_ACCOUNT = "/user"


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
        self._limits = limits or transport.DEFAULT_LIMITS
        self.transport = Transport(self.server, self._limits)

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
