"""A server's certificate, for `cldc doctor`."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import certifi

from cldc import address
from cldc.codalab import failures, proxies
from cldc.errors import ConfigurationError

_SECONDS = 5.0
_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified certificate, and the protocol of its connection."""

    issuer: str
    expires: datetime
    protocol: str


def certificates_of_the_user() -> str | None:
    """The file or folder of certificates that the environment names instead of the usual ones.

    Raises:
        ConfigurationError: The file does not exist.
    """
    for name in _VARIABLES:
        if path := os.environ.get(name):
            if not Path(path).exists():
                raise ConfigurationError(
                    f"{name} names {path}, which does not exist.",
                    action=f"Set it to the file with your network's certificates, or unset {name}.",
                )
            return path
    return None


def certificate(server: str) -> Certificate | None:
    """The verified certificate of a server; None without TLS, or behind a proxy.

    Raises:
        Unreachable: It can't be reached within seconds, or its certificate can't be trusted.
    """
    parts = urllib.parse.urlsplit(address.check(server))
    host = parts.hostname or ""
    if parts.scheme != "https" or proxies.proxy_of(server):
        return None
    bundle = certificates_of_the_user() or certifi.where()
    folder = Path(bundle).is_dir()
    try:
        context = ssl.create_default_context(
            cafile=None if folder else bundle, capath=bundle if folder else None
        )
        with (
            socket.create_connection((host, parts.port or 443), timeout=_SECONDS) as line,
            context.wrap_socket(line, server_hostname=host) as secured,
        ):
            found = secured.getpeercert() or {}
            protocol = secured.version() or "TLS"
    except ssl.SSLCertVerificationError as error:
        raise failures.untrusted(server, error.verify_message, error.verify_code) from error
    except ssl.SSLError as error:
        raise failures.untrusted(server, error.strerror or str(error)) from error
    except OSError as error:
        raise failures.unreachable(server, error.strerror or str(error)) from error
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
    return Certificate(_issuer(found), expires, protocol)


def _issuer(found: object) -> str:
    rows = found.get("issuer", ()) if isinstance(found, dict) else ()
    names = {key: value for row in rows for key, value in row}
    return str(names.get("organizationName") or names.get("commonName") or "unknown")
