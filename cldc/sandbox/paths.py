"""The sandbox's files, accounts and status."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cldc.competition import Competition
from cldc.organise.model import BOARD

INSIDE = Path(__file__).with_name("inside")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the sandbox. Its repr hides the password."""

    role: str
    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Status:
    """A running sandbox.

    Attributes:
        address: CodaLab's address, as ``http://127.0.0.1:PORT``.
        pid: The server's process.
        started: When it was ready.
        codalab: CodaLab's version.
        python: Version of the Python that it runs in.
        folder: Where it keeps everything.
        competitions: Names of the competitions on it.
    """

    address: str
    pid: int
    started: datetime
    codalab: str
    python: str
    folder: Path
    competitions: tuple[str, ...]


class SandboxPaths:
    """Files of the sandbox below a data folder, named as in `inside/home.py`."""

    def __init__(self, data: Path) -> None:
        self.home = data / "sandbox"
        self.lock = data / "sandbox.lock"
        self.accounts = self.home / "accounts.json"
        self.accounts_seen = self.home / "accounts.seen"
        self.images = self.home / "images.json"
        self.process = self.home / "server.json"
        self.ready = self.home / "sandbox.json"
        self.runs = self.home / "runs"
        self.logs = self.home / "logs"
        self.competitions = self.home / "competitions"


def folder_of(data: Path, competition: str) -> Path:
    """The folder of a competition, with its daemon's configuration and its board."""
    return SandboxPaths(data).competitions / competition


def leaderboard_file(data: Path, competition: Competition) -> Path:
    """The board that `score` writes; it does not exist before the first scoring."""
    return folder_of(data, competition.name) / BOARD
