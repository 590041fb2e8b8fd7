"""What CodaLab takes as names and uuids."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""Names of bundles, worksheets and accounts."""

UUID = re.compile(r"0x[0-9a-f]{32}")

MAX_NAME_LENGTH = 128
"""Longest name that cldc gives to anything, in characters; CodaLab's database has room for 255."""

CODALAB_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".zip", ".gz", ".bz2")
"""Extensions that CodaLab cuts off a bundle's name, and of files that it unpacks; in lower case only."""


def is_name(text: str) -> bool:
    """Check whether CodaLab accepts ``text`` as a name, and whether it is within cldc's limit on length."""
    return len(text) <= MAX_NAME_LENGTH and NAME.fullmatch(text) is not None
