"""The proxy on the way to a server, as the environment names it. Its address may hold a password and is never shown."""

from __future__ import annotations

import importlib.util
import os
import re
import urllib.parse

from cldc import address
from cldc.errors import ConfigurationError

# The variable that gives CodaLab's client and the organiser's programs the path of PySocks; see `bounded_http`.
_SOCKS_VARIABLE = "CLDC_SOCKS"
_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def proxy_of(server: str) -> str | None:
    """Address of the proxy for ``server``; None where it is reached without one, as this machine itself is."""
    if address.is_loopback(urllib.parse.urlsplit(server).hostname or ""):
        return None
    from requests.utils import get_environ_proxies, select_proxy

    return select_proxy(server, get_environ_proxies(server)) or None


def variable_of(server: str) -> str | None:
    """What names the proxy for ``server``, in words; None where there is none."""
    chosen = proxy_of(server)
    if chosen is None:
        return None
    named = next((name for name in _VARIABLES if os.environ.get(name) == chosen), None)
    return named or "this machine's network settings"


def check(server: str) -> None:
    """Refuse a proxy that nothing here can use.

    Raises:
        ConfigurationError: Its address has no host, or is of an unknown kind.
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
    """What a program in another environment needs besides the usual variables to go through a SOCKS proxy."""
    found = importlib.util.find_spec("socks")
    return {_SOCKS_VARIABLE: found.origin} if found is not None and found.origin else {}
