"""Runs CodaLab's own scoring daemon, `cl-competitiond`, pass after pass until every evaluation has come to an end.

    CODALAB_USERNAME=... CODALAB_PASSWORD=... python score.py CONFIG LEADERBOARD [--timeout SECONDS] [--once]

CONFIG is the daemon's configuration file, without credentials; LEADERBOARD is the JSON file it writes. Progress is
one line of JSON on standard output for each change. Exit code 0: everything is scored or has failed for good; 3: the
time was up before.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return,attr-defined"

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import time
import traceback
from typing import Any

if (
    __name__ == "__main__" and not __package__
):  # started by path: make this folder the package it is (PEP 366)
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    del sys.path[0]
    __package__ = "inside"
    __import__(__package__)

from .rest import Rest, RestError

_POLL_SECONDS = 1.0
_FINAL = ("ready", "failed", "killed")
_OUT_OF_TIME = 3


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("leaderboard")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds to wait for evaluations")
    parser.add_argument("--once", action="store_true", help="one pass only, as the daemon makes each minute")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    username, password = os.environ["CODALAB_USERNAME"], os.environ["CODALAB_PASSWORD"]
    with open(options.config, encoding="utf-8") as file:
        config = json.load(file)
    rest = Rest(config["host"], username, password)
    with contextlib.redirect_stdout(sys.stderr):  # the daemon prints
        competition = _daemon(options.config, options.leaderboard, username, password)
    end = time.monotonic() + options.timeout
    for number in range(1, 1000):
        _pass(competition, options.leaderboard)
        rows = _rows(options.leaderboard)
        _tell(event="pass", number=number, rows=len(rows), waiting=sum(not row["final"] for row in rows))
        if options.once or all(row["final"] for row in rows):
            return 0
        if not _wait(rest, rows, end):
            return _OUT_OF_TIME
    return _OUT_OF_TIME


def _daemon(config: str, leaderboard: str, username: str, password: str) -> Any:
    """The daemon's Competition. It asks for what its configuration lacks; the answers are given here."""
    from scripts import competitiond

    competitiond.input = lambda _prompt: username
    competitiond.getpass.getpass = lambda _prompt: password
    competition = competitiond.Competition(config, leaderboard + ".new", False)
    competition.ensure_log_worksheet_private()
    return competition


def _pass(competition: Any, leaderboard: str) -> None:
    """One pass. The daemon writes over its file in place; readers of ours see the old one or the new one."""
    with contextlib.redirect_stdout(sys.stderr):
        competition.run_once()
    os.replace(competition.output_path, leaderboard)


def _rows(leaderboard: str) -> list[dict[str, Any]]:
    """Each evaluation on the board: its uuid, name, and whether it has ended and been read."""
    with open(leaderboard, encoding="utf-8") as file:
        board = json.load(file)["leaderboard"]
    return [
        {
            "uuid": row["bundle"]["id"],
            "name": row["bundle"]["metadata"]["name"],
            "predict": json.loads(row["bundle"]["metadata"]["description"] or "{}").get("predict_id"),
            "final": row["bundle"]["state"] in _FINAL,
        }
        for row in board
    ]


def _wait(rest: Rest, rows: list[dict[str, Any]], end: float) -> bool:
    """Until one more evaluation has ended; False if the time is up before. Tells what each is at meanwhile."""
    waiting = [row for row in rows if not row["final"]]
    told: dict[str, Any] = {}
    while time.monotonic() < end:
        for row in waiting:
            now = _at(rest, row)
            if told.get(row["uuid"]) != now:
                told[row["uuid"]] = now
                _tell(event="at", name=row["name"], **now)
            if now["stage"] == "evaluated":
                return True
        time.sleep(_POLL_SECONDS)
    return False


def _at(rest: Rest, row: dict[str, Any]) -> dict[str, str]:
    """What an evaluation is at: training (with the last line of its output), predicting, evaluating, evaluated."""
    evaluation = rest.get("/bundles/" + row["uuid"])["data"]["attributes"]
    if evaluation["state"] in _FINAL:
        return {"stage": "evaluated", "state": evaluation["state"], "detail": ""}
    with contextlib.suppress(RestError, KeyError, TypeError):
        prediction = rest.get("/bundles/" + row["predict"])["data"]["attributes"]
        for parent in prediction["dependencies"]:
            run = rest.get("/bundles/" + parent["parent_uuid"])["data"]["attributes"]
            if run["bundle_type"] == "run" and run["state"] not in _FINAL:
                return {"stage": "training", "state": run["state"], "detail": _last_line(rest, run["uuid"])}
        if prediction["state"] not in _FINAL:
            return {"stage": "predicting", "state": prediction["state"], "detail": ""}
    return {"stage": "evaluating", "state": evaluation["state"], "detail": ""}


def _last_line(rest: Rest, uuid: str) -> str:
    """The last line that a run has printed so far, as far as it is known."""
    with contextlib.suppress(RestError):
        text = rest.text(f"/bundles/{uuid}/contents/blob/stdout", {"tail": 3, "max_line_length": 400})
        lines = [
            line.strip() for line in text.replace("\r", "\n").replace("\b", "").splitlines() if line.strip()
        ]
        return lines[-1][-200:] if lines else ""
    return ""


def _tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(1)
