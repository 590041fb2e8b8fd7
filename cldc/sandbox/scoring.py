"""Run CodaLab's own scoring daemon on the sandbox, as the organiser, until everything is scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cldc import process
from cldc.errors import SandboxError
from cldc.files import lock, replace_atomically
from cldc.progress import SILENT, Observer
from cldc.sandbox.people import by_role
from cldc.sandbox.places import INSIDE, Account, Places, read_json
from cldc.sandbox.server import require_up

if TYPE_CHECKING:
    from cldc.competition import Competition

_OUT_OF_TIME = 3
_SLACK_SECONDS = 120


def score(
    data: Path,
    competition: Competition,
    *,
    codalab_python: Path,
    timeout_seconds: float = 6 * 3600,
    observer: Observer = SILENT,
) -> Path:
    """Score everything that is tagged and within the daemon's quota; returns the leaderboard's file.

    Each submission's run is repeated on the hidden test set, so that this takes as long as the trainings.

    Raises:
        SandboxError: It is not up, does not hold the competition, or the daemon failed or took too long.
    """
    places = Places(data)
    address = require_up(data).address
    organiser = by_role(data, "organiser")
    config = read_json(places.daemon(competition))
    if organiser is None or config is None:
        raise SandboxError(
            f"The sandbox does not hold the competition {competition.name}.",
            action="Put it there with `cldc sandbox up`.",
        )
    board = places.leaderboard(competition)
    with lock(places.competition(competition) / "score.lock", purpose="scoring", observer=observer):
        if config["host"] != address:  # another port than when it was seeded
            replace_atomically(places.daemon(competition), json.dumps({**config, "host": address}, indent=2))
        program: list[process.Argument] = [
            codalab_python,
            INSIDE / "score.py",
            places.daemon(competition),
            board,
        ]
        arguments = [*program, "--timeout", str(timeout_seconds)]
        env = _environment(places, organiser)
        observer.start("Scoring")
        with process.stream(arguments, env=env, timeout_seconds=timeout_seconds + _SLACK_SECONDS) as child:
            for line in child:
                if line.startswith('{"event"'):
                    _tell(json.loads(line), observer)
    if child.returncode == _OUT_OF_TIME:
        raise SandboxError(
            f"Not everything was scored within {timeout_seconds:.0f} s.",
            action="Run `cldc sandbox score` again: it goes on where it is.",
        )
    if child.returncode:
        tail = "\n".join(child.tail.strip().splitlines()[-10:])
        raise SandboxError(f"CodaLab's scoring daemon failed.\n{tail}", action="Mend that and score again.")
    return board


def _environment(places: Places, organiser: Account) -> dict[str, str]:
    """The daemon's: the organiser's credentials, and no proxy on the way to this machine."""
    return process.clean_environment(
        {
            "CODALAB_USERNAME": organiser.name,
            "CODALAB_PASSWORD": organiser.password,
            "CODALAB_HOME": str(places.home / "codalab"),
            "no_proxy": "127.0.0.1",
            "NO_PROXY": "127.0.0.1",
        }
    )


def _tell(event: dict[str, Any], observer: Observer) -> None:
    """Pass on what the daemon is at."""
    if event["event"] == "pass":
        if event["waiting"]:
            observer.start("Scoring", event["rows"], "submissions")
        observer.advance(event["rows"] - event["waiting"])
    else:
        words = [event["name"], event["stage"]] + ([event["detail"]] if event["detail"] else [])
        observer.note(": ".join(words[:2])) if event["stage"] == "evaluated" else observer.advance(
            0, ", ".join(words)
        )
