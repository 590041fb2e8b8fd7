"""Processes of other programs, and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def soon(condition: Callable[[], object], seconds: float = 120, *, every_seconds: float = 0.02) -> bool:
    """Whether ``condition`` holds before so much time has passed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every_seconds)
    return False
