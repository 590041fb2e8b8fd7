"""Files that an organiser publishes on the web, such as the leaderboard."""

from __future__ import annotations

import urllib.parse

from cldc import address
from cldc.codalab import download, failures
from cldc.codalab import limits as usual
from cldc.codalab.connection import open_transport
from cldc.codalab.failures import Unauthorized
from cldc.codalab.limits import BOARD_BYTES, Limits
from cldc.codalab.retry import retry
from cldc.inside import bounded_http
from cldc.progress import SILENT, Observer

_MAX_REDIRECTS = 10


def fetch_text(
    url: str, *, observer: Observer = SILENT, limit_bytes: int = BOARD_BYTES, limits: Limits | None = None
) -> str:
    """Read a file that anyone may read; redirects are followed, each to an address that would do as well.

    Raises:
        ConfigurationError: It is no address, or has no TLS beyond this machine.
        Unreachable: Nothing usable is there.
        CodaLabError: It is refused, or larger than ``limit_bytes``.
    """
    limits = limits or usual.DEFAULT
    with bounded_http.within(limits.budget(limit_bytes, is_large=True)):
        for _ in range(_MAX_REDIRECTS):
            text, target = _fetch(url, limits, observer, limit_bytes)
            if not target:
                return text
            url = target
    raise failures.not_codalab(url, "it redirects again and again")


def _fetch(url: str, limits: Limits, observer: Observer, limit_bytes: int) -> tuple[str, str]:
    """A file's text, or the address that it is redirected to."""
    parts = urllib.parse.urlsplit(url)
    server = address.check(f"{parts.scheme}://{parts.netloc}")
    transport = open_transport(server, limits)

    def attempt() -> tuple[str, str]:
        path = urllib.parse.urlunsplit(("", "", *parts[2:]))
        with transport.send("GET", server + path) as answer:
            if answer.is_redirect and (target := answer.headers.get("Location", "")):
                return "", _join(url, target)
            transport.check(answer, "the file")
            return download.read(answer, limit_bytes).decode("utf-8", "replace"), ""

    try:
        return retry(attempt, pauses_seconds=limits.pauses_seconds, observer=observer)
    except Unauthorized:
        raise failures.refusal("the file", "it wants a sign-in", status=401, server=server) from None
    finally:
        transport.close()


def _join(url: str, target: str) -> str:
    try:
        return urllib.parse.urljoin(url, target)
    except ValueError:
        raise failures.not_codalab(url, f"it redirects to {target[:200]}") from None
