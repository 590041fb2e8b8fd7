"""Run CodaLab's scoring daemon, `cl-competitiond`.

    CODALAB_USERNAME=... CODALAB_PASSWORD=... python run_daemon.py CONFIG LEADERBOARD [--mode finish|once|watch] [--again UUID...]

CONFIG is the daemon's configuration file, without credentials; LEADERBOARD is the JSON file that it writes. Each change is
reported as one line of JSON on standard output. ``finish`` makes passes until every evaluation has ended, ``once`` makes one
pass, and ``watch`` continues until it is stopped, even if a pass fails. ``--again`` first starts another evaluation of
submissions that have one. Exit code 0: everything is scored or has failed for good; 3: the time is up.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return,attr-defined"

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import sys
import time
import traceback
import urllib.request
from typing import Any

from codalab.client.json_api_client import JsonApiException
from codalab.common import UsageError
from codalab.worker.download_util import BundleTarget

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "inside"))
import bounded_http
from scoring_daemon import FINAL, note, start

_POLL_SECONDS = 1.0
_GATHER_SECONDS = 10.0  # a pass reads everything, so wait for more evaluations to end
_ESTIMATE_SECONDS = 5.0
_OUT_OF_TIME = 3
_LIMIT_BYTES = 256 * 2**20  # the daemon asks for all that is tagged at once
# Exceptions of CodaLab's client if the server refuses or can't be reached.
_REFUSED = (JsonApiException, UsageError)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("leaderboard")
    parser.add_argument("--mode", choices=["finish", "once", "watch"], default="finish")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds to wait for evaluations")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two passes of watch")
    parser.add_argument("--strict-quota", action="store_true", help="let the quota count within a pass, too")
    parser.add_argument("--again", nargs="*", default=[], help="submissions to evaluate again")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    username, password = os.environ["CODALAB_USERNAME"], os.environ["CODALAB_PASSWORD"]
    # Hold every request of this program, which are CodaLab's own, to limits.
    bounded_http.BoundedResponse.limit_bytes = _LIMIT_BYTES
    bounded_http.trust_certificates()
    urllib.request.install_opener(bounded_http.opener())
    with contextlib.redirect_stdout(sys.stderr):  # the daemon prints text that is not ours
        daemon = start(options.config, options.leaderboard + ".new", username, password)
        daemon.strict_quota = options.strict_quota
        with contextlib.suppress(OSError, ValueError):  # without it the scores are read again
            daemon.remember(_json(options.leaderboard))
        with contextlib.suppress(OSError, ValueError):  # and without it the submissions
            daemon.submissions = _json(_submissions_file(options.leaderboard))
        if options.again:
            daemon.repeat(options.again)
    scorer = _Scorer(daemon, options.leaderboard)
    if options.mode == "watch":
        scorer.watch(options.every)
    return scorer.finish(options.timeout, once=options.mode == "once")


class _Scorer:
    """Makes passes and reports them on standard output."""

    def __init__(self, daemon: Any, leaderboard: str) -> None:
        self._daemon, self._leaderboard = daemon, leaderboard
        self._reported: set[tuple[str, str]] = set()
        self._trainings: dict[str, float] = {}  # seconds that each evaluation's training takes, by submission

    def finish(self, timeout: float, *, once: bool) -> int:
        """Make passes until every evaluation has ended, or the time is up; return the exit code."""
        end = time.monotonic() + timeout
        while True:
            rows = self._pass()
            if once or all(row["final"] for row in rows):
                return 0
            if not self._wait([row for row in rows if not row["final"]], end):
                return _OUT_OF_TIME

    def watch(self, every: float) -> None:
        """Make passes until the program is stopped. If a pass fails, report that and make the next one."""
        while True:
            try:
                self._pass()
            except Exception as error:
                traceback.print_exc()
                _tell(event="failed", detail=f"{type(error).__name__}: {error}"[:400])
            time.sleep(every)

    def _pass(self) -> list[dict[str, Any]]:
        """Make one pass. The daemon overwrites its file in place, so it writes another, which then replaces the board."""
        _tell(event="begin")
        with contextlib.redirect_stdout(sys.stderr):
            self._daemon.run_once()
        board = [row["bundle"] for row in _json(self._daemon.output_path)["leaderboard"]]
        rows = [_row(bundle) for bundle in [*board, *self._daemon.repeating]]
        os.replace(self._daemon.output_path, self._leaderboard)
        with open(self._daemon.output_path, "w", encoding="utf-8") as file:
            json.dump(self._daemon.submissions, file)
        os.replace(self._daemon.output_path, _submissions_file(self._leaderboard))
        left_out = list(self._daemon.left_out.values())
        for entry in left_out:
            if (entry["submission"], entry["reason"]) not in self._reported:
                self._reported.add((entry["submission"], entry["reason"]))
                _tell(event="left out", **entry)
        while self._daemon.not_repeated:
            _tell(event="not repeated", **self._daemon.not_repeated.pop())
        under_way = [row for row in rows if not row["final"]]
        tagged = [bundle["id"] for bundle in self._daemon.tagged]
        _tell(event="pass", rows=len(rows), waiting=len(under_way), left_out=left_out, tagged=tagged)
        if {row["submission"] for row in under_way} - self._trainings.keys():
            self._trainings = _training_seconds(self._daemon, under_way)
            _tell(event="expected", seconds=list(self._trainings.values()))
        return rows

    def _wait(self, waiting: list[dict[str, Any]], end: float) -> bool:
        """Wait until these evaluations have ended, or some have after ten seconds; False if the time is up first.

        Reports each one's stage while it waits, and how long the trainings still take.
        """
        most, enough = len(waiting), time.monotonic() + _GATHER_SECONDS
        stages: dict[str, dict[str, str]] = {}
        began: dict[str, float] = {}
        at_once, estimated_at = 1, 0.0
        while time.monotonic() < end:
            for row in waiting:
                now = _stage(self._daemon.client, row)
                if stages.get(row["uuid"]) != now:
                    stages[row["uuid"]] = now
                    _tell(event="at", name=row["name"], **now)
                if now["stage"] == "training" and now["state"] == "running":
                    began.setdefault(row["uuid"], time.monotonic())
            waiting = [row for row in waiting if stages[row["uuid"]]["stage"] != "evaluated"]
            training = [row for row in waiting if stages[row["uuid"]]["stage"] == "training"]
            at_once = max(at_once, sum(stages[row["uuid"]]["state"] == "running" for row in training))
            if time.monotonic() > estimated_at + _ESTIMATE_SECONDS:
                estimated_at = time.monotonic()
                left = [
                    self._trainings.get(row["submission"], 0.0)
                    - (estimated_at - began.get(row["uuid"], estimated_at))
                    for row in training
                ]
                _tell(event="left", seconds=sum(max(0.0, each) for each in left) / at_once)
            if not waiting or (len(waiting) < most and time.monotonic() > enough):
                return True
            time.sleep(_POLL_SECONDS)
        return False


def _submissions_file(leaderboard: str) -> str:
    """Return the path of the last pass's submissions, for the next program; no backup needs it."""
    return os.path.join(os.path.dirname(leaderboard), ".submissions.json")


