"""Score submissions on the sandbox as its organiser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cldc.errors import SandboxError
from cldc.organise import daemon_file, read_json
from cldc.organise import score as score_with
from cldc.progress import SILENT, Observer
from cldc.sandbox.accounts import organiser
from cldc.sandbox.paths import folder_of
from cldc.sandbox.server import require_up

if TYPE_CHECKING:
    from cldc.competition import Competition


def score(
    data: Path,
    competition: Competition,
    *,
    codalab_python: Path,
    timeout_seconds: float = 6 * 3600,
    observer: Observer = SILENT,
) -> Path:
    """Score everything that is tagged and within the daemon's quota, and return the leaderboard's file.

    This repeats each submission's run on the hidden test set, so it takes as long as the trainings.

    Raises:
        SandboxError: The sandbox is not up, or the competition is not on it.
        CodaLabError: The daemon failed or took too long.
    """
    address = require_up(data).address
    folder = folder_of(data, competition.name)
    config = read_json(daemon_file(folder))
    if config is None:
        raise SandboxError(
            f"The competition {competition.name} is not on the sandbox.",
            action="Put it there with `cldc sandbox up`.",
        )
    scored = score_with(
        {**config, "host": address},  # it may have another port than when it was seeded
        competition,
        folder,
        organiser(data),
        python=codalab_python,
        timeout_seconds=timeout_seconds,
        observer=observer,
    )
    return scored.board
