"""Errors for what CodaLab refuses, through `cl` or REST.

The patterns match CodaLab 1.7.5's own texts. The text decides first, since CodaLab gives many refusals the status 400.
"""

from __future__ import annotations

import re
from datetime import datetime

from cldc.errors import CldcError, CodaLabError, CredentialsError, QuotaExceeded, Unreachable

_MOST_CHARACTERS = 400
# OpenSSL's X509_V_ERR_... numbers.
_EXPIRED, _NOT_YET_VALID = 10, 9
_WRONG_HOST = (62, 64)
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)


class NotFound(CodaLabError):
    """The bundle, worksheet, user or file does not exist, or this account may not see it."""


class PermissionDenied(CodaLabError):
    """The account may not do this to that bundle or worksheet."""


class TooLarge(CodaLabError):
    """The answer is larger than the limit."""


class NoAnswer(Unreachable):
    """The server sent nothing in time."""


class Untrusted(Unreachable):
    """The server's TLS certificate or connection can't be trusted."""


class TooSlow(Unreachable):
    """The server did not finish its answer in the time that a request has."""


class AlreadyExists(CodaLabError):
    """The name is taken; worksheet names are unique on a server."""


class Interrupted(Unreachable):
    """The connection or the client failed during a command, which may or may not have been carried out."""


class ServerFailed(CodaLabError):
    """The server failed (a status from 500 on): the request may or may not have been carried out, and may work next time."""

    server_failed = True


class Unauthorized(Exception):
    """The server does not know the token, or asks to sign in. Handled within the client."""


class RetryableError(Exception):
    """The attempt failed in a way that may be temporary. Handled within the client.

    Attributes:
        failure: What to raise if no attempt succeeds.
        pause_seconds: How long the server asked to wait; 0 if it did not ask.
    """

    def __init__(self, failure: CldcError, pause_seconds: float = 0.0) -> None:
        super().__init__(str(failure))
        self.failure, self.pause_seconds = failure, pause_seconds


class UploadFailed(CodaLabError):
    """The upload ended without a usable bundle."""


class Redirected(Unreachable):
    """The server redirects to another address, which CodaLab never does."""

    def __init__(self, server: str, target: str) -> None:
        error = not_codalab(server, f"it redirects to {target[:200] or 'nowhere'}")
        super().__init__(error.message, action=error.action)
        self.target = target


def tidy(text: str) -> str:
    """Shorten a server's text to one readable line; of HTML only the title."""
    if re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = f"a web page, {title[1].strip()!r}" if title else "a web page"
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARACTERS else line[:_MOST_CHARACTERS] + " ..."


def refusal(what: str, message: str, *, status: int | None, server: str) -> CldcError:
    """Build the error for a refused request, such as "cl run" or "GET /user", by CodaLab's own text and the HTTP status, if any."""
    text = tidy(message)
    for pattern, kind, action in _BY_TEXT:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"{server} refused {what}: {text}", action=action)
    if status in _BY_STATUS:
        kind, action = _BY_STATUS[status]
        return kind(f"{server} refused {what}: {text}", action=action)
    if status in _DOWN:
        return Unreachable(
            f"{server}, or a proxy in front of it, is down (status {status} for {what}): {text}",
            action=_NOT_YOURS,
        )
    if status is not None and status >= 500:
        return ServerFailed(f"{server} itself failed at {what} (status {status}): {text}", action=_NOT_YOURS)
    return CodaLabError(
        f"{server} refused {what}: {text}", action="Correct what it names and run the command again."
    )


def spent_quota(what: str, text: str) -> QuotaExceeded | None:
    """Build the error for a bundle that failed because a quota is used up; None if CodaLab's ``text`` gives another reason."""
    action = next((action for pattern, action in _QUOTAS if re.search(pattern, text, re.IGNORECASE)), None)
    return None if action is None else QuotaExceeded(f"{what} failed: {tidy(text)}", action=action)


def unreachable(server: str, reason: str, *, proxy: str | None = None) -> Unreachable:
    """Build the error for a server that can't be reached; ``proxy`` is the variable or setting that names the proxy, if any."""
    if proxy is not None:
        return Unreachable(
            f"{server} can't be reached through the proxy that {proxy} names: {tidy(reason)}.",
            action=f"Check the proxy, or unset {proxy} if the network needs none; then run the command again.",
        )
    return Unreachable(
        f"{server} can't be reached: {tidy(reason)}.",
        action="Check the address, the network and any proxy (HTTPS_PROXY), then run the command again.",
    )


