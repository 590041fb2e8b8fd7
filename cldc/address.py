"""Normalize a server's address, and refuse one that would send secrets unencrypted."""

from __future__ import annotations

import difflib
import ipaddress
import re
import urllib.parse

from cldc.errors import ConfigurationError

# Stands for the address of the CodaLab on this machine, which changes with each start.
SANDBOX = "sandbox"
_HOST = re.compile(r"[\w.:%-]+")


def check(server: str) -> str:
    """Return ``server`` as ``scheme://host[:port]``, in lower case and without a slash at its end.

    Raises:
        ConfigurationError: The address is malformed, contains a name or password, or lacks TLS for another machine.
    """
    parts, name = _split(server)
    if (
        not name
        or parts.scheme not in ("http", "https")
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        sandbox = f"{SANDBOX}, or as " if difflib.get_close_matches(server, [SANDBOX], cutoff=0.7) else ""
        raise ConfigurationError(
            f"The server {_without_account(server)!r} is not an address.",
            action=f"Write it as {sandbox}{_nearest(server)}, without a path.",
        )
    if parts.username is not None:
        raise ConfigurationError(
            "The server's address contains a name or a password.",
            action="Remove them and run `cldc login`.",
        )
    address = f"{parts.scheme}://{name}"
    if parts.scheme == "http" and not is_loopback(address):
        raise ConfigurationError(
            f"The server {server!r} would get the password unencrypted.",
            action=f"Use https://{name}; plain http is only for a CodaLab on this machine.",
        )
    return address


def _split(server: str) -> tuple[urllib.parse.SplitResult, str]:
    """Split an address; host and port come as text, empty if it names no host."""
    nothing = urllib.parse.SplitResult("", "", "", "", "")
    try:
        parts = urllib.parse.urlsplit(server.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return nothing, ""
    if not _HOST.fullmatch(host):
        return nothing, ""
    return parts, (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")


def _nearest(server: str) -> str:
    """Guess the address that ``server`` was meant to be; ``https://host`` if it contains no host."""
    scheme, _, rest = server.strip().rpartition("://")
    _, name = _split(f"https://{_without_account(rest)}")
    plain = scheme.lower() == "http" and is_loopback(f"http://{name}")
    return f"{'http' if plain else 'https'}://{name or 'host'}"


def _without_account(server: str) -> str:
    return server.rpartition("@")[2]


def is_loopback(server: str) -> bool:
    """Check whether a server can only be this machine, by its address; names other than localhost are not looked up."""
    host = urllib.parse.urlsplit(server).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
