"""Text for people: safe to show (no escape sequences, no passwords, no commands to a job's log), and well counted."""

from __future__ import annotations

import re
from collections.abc import Sequence

# The variable whose value is masked from the start of the process.
PASSWORD_VARIABLE = "CODALAB_PASSWORD"  # noqa: S105 - a variable's name
_MASK = "***"
# CodaLab takes no shorter password; a shorter one is a common word, and masking it would garble everything.
_SHORTEST_SECRET = 8
# User and password of an address, as of a proxy.
_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]*@", re.IGNORECASE)
# What GitHub, GitLab and Azure obey at the start of a line of a job's log.
_LOG_COMMAND = re.compile(r"^(\s*)(::|##\[|##vso\[)", re.MULTILINE)
_secrets: set[str] = set()


def keep_secret(value: str) -> None:
    """Mask ``value`` in everything that is shown from now on."""
    if len(value) >= _SHORTEST_SECRET:
        _secrets.add(value)


def masked(text: str) -> str:
    """Mask the secrets of this process and the passwords in addresses."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return _IN_ADDRESS.sub(rf"\1{_MASK}@", text)


def utf8(text: str) -> str:
    """Escape what UTF-8 can't hold, such as bytes of a file name in another encoding."""
    return text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """Put ``text`` on one line, and escape what a terminal would obey or a UTF-8 file can't hold."""
    safe = utf8(text)
    return safe if safe.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in safe)


def shown(text: str) -> str:
    """Make ``text`` safe to show: masked and printable, its lines kept, none of them a command to a job's log."""
    lines = masked(text).replace("\r\n", "\n").split("\n")
    safe = "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
    return _LOG_COMMAND.sub(r"\1\\\2", safe)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Format a count, as ``1 image`` or ``2,067 images``; ``nouns`` is a plural that needs more than an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def duration(seconds: float) -> str:
    """Format seconds, as ``45 s``, ``12 min``, ``2.5 hours`` or ``1,200 hours``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 100 else f"{hours:,.0f} hours"


def size(count: float) -> str:
    """Format a number of bytes, as ``740 MB`` or ``1.1 TB``."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if abs(count) >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1e6:,.0f} MB" if abs(count) >= 1e6 else f"{count / 1e3:,.0f} kB"


def first_few(items: Sequence[str], limit: int = 3) -> str:
    """List the first few of ``items`` in one line, and how many more there are."""
    few = ", ".join(items[:limit])
    return f"{few} and {len(items) - limit:,} more" if len(items) > limit else few
