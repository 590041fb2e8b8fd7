"""Run CodaLab's scoring daemon: for one pass, until everything is scored, or until it is interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cldc import process
from cldc.codalab.json_api import FINAL_STATES
from cldc.competition import Competition
from cldc.errors import CodaLabError, ConfigurationError
from cldc.files import lock, private_folder, read_json, replace_atomically, storage_errors
from cldc.leaderboard import evaluated_submission, parse
from cldc.organise.daemon_settings import configuration, environment, uuids_of
from cldc.organise.model import (
    BOARD,
    DAEMON,
    EVALUATED,
    LEFT_OUT,
    Board,
    NotRepeated,
    OrganiserTarget,
    read_left_out,
)
from cldc.organise.rulings import deadline, record_pass, rule_on
from cldc.progress import SILENT, Observer
from cldc.text import duration, plural

Mode = Literal["finish", "once", "watch"]
_INSIDE = Path(__file__).with_name("inside")
PASS_SECONDS = 60.0  # between two passes of ``watch``; CodaLab's own default
_OUT_OF_TIME = 3
_TIMEOUT_SECONDS = 6 * 3600  # of ``finish``; scoring again continues
_SLACK_SECONDS = 120
# Notes on events that don't change the progress.
_NOTES = {
    "left out": "{name} of {account}: {reason}",
    "failed": "The scoring daemon failed and continues: {detail}",
    "not repeated": "{name} keeps its score: {reason}.",
}


def score(
    competition: Competition,
    where: OrganiserTarget,
    *,
    python: Path,
    mode: Mode = "finish",
    every_seconds: float = PASS_SECONDS,
    strict_quota: bool = False,
    again: Sequence[str] = (),
    on_pass: Callable[[], None] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    observer: Observer = SILENT,
) -> tuple[NotRepeated, ...]:
    """Score the tagged submissions within the daemon's quota; each pass writes the board in the competition's folder.

    This repeats each submission's run on the hidden test set, so it takes as long as the trainings.

    Args:
        competition: The competition; late and rejected submissions are scored but kept off the board.
        where: The server with the organiser's account, and the competition's folder.
        python: The Python of the `codalab` environment.
        mode: ``finish`` waits until every evaluation has ended, but six hours at most; ``once`` makes one pass, as the
            daemon does each minute; ``watch`` makes passes until it is interrupted.
        every_seconds: Between two passes of ``watch``.
        strict_quota: Whether the quota also counts within a pass. CodaLab's does not: it evaluates everything that an
            account tagged between two passes.
        again: Submissions to evaluate again, by uuid; the scores that they have count until there are new ones.
        on_pass: Called after each pass.
        clock: The server's.

    Returns:
        The submissions of ``again`` that could not be evaluated again.

    Raises:
        ConfigurationError: The profile has no [organiser] table, or lacks a uuid.
        CodaLabError: The daemon failed or took too long.
    """
    config = configuration(where, competition)
    folder = private_folder(where.folder)
    config_file = folder / DAEMON
    arguments: list[process.Argument] = [python, _INSIDE / "run_daemon.py", config_file, folder / EVALUATED]
    arguments += ["--mode", mode, "--every", str(every_seconds), "--timeout", str(_TIMEOUT_SECONDS)]
    if again:
        arguments += ["--again", *again]
    if strict_quota:
        arguments.append("--strict-quota")
    limit = None if mode == "watch" else _TIMEOUT_SECONDS + _SLACK_SECONDS
    passed, started = False, clock()
    not_repeated: list[NotRepeated] = []
    progress = _Progress(observer)
    with lock(folder / "score.lock", purpose="scoring", observer=observer):
        replace_atomically(config_file, json.dumps(config, indent=2))
        observer.start("Scoring")
        with process.Stream(arguments, env=environment(where), timeout_seconds=limit) as child:
            for line in child:
                if line.startswith('{"event"'):
                    event = json.loads(line)
                    progress.tell(event)
                    if event["event"] == "begin":
                        started = clock()
                    elif event["event"] == "not repeated":
                        not_repeated.append(NotRepeated(event["submission"], event["name"], event["reason"]))
                    elif event["event"] == "pass":
                        record_pass(folder, event["tagged"], started)
                        write_board(competition, folder)
                        replace_atomically(folder / LEFT_OUT, json.dumps(event["left_out"], indent=2))
                        passed = True
                        on_pass()
    if child.returncode == _OUT_OF_TIME:
        raise CodaLabError(
            f"Not everything was scored within {duration(_TIMEOUT_SECONDS)}.",
            action="Score again; it continues where it stopped.",
        )
    if child.returncode or not passed:
        tail = "\n".join(child.tail.strip().splitlines()[-10:])
        raise CodaLabError(f"CodaLab's scoring daemon failed.\n{tail}", action="Fix that and score again.")
    return tuple(not_repeated)


def outdated(competition: Competition, folder: Path) -> tuple[str, ...]:
    """List submissions on the last pass's board whose score is not by the present hidden test set and evaluation script.

    Submissions that are still being evaluated, or are gone from the server, are not included.

    Raises:
        ConfigurationError: The profile lacks their uuids.
        StorageError: The board can't be read.
    """
    uuids = uuids_of(competition)
    present = {uuids["test_set"], uuids["evaluate"]}
    board = read_json(folder / EVALUATED) or {"leaderboard": []}
    found = []
    for entry in board["leaderboard"]:
        evaluation = entry["bundle"]
        parents = {dependency["parent_uuid"] for dependency in evaluation["dependencies"]}
        scored = None not in entry["scores"].values() and present <= parents
        if evaluation["state"] in FINAL_STATES and not scored:
            found.append(evaluated_submission(evaluation["metadata"]["description"]))
    return tuple(filter(None, found))


def write_board(competition: Competition, folder: Path) -> None:
    """Write the board of the last pass, with the organiser's current rulings.

    Raises:
        ConfigurationError: The roster can't be used.
        StorageError: A file can't be read or written.
    """
    path = folder / EVALUATED
    with storage_errors(path):
        text = path.read_text(encoding="utf-8")
    replace_atomically(folder / BOARD, rule_on(text, folder, deadline(competition, folder)))


def read_board(competition: Competition, folder: Path) -> Board:
    """Read the board of the last pass, with the current rulings, roster and deadline.

    Raises:
        ConfigurationError: There was no pass yet, or the roster can't be used.
    """
    path = folder / BOARD
    if not path.is_file():
        raise ConfigurationError(
            f"Nothing was scored for {competition.name} on this machine yet.",
            action="Run `cldc organise score` first.",
        )
    write_board(competition, folder)
    return Board(parse(path.read_text(encoding="utf-8"), competition), read_left_out(folder), path)


@dataclass(slots=True)
class _Progress:
    """Reports what the daemon does."""

    observer: Observer
    done: int = 0
    left: str = ""
    detail: str = ""

    def tell(self, event: Mapping[str, Any]) -> None:
        """Report one event."""
        kind = event["event"]
        if kind == "pass":
            if event["waiting"]:
                self.observer.start("Scoring", event["rows"], "submissions")
            self.done = event["rows"] - event["waiting"]
            self.detail = f"{self.done:,} evaluated, {event['waiting']:,} under way"
        elif kind == "expected":
            if seconds := [each for each in event["seconds"] if each]:
                self.observer.note(
                    f"{plural(len(seconds), 'training')}: about {duration(sum(seconds))} on one worker, as the contestants' own took."
                )
        elif kind == "left":
            self.left = f"about {duration(event['seconds'])} left" if event["seconds"] else ""
        elif kind == "at" and event["stage"] == "evaluated":
            self.observer.note(f"{event['name']}: evaluated")
        elif kind == "at":
            self.detail = ", ".join(filter(None, (event["name"], event["stage"], event["detail"])))
        elif kind in _NOTES:
            self.observer.note(_NOTES[kind].format(**event))
        self.observer.advance(self.done, "  ".join(filter(None, (self.left, self.detail))))