def _json(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _row(bundle: dict[str, Any]) -> dict[str, Any]:
    noted = note(bundle)
    return {
        "uuid": bundle["id"],
        "name": bundle["metadata"]["name"],
        "predict": noted.get("predict_id"),
        "submission": noted.get("submit_id"),
        "final": bundle["state"] in FINAL,
    }


def _training_seconds(daemon: Any, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return how long each submission's own run trained on this server, which its evaluation repeats.

    0 if that is not known, or if the evaluation waits for no training.
    """
    found = {row["submission"]: 0.0 for row in rows}
    with contextlib.suppress(*_REFUSED, LookupError, TypeError):
        predicted = {bundle["id"]: bundle for bundle in daemon.bundles([row["predict"] for row in rows])}
        training = [row["submission"] for row in rows if predicted[row["predict"]]["state"] not in FINAL]
        made = daemon.bundles(training)
        parents = {bundle["id"]: bundle["dependencies"][0]["parent_uuid"] for bundle in made}
        seconds = {
            run["id"]: float(run["metadata"].get("time") or 0) for run in daemon.bundles(parents.values())
        }
        found.update({uuid: seconds[run] for uuid, run in parents.items()})
    return found


def _stage(client: Any, row: dict[str, Any]) -> dict[str, str]:
    """Return an evaluation's stage: training (with epoch or last line of output), predicting, evaluating or evaluated."""
    evaluation = client.fetch("bundles", row["uuid"])
    if evaluation["state"] in FINAL:
        return {"stage": "evaluated", "state": evaluation["state"], "detail": ""}
    with contextlib.suppress(*_REFUSED, KeyError, TypeError):
        prediction = client.fetch("bundles", row["predict"])
        for parent in prediction["dependencies"]:
            run = client.fetch("bundles", parent["parent_uuid"])
            if run["bundle_type"] == "run" and run["state"] not in FINAL:
                said = _last_line(client, run["id"]) if run["state"] == "running" else ""
                return {"stage": "training", "state": run["state"], "detail": said}
        if prediction["state"] not in FINAL:
            return {"stage": "predicting", "state": prediction["state"], "detail": ""}
    return {"stage": "evaluating", "state": evaluation["state"], "detail": ""}


def _last_line(client: Any, uuid: str) -> str:
    """Return the last epoch that a run has begun, or the last line printed; empty if it can't be read."""
    with contextlib.suppress(*_REFUSED):
        with contextlib.closing(client.fetch_contents_blob(BundleTarget(uuid, "stdout"), tail=3)) as blob:
            text = blob.read().decode("utf-8", "replace")
        lines = [
            line.strip() for line in text.replace("\r", "\n").replace("\b", "").splitlines() if line.strip()
        ]
        epochs = [line for line in lines if re.fullmatch(r"Epoch \d+/\d+", line)]
        return epochs[-1].lower() if epochs else lines[-1][-200:] if lines else ""
    return ""


def _tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(1)
