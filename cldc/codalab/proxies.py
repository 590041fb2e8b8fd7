"""Proxies and certificates on the way to a server, as this machine's environment sets them.

A proxy's address may hold a password and is never shown.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import ssl
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import certifi
import requests.utils

from cldc import address
from cldc.codalab import failures
from cldc.errors import ConfigurationError

# Gives CodaLab's client and the organiser's programs the path of PySocks; see `bounded_http`.
_SOCKS_VARIABLE = "CLDC_SOCKS"
_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_HANDSHAKE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified certificate, and the protocol of its connection."""

    issuer: str
    expires: datetime
    protocol: str


def proxy_of(server: str) -> str | None:
    """Find the address of the proxy for ``server``; None if there is none, as on the way to this machine itself."""
    if address.is_loopback(server):
        return None
    return requests.utils.select_proxy(server, requests.utils.get_environ_proxies(server)) or None


def proxy_variable(server: str) -> str | None:
    """Find the variable or setting that names the proxy for ``server``; None without a proxy."""
    chosen = proxy_of(server)
    if chosen is None:
        return None
    named = next((name for name in _PROXY_VARIABLES if os.environ.get(name) == chosen), None)
    return named or "this machine's network settings"


def check_proxy(server: str) -> None:
    """Refuse a proxy that can't be used.

    Raises:
        ConfigurationError: Its address has no host, or an unknown scheme.
    """
    chosen = proxy_of(server)
    if chosen is None:
        return
    try:
        parts = urllib.parse.urlsplit(chosen if "://" in chosen else f"http://{chosen}")
        known = parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
        kind = parts.scheme
    except ValueError:
        known, kind = False, ""
    if not known:
        what = f"an address of the kind {kind}://" if re.fullmatch(r"[a-z0-9]+", kind) else "no address"
        raise ConfigurationError(
            f"{proxy_variable(server)} names {what} as the proxy for {server}, which can't be used.",
            action="Write it as http://host:port or, for SOCKS, as socks5h://host:port.",
        )


def proxy_for_children() -> dict[str, str]:
    """Return the variables that a program in another environment needs in order to use a SOCKS proxy."""
    found = importlib.util.find_spec("socks")
    return {_SOCKS_VARIABLE: found.origin} if found is not None and found.origin else {}


def ca_bundle() -> str | None:
    """Find the file or folder of certificates that the environment names instead of the usual ones.

    Raises:
        ConfigurationError: The file does not exist.
    """
    for name in _CERTIFICATE_VARIABLES:
        if path := os.environ.get(name):
            if not Path(path).exists():
                raise ConfigurationError(
                    f"{name} names {path}, which does not exist.",
                    action=f"Set it to the file with your network's certificates, or unset {name}.",
                )
            return path
    return None


def certificate(server: str) -> Certificate | None:
    """Fetch the verified certificate of a server; None without TLS, or behind a proxy.

    Raises:
        Unreachable: It can't be reached within seconds, or its certificate can't be trusted.
    """
    parts = urllib.parse.urlsplit(address.check(server))
    host = parts.hostname or ""
    if parts.scheme != "https" or proxy_of(server):
        return None
    bundle = ca_bundle() or certifi.where()
    folder = Path(bundle).is_dir()
    try:
        context = ssl.create_default_context(
            cafile=None if folder else bundle, capath=bundle if folder else None
        )
        with (
            socket.create_connection((host, parts.port or 443), timeout=_HANDSHAKE_SECONDS) as line,
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
    issuer = {str(key): str(value) for row in cast(Any, found["issuer"]) for key, value in row}
    name = issuer.get("organizationName") or issuer.get("commonName") or "unknown"
    return Certificate(name, expires, protocol)
