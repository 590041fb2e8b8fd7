"""Repeat what the network or the server broke off: the next attempt finds what the last one left and goes on from there."""

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
    """The result of ``attempt``, which is called up to three times.

    Args:
        attempt: Finds what an earlier call of it left, so that it may be called again.
        on_failure: Called with the error before a pause and another attempt.
        errors: What another attempt may mend.

    Raises:
        CldcError: As ``attempt``; one of ``errors`` only from its last call.
    """
    for pause in PAUSES_SECONDS:
        try:
            return attempt()
        except errors as error:
            on_failure(error)
            time.sleep(pause)
    return attempt()
