"""The proxy that the environment names for a server. Its address may hold a password and is never shown."""

from __future__ import annotations

import importlib.util
import os
import re
import urllib.parse

from cldc import address
from cldc.errors import ConfigurationError

# Gives CodaLab's client and the organiser's programs the path of PySocks; see `bounded_http`.
_SOCKS_VARIABLE = "CLDC_SOCKS"
_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def proxy_of(server: str) -> str | None:
    """Address of the proxy for ``server``; None if there is none, as on the way to this machine itself."""
    if address.is_loopback(urllib.parse.urlsplit(server).hostname or ""):
        return None
    # Late: `requests` takes 0.2 s.
    from requests.utils import get_environ_proxies, select_proxy

    return select_proxy(server, get_environ_proxies(server)) or None


def variable_of(server: str) -> str | None:
    """The variable or setting that names the proxy for ``server``; None if there is no proxy."""
    chosen = proxy_of(server)
    if chosen is None:
        return None
    named = next((name for name in _VARIABLES if os.environ.get(name) == chosen), None)
    return named or "this machine's network settings"


def check(server: str) -> None:
    """Refuse a proxy that can't be used.

    Raises:
        ConfigurationError: Its address has no host, or an unknown scheme.
    """
    chosen = proxy_of(server)
    if chosen is None:
        return
    try:
        parts = urllib.parse.urlsplit(chosen if "://" in chosen else f"http://{chosen}")
        known = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        kind = parts.scheme
    except ValueError:
        known, kind = False, ""
    if not known:
        what = f"an address of the kind {kind}://" if re.fullmatch(r"[a-z0-9]+", kind) else "no address"
        raise ConfigurationError(
            f"{variable_of(server)} names {what} as the proxy for {server}, which can't be used.",
            action="Write it as http://host:port or, for SOCKS, as socks5h://host:port.",
        )


def for_children() -> dict[str, str]:
    """Variables that a program in another environment needs in order to use a SOCKS proxy."""
    found = importlib.util.find_spec("socks")
    return {_SOCKS_VARIABLE: found.origin} if found is not None and found.origin else {}
