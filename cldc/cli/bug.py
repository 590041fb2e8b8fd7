"""The log of a bug."""

from __future__ import annotations

import os
import platform
import traceback
from datetime import UTC, datetime

from cldc import __version__
from cldc.errors import CldcError
from cldc.files import data_folder, private_folder, replace_atomically
from cldc.text import masked


def report(error: Exception) -> str:
    """Write the traceback, without values of variables, to a log; what to tell the person who met the bug."""
    # No command line: an argument may be private. No locals: one may hold a token.
    text = "".join(
        (
            f"cldc {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n",
            *traceback.format_exception(error),
        )
    )
    try:
        name = f"bug-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
        path = private_folder(data_folder() / "logs") / name
        replace_atomically(path, masked(text))
    except Exception as unwritten:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"This is a bug in cldc: {type(error).__name__} in {place.filename}, line {place.lineno}; please report it.\n"
            f"Its log can't be written: {unwritten.message if isinstance(unwritten, CldcError) else unwritten}"
        )
    return (
        f"This is a bug in cldc: {type(error).__name__}. Its log is {path}; please report it with that file."
    )
