"""Repeat work of several requests, such as a submission's step, after failures of the network or the server.

Each attempt first finds what the last one left on the server, and resumes there. So it may follow even a change that was
interrupted with an unknown outcome, which `cldc.codalab.connection` and `cl` never repeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from cldc.codalab.failures import ServerFailed, UploadFailed
from cldc.errors import CldcError, CredentialsError, Unreachable

T = TypeVar("T")
PAUSES_SECONDS = (1.0, 4.0)
BROKEN_OFF: tuple[type[CldcError], ...] = (Unreachable, ServerFailed, UploadFailed, CredentialsError)


def repeat(
    attempt: Callable[[], T],
    *,
    on_failure: Callable[[CldcError], None],
    errors: tuple[type[CldcError], ...] = BROKEN_OFF,
) -> T:
    """Call ``attempt`` up to three times and return its result.

    Each call finds what the one before left. ``on_failure`` is called with one of ``errors``, which another attempt may fix,
    before the pause.

    Raises:
        CldcError: As from ``attempt``; one of ``errors`` only from its last call.
    """
    for pause in PAUSES_SECONDS:
        try:
            return attempt()
        except errors as error:
            on_failure(error)
            time.sleep(pause)
    return attempt()
