"""An organiser's files, a competition on a server, and the results of scoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cldc.credentials import Credentials
from cldc.files import read_json
from cldc.leaderboard import Leaderboard

# What the organiser's machine keeps in a competition's folder.
BOARD = "leaderboard.json"  # of the last pass, with the organiser's rulings
EVALUATED = "evaluated.json"  # the same board as CodaLab's daemon writes it
LEFT_OUT = "left-out.json"  # the submissions that the last pass skipped
DAEMON = "competition.json"  # the daemon's configuration, without credentials
PUBLISHED = "seed.json"  # what is on the server; missing until the competition is set up
ROSTER = "roster.csv"


@dataclass(frozen=True, slots=True)
class OrganiserTarget:
    """A CodaLab, its organiser, and the folder in which this machine keeps the competition."""

    address: str
    credentials: Credentials
    folder: Path
    sandbox: bool


@dataclass(frozen=True, slots=True)
class OrganiserFiles:
    """An organiser's files.

    Attributes:
        script: The training script, a file.
        label_book: A folder with one folder for each class.
        test_set: The hidden test set, a folder like the label book.
        evaluate: The evaluation script, a file; None for the one beside the profile or, if
            there is none, ours with the profile's classes.
        starting_dataset: A folder with the splits, for contestants to start from; None for no such bundle.
    """

    script: Path
    label_book: Path
    test_set: Path
    evaluate: Path | None = None
    starting_dataset: Path | None = None


@dataclass(frozen=True, slots=True)
class PublishedCompetition:
    """A competition's worksheets and bundles on a server.

    Attributes:
        uuids: From the key of each worksheet (``utils``, ``log``) and bundle (``script``, ``label_book``, ``data``,
            ``test_set``, ``evaluate``) to its uuid.
        created: Keys of those that were not there before.
    """

    uuids: Mapping[str, str]
    created: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A tagged submission that the scoring daemon does not evaluate.

    Attributes:
        submission: Uuid of the tagged bundle.
        name: The bundle's name.
        account: Its owner.
        reason: The reason, as a sentence.
        waiting: Whether a later pass will evaluate it.
    """

    submission: str
    name: str
    account: str
    reason: str
    waiting: bool


@dataclass(frozen=True, slots=True)
class NotRepeated:
    """A submission that could not be evaluated again, and so keeps the score that it had.

    Attributes:
        submission: Uuid of the tagged bundle.
        name: The bundle's name, or its evaluation's.
        reason: The reason, as a clause such as "it has no evaluation yet".
    """

    submission: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Board:
    """The board for its organiser: with the submissions that were skipped, its JSON, and its page if it was published."""

    leaderboard: Leaderboard
    left_out: tuple[Skipped, ...]
    data: Path
    page: Path | None = None


@dataclass(frozen=True, slots=True)
class Rescored:
    """A submission that was evaluated again: its score before and now; None without a score."""

    submission: str
    account: str
    name: str
    before: float | None
    score: float | None


def read_left_out(folder: Path) -> tuple[Skipped, ...]:
    """Read which submissions the daemon's last pass skipped; none before the first pass."""
    return tuple(Skipped(**entry) for entry in read_json(folder / LEFT_OUT) or [])
