"""`cldc withdraw`: a submission stops counting only if the scoring daemon has not touched it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cldc import sandbox
from tests.support.commands import Cldc
from tests.support.processes import soon
from tests.support.stage import Stage, start, until


@pytest.mark.lasts(40)
def test_what_the_daemon_is_evaluating_stays_spent_whatever_the_board_says(
    stage: Stage, tmp_path: Path
) -> None:
    account = stage.account()
    cldc = Cldc(stage.home, {**stage.settings(account), "CLDC_SERVER": "sandbox"})
    submit = ("--yes", "--no-preflight", "--format", "json")
    cldc("submit", stage.folder(tmp_path / "first"), *submit)
    cldc("sandbox", "score")
    board = sandbox.leaderboard_file(stage.home, stage.competition)
    older = json.loads(board.read_text(encoding="utf-8"))

    cldc("submit", stage.folder(tmp_path / "second", 1), *submit)
    waiting = cldc("withdraw", "second", "--yes", "--format", "json").data
    assert waiting["spent"]
    assert "is not newer than its tag" in waiting["why"]
    assert "still counts against the quota: the board of" in cldc_text(cldc, stage, tmp_path)

    bundle = cldc("submit", stage.folder(tmp_path / "third", 2), *submit).data["bundle"]
    with stage.held():
        scoring = start(stage, account, stage.home, "sandbox", "score")
        with stage.rest(account) as rest:
            until(lambda: list(rest.search(name_between=(f"{account.name}-third", "-results"))), scoring)
        # The daemon has written a board.
        assert soon(lambda: json.loads(board.read_text(encoding="utf-8")) != older, every_seconds=0.2)
        # As if its pass were still going on, on a board that is written all the while.
        board.write_text(json.dumps({**older, "updated": time.time()}), encoding="utf-8")
        withdrawn = cldc("withdraw", "third", "--yes", "--format", "json").data
    output, _ = scoring.communicate(timeout=120)
    assert scoring.returncode == 0, output
    assert withdrawn["spent"]
    assert "evaluates it or has done so" in withdrawn["why"]
    cldc("sandbox", "score")  # the board above was made up, and the scoring may have read it
    rows = cldc("leaderboard", "--format", "json").data["rows"]
    assert bundle in {row["submission"] for row in rows}


def cldc_text(cldc: Cldc, stage: Stage, folder: Path) -> str:
    """What a person reads who withdraws right after the tag."""
    cldc("submit", stage.folder(folder / "fourth", 3), "--yes", "--no-preflight")
    return cldc("withdraw", "fourth", "--yes").out
