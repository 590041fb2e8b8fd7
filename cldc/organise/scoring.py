"""Run CodaLab's own scoring daemon: one pass, until everything is scored, or on and on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cldc import process
from cldc.errors import CodaLabError
from cldc.files import lock, private_folder, replace_atomically
from cldc.organise.daemon import environment
from cldc.organise.model import INSIDE, Scored, Skipped, board_file, daemon_file, left_out_file
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    from cldc.credentials import Credentials

Mode = Literal["finish", "once", "watch"]
PASS_SECONDS = 60.0  # between two passes of a daemon that watches; the default of CodaLab's own
_OUT_OF_TIME = 3
_SLACK_SECONDS = 120


def score(
    config: Mapping[str, Any],
    folder: Path,
    organiser: Credentials,
    *,
    python: Path,
    mode: Mode = "finish",
    every_seconds: float = PASS_SECONDS,
    timeout_seconds: float = 6 * 3600,
    strict_quota: bool = False,
    on_pass: Callable[[Scored], None] = lambda _: None,
    observer: Observer = SILENT,
) -> Scored:
    """Score what is tagged and within the daemon's quota; the board is in ``folder`` after each pass.

    Each submission's run is repeated on the hidden test set, so that this takes as long as the trainings.

    Args:
        config: As `configuration` makes it.
        python: The Python of the `codalab` environment.
        mode: ``finish`` waits until every evaluation has ended, ``once`` makes one pass as the daemon does each
            minute, ``watch`` makes pass after pass until it is interrupted.
        every_seconds: Between two passes of ``watch``.
        strict_quota: Whether the quota also counts within one pass. The daemon's own does not: what an account
            tagged between two passes is evaluated however much it is.
        on_pass: Called after each pass.

    Raises:
        CodaLabError: The daemon failed or took too long.
    """
    private_folder(folder)
    program: list[process.Argument] = [python, INSIDE / "score.py", daemon_file(folder), board_file(folder)]
    options = ["--mode", mode, "--every", str(every_seconds), "--timeout", str(timeout_seconds)]
    arguments = [*program, *options, *(["--strict-quota"] if strict_quota else [])]
    env = environment(config["host"], organiser, {"CODALAB_HOME": str(private_folder(folder / "codalab"))})
    limit = None if mode == "watch" else timeout_seconds + _SLACK_SECONDS
    last: Scored | None = None
    with lock(folder / "score.lock", purpose="scoring", observer=observer):
        replace_atomically(daemon_file(folder), json.dumps(config, indent=2))
        observer.start("Scoring")
        with process.stream(arguments, env=env, timeout_seconds=limit) as child:
            for line in child:
                if line.startswith('{"event"'):
                    event = json.loads(line)
                    _tell(event, observer)
                    if event["event"] == "pass":
                        last = _passed(event, folder)
                        on_pass(last)
    return _outcome(child, last, timeout_seconds)


def _outcome(child: process.Stream, last: Scored | None, timeout_seconds: float) -> Scored:
    if child.returncode == _OUT_OF_TIME:
        raise CodaLabError(
            f"Not everything was scored within {timeout_seconds:.0f} s.",
            action="Score again: it goes on where it is.",
        )
    if child.returncode or last is None:
        tail = "\n".join(child.tail.strip().splitlines()[-10:])
        raise CodaLabError(f"CodaLab's scoring daemon failed.\n{tail}", action="Mend that and score again.")
    return last


def _passed(event: Mapping[str, Any], folder: Path) -> Scored:
    """What a pass left; what it left out is kept for who publishes later."""
    left_out = tuple(Skipped(**entry) for entry in event["left_out"])
    replace_atomically(left_out_file(folder), json.dumps([asdict(entry) for entry in left_out], indent=2))
    return Scored(board_file(folder), event["rows"], event["waiting"], left_out)


def _tell(event: dict[str, Any], observer: Observer) -> None:
    """Pass on what the daemon is at."""
    if event["event"] == "pass":
        if event["waiting"]:
            observer.start("Scoring", event["rows"], "submissions")
        done = event["rows"] - event["waiting"]
        observer.advance(done, f"{done:,} evaluated, {event['waiting']:,} under way")
    elif event["event"] == "left out":
        observer.note(f"{event['name']} of {event['account']}: {event['reason']}")
    elif event["event"] == "stumbled":
        observer.note(f"The scoring daemon stumbled and goes on: {event['detail']}")
    else:
        words = [event["name"], event["stage"]] + ([event["detail"]] if event["detail"] else [])
        observer.note(": ".join(words[:2])) if event["stage"] == "evaluated" else observer.advance(
            0, ", ".join(words)
        )
