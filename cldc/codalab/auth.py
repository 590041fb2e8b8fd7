"""An account's access token: sign in, renew, forget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from cldc.credentials import Credentials
from cldc.errors import CredentialsError

# A token is renewed this long before it expires, so that it can't expire on its way.
_RENEW_SECONDS = 300.0
_TOKEN_SECONDS = 3600.0


class Grant(msgspec.Struct):
    """The server's answer to a sign-in."""

    access_token: str
    refresh_token: str | None = None
    expires_in: float | None = None


class Auth:
    """The access token of one account, or none for everyone.

    Attributes:
        token: The current one; None before the first request. Setting it to None makes the next request sign in again.
    """

    def __init__(
        self, credentials: Credentials | None, request_grant: Callable[[Mapping[str, str]], Grant]
    ) -> None:
        """``request_grant`` sends an OAuth form to the server; nothing is sent yet."""
        self.credentials = credentials
        self._request_grant = request_grant
        self.token: _Token | None = None

    def access_token(self) -> str | None:
        """A token that is valid for some minutes; None for everyone.

        Raises:
            CredentialsError: The server refuses the account.
        """
        if self.credentials is None:
            return None
        if self.token is None or not self.token.is_fresh:
            account = self.credentials
            form = {"grant_type": "password", "username": account.username, "password": account.password}
            self.token = self._renew() or _Token(self._request_grant(form))
        return self.token.access

    def _renew(self) -> _Token | None:
        if self.token is None or self.token.refresh is None:
            return None
        form = {"grant_type": "refresh_token", "refresh_token": self.token.refresh}
        try:
            return _Token(self._request_grant(form))
        except CredentialsError:
            return None


class _Token:
    """An access token and the time to renew it, by two clocks: one may jump, the other stops while the machine sleeps."""

    def __init__(self, grant: Grant) -> None:
        self.access, self.refresh = grant.access_token, grant.refresh_token
        seconds = _TOKEN_SECONDS if grant.expires_in is None else grant.expires_in
        left = max(0.0, seconds - _RENEW_SECONDS)
        self._ends = (time.monotonic() + left, time.time() + left)

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() < self._ends[0] and time.time() < self._ends[1]
