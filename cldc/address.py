"""A server's address in its one form, and no secrets over a line that anyone can read."""

from __future__ import annotations

import ipaddress
import urllib.parse

from cldc.errors import ConfigurationError


def check(server: str) -> str:
    """``server`` as ``scheme://host[:port]``, in lower case and without a slash at its end.

    Raises:
        ConfigurationError: It is no such address, carries a name or password, or has no TLS beyond this machine.
    """
    try:
        parts = urllib.parse.urlsplit(server.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if (
        not host
        or parts.scheme not in ("http", "https")
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ConfigurationError(
            f"The server {_shown(server)!r} is no address.",
            action="Write it as https://host, without a path.",
        )
    if parts.username is not None:
        raise ConfigurationError(
            "The server's address carries a name or a password.",
            action="Leave them out of it and run `cldc login`.",
        )
    name = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"The server {server!r} would get the password over a line that anyone can read.",
            action=f"Use https://{name}; plain http is for a CodaLab on this machine only.",
        )
    return f"{parts.scheme}://{name}"


def _shown(server: str) -> str:
    return server.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine; names other than localhost are not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
