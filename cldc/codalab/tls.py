"""What a server's certificate says, for `cldc doctor`."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime

from cldc import address
from cldc.codalab import failures

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was verified, and the connection it came by."""

    issuer: str
    expires: datetime
    protocol: str


def certificate(server: str) -> Certificate | None:
    """The verified certificate of a server with TLS; None where there is no TLS, or a proxy stands in between.

    Raises:
        Unreachable: It can't be reached within seconds, or its certificate can't be trusted.
    """
    parts = urllib.parse.urlsplit(address.check(server))
    host = parts.hostname or ""
    if parts.scheme != "https" or os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return None
    import certifi

    named = (os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"))
    bundle = next((path for path in named if path), certifi.where())
    try:
        context = ssl.create_default_context(cafile=bundle)
        with (
            socket.create_connection((host, parts.port or 443), timeout=_SECONDS) as line,
            context.wrap_socket(line, server_hostname=host) as secured,
        ):
            found = secured.getpeercert() or {}
            protocol = secured.version() or "TLS"
    except OSError as error:
        reason = getattr(error, "verify_message", "") or error.strerror or str(error)
        kind = "certificate: " if isinstance(error, ssl.SSLError) else ""
        raise failures.unreachable(server, f"{kind}{reason}") from error
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
    return Certificate(_issuer(found), expires, protocol)


def _issuer(found: object) -> str:
    rows = found.get("issuer", ()) if isinstance(found, dict) else ()
    names = {key: value for row in rows for key, value in row}
    return str(names.get("organizationName") or names.get("commonName") or "unknown")
