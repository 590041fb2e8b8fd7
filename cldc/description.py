"""The description of a submission: how the leaderboard page parses it, and how to write one that it parses correctly.

The page matches the trimmed description against the JavaScript pattern ``/(.*) ?\\((.*)\\)(.*)/``. One entry in
seven was never shown in 2021 because of its description; what `compose` returns has been read back by `read`.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from cldc.errors import SubmissionRefused
from cldc.identifiers import CODALAB_ARCHIVES, MAX_NAME_LENGTH, NAME, is_name

# JavaScript's dot stops at more line ends than Python's, and its trim() knows other white space.
_LINE_ENDS = re.compile("[\n\r\u2028\u2029]")
_WHITE = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNESCAPED = "!#$%&'*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Reading:
    """The parts of a description that the board shows; an empty ``name`` hides the entry."""

    name: str
    institution: str
    link: str


def read(description: str) -> Reading:
    """Parse a description as the leaderboard page does (source: the page's script, function for the table's rows)."""
    text = description.strip(_WHITE)
    for line in _LINE_ENDS.split(text):
        # Greedy groups: the last ")" of the line, and the last "(" before it. Not a pattern, which would take
        # forever on a long row of parentheses.
        inside, closed, rest = line.rpartition(")")
        name, opened, institution = inside.rpartition("(")
        if closed and opened:
            link = rest.strip(_WHITE)
            return Reading(name.strip(_WHITE), institution.strip(_WHITE), link if "http" in link else "")
    name, opened, rest = text.rpartition("(")
    # A parenthesis that never closes leaves no institution.
    institution = rest.rpartition(")")[0] if opened else ""
    start = text.rfind("http")
    return Reading(name.strip(_WHITE), institution.strip(_WHITE), text[start:] if start >= 0 else "")


def compose(form: str, *, name: str, institution: str = "", link: str = "") -> str:
    """Fill in ``form``; the board reads the description back as the same name, institution and link.

    Raises:
        SubmissionRefused: A part that the board would hide or garble, with the nearest form that it would not.
    """
    check_name(name)
    _check_institution(institution)
    _check_link(link)
    description = form.format(name=name, institution=institution or " ", link=link).strip()
    wanted = Reading(name, institution, link)
    if read(description) != wanted:
        got = read(description)
        raise SubmissionRefused(
            f"The board would read the description {description!r} as name {got.name!r}, institution "
            f"{got.institution!r}, link {got.link!r}.",
            action="Change the name, institution or link so that it reads them as meant.",
        )
    return description


def check_name(name: str) -> None:
    """Refuse a submission name that CodaLab or the board would not take.

    Raises:
        SubmissionRefused: It names the nearest name that both take.
    """
    why = ""
    if not is_name(name):
        why = f"it starts with a letter or _ and has only letters, digits, _ . - (at most {MAX_NAME_LENGTH})"
    elif name.endswith(CODALAB_ARCHIVES):
        why = "CodaLab would cut off the extension of an archive"
    if why:
        raise SubmissionRefused(
            f"The submission name {name!r} can't be used: {why}.", action=f"Use --name {proper_name(name)}"
        )


def proper_name(text: str) -> str:
    """Return the nearest name that `check_name` accepts."""
    name, longer = plain_name(text)[:MAX_NAME_LENGTH], ""
    while name != longer:
        longer = name
        for extension in CODALAB_ARCHIVES:
            name = name.removesuffix(extension).rstrip("-.")
    return name


def plain_name(text: str) -> str:
    """Replace characters that CodaLab does not allow in names, at any length; a valid name stays as it is."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", _ascii(text)).strip("-.")
    return name if NAME.fullmatch(name) else f"_{name}"


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _check_institution(institution: str) -> None:
    # Non-ASCII comes back as "?" from CodaLab's database; parentheses move the pattern's groups.
    proper = " ".join(re.sub(r"[()]|[^ -~]", " ", _ascii(institution)).split())
    if institution != proper:
        raise SubmissionRefused(
            f"The board would garble the institution {institution!r}: plain ASCII without parentheses is kept as it is.",
            action=f"Use --institution {shlex.quote(proper)}",
        )


def _check_link(link: str) -> None:
    if not link:
        return
    proper = _proper_link(link)
    if not proper:
        raise SubmissionRefused(
            f"The link {link!r} is no web address, so the board would not show it.",
            action="Give --link an address that begins with https:// and names a host.",
        )
    if link != proper:
        raise SubmissionRefused(
            f"The board would garble the link {link!r}, or not show it: it begins with http or https, and parentheses, "
            "spaces and non-ASCII need escaping.",
            action=f"Use --link {shlex.quote(proper)}",
        )


def _proper_link(link: str) -> str:
    """Return the nearest web address that the board shows; empty if there is none."""
    text = _CONTROL.sub("", link).strip().encode("utf-8", "replace").decode()
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        scheme, rest = "https", (rest if separator else text).lstrip("/")
    try:
        parts = urlsplit(f"{scheme.lower()}://{rest}")
        host, port = parts.netloc[: len(parts.hostname or "")].encode("idna").decode(), parts.port
    except ValueError:
        return ""
    if not _HOST.fullmatch(host) or parts.username is not None:
        return ""
    path = quote(rest[len(parts.netloc) :], safe=_UNESCAPED)
    return f"{scheme.lower()}://{host}{f':{port}' if port is not None else ''}{path}"
