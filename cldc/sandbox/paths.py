"""Where the sandbox keeps its files, and the lock on them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from cldc.competition import Competition
from cldc.files import lock
from cldc.organise.model import BOARD
from cldc.progress import SILENT, Observer
from cldc.sandbox.inside.home import Home


def home_of(data: Path) -> Home:
    """Return the sandbox's files below a data folder."""
    return Home(data / "sandbox")


def locked(data: Path, observer: Observer = SILENT) -> AbstractContextManager[None]:
    """Let only one process start or change the sandbox at a time.

    Raises:
        LockTimeout: Another process did so for ten minutes.
    """
    return lock(data / "sandbox.lock", purpose="starting or changing the sandbox", observer=observer)


def folder_of(data: Path, competition: str) -> Path:
    """Return the folder of a competition, with its daemon's configuration and its board."""
    return home_of(data).competitions / competition


def leaderboard_file(data: Path, competition: Competition) -> Path:
    """Return the file of the board that `score` writes; it does not exist before the first scoring."""
    return folder_of(data, competition.name) / BOARD