def untrusted(server: str, reason: str, verify_code: int | None = None) -> Untrusted:
    """Build the error for a server whose certificate or TLS connection can't be trusted, by OpenSSL's text.

    ``verify_code`` is OpenSSL's number for its objection to the certificate; None if that is not the problem.
    """
    today = datetime.now().astimezone().date()
    if verify_code == _EXPIRED:
        return Untrusted(
            f"The certificate of {server} has expired. Only its operators can renew it.",
            action=f"Ask them to. (If today is not {today}, set this machine's clock instead.)",
        )
    if verify_code == _NOT_YET_VALID:
        return Untrusted(
            f"The certificate of {server} is not valid yet.",
            action=f"If today is not {today}, set this machine's clock; else ask the server's operators.",
        )
    if verify_code in _WRONG_HOST:
        return Untrusted(
            f"What answers at {server} has a certificate for another host: {tidy(reason)}.",
            action="Check the address. If it is right, a login page of your network may be in between, or the server is set up wrongly.",
        )
    if verify_code in _UNKNOWN_ISSUER:
        return Untrusted(
            f"The certificate of {server} is from an issuer that is not known here: {tidy(reason)}.",
            action="If your network or the server has its own issuer, set REQUESTS_CA_BUNDLE to the file with its certificate.",
        )
    what = "Its certificate is refused" if verify_code is not None else "TLS can't be agreed on"
    return Untrusted(
        f"{server} can't be trusted: {tidy(reason)}. {what}.",
        action="Check the address and its port, and whether a proxy is in between; else ask the server's operators.",
    )


def not_codalab(server: str, reason: str) -> Unreachable:
    """Build the error for an answer that is not CodaLab's."""
    return Unreachable(
        f"{server} did not answer like a CodaLab server: {tidy(reason)}.",
        action="Check the address, and whether a proxy or a login page of your network is in between.",
    )


def not_done(what: str) -> ServerFailed:
    """Build the error for a change that was acknowledged but not applied, as when a proxy answers instead of the server."""
    return ServerFailed(f"The server {what}.", action="Run the command again; it continues where it stopped.")


_DOWN = (502, 503, 504)
_NOT_YOURS = "The fault is not yours: try again later, and tell the server's operators if it continues."
_LOGIN = "Run `cldc login`, or correct CODALAB_USERNAME and CODALAB_PASSWORD."
MORE_TIME = "Ask the server's operators for more computing time."
# "Out of disk quota", "User time quota exceeded", and from older servers "Requested more time (30m0s) than user time
# quota left (29m50s)" and "bundle size 361761625 greater than user's disk quota left".
_QUOTAS = (
    (
        r"\bdisk quota\b",
        "Remove bundles that you no longer need (`cldc clean`), or ask the server's operators for more disk.",
    ),
    (r"\btime quota\b", MORE_TIME),
)
_BY_TEXT: tuple[tuple[str, type[CldcError], str], ...] = (
    *((pattern, QuotaExceeded, action) for pattern, action in _QUOTAS),
    (r"invalid username or password|not authenticated|must be logged in", CredentialsError, _LOGIN),
    (r"is not verified", CredentialsError, "Follow the link in the e-mail that the server sent, then try again."),
    (r"not been given access", CredentialsError, "Ask the server's operators to give the account access."),
    (r"sufficient permissions", PermissionDenied, "Sign in as its owner, or ask the owner to give you permission."),
    (r"already exists", AlreadyExists, "Choose another name."),
    (r"depend on them|appears in multiple worksheets|is frozen|because it is not empty", CodaLabError,
     "Remove what is named first."),
)  # fmt: skip
_BY_STATUS: dict[int | None, tuple[type[CldcError], str]] = {
    401: (CredentialsError, _LOGIN),
    403: (PermissionDenied, "Sign in as an account that may do this."),
    404: (NotFound, "Check the name or uuid; it may have been removed, or be private to someone else."),
    413: (CodaLabError, "Make it smaller: the server, or a proxy in front of it, does not accept that much."),
    429: (Unreachable, "The server asks for fewer requests; wait a few minutes."),
}
