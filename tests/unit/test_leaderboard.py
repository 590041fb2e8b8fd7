"""The board as the daemon writes it, and as anyone on it may have spoilt it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cldc import competition
from cldc.codalab import Rest
from cldc.errors import CodaLabError
from cldc.leaderboard import parse
from cldc.ledger import Ledger
from cldc.render.board import board_blocks, board_page, board_rows
from cldc.render.document import Document
from cldc.render.formats import plain, render
from cldc.render.html import render_page
from cldc.submission.status import fetch_statuses
from tests.support.contestants import contestant
from tests.support.records import RECORD

COMPETITION = competition.load("demo")


def entry(**submission: Any) -> dict[str, Any]:
    described = {"description": "good (Lab)", "user_name": "me", "created": 1_600_000_000, "public": True}
    return {
        "submission": {**described, **submission},
        "bundle": {"state": "ready", "metadata": {"name": "e", "description": '{"submit_id": "0x1"}'}},
        "scores": {"accuracy": 0.5},
    }


def board(*entries: object) -> str:
    specs = {"score_specs": [{"name": "accuracy"}]}
    return json.dumps({"config": specs, "leaderboard": entries, "updated": 1_600_000_001})


@pytest.mark.parametrize(
    "spoilt",
    [
        entry(created=None),
        entry(created=10**400),
        entry(description=7),
        {**entry(), "scores": {}},
        {**entry(), "scores": {"accuracy": 10**400}},
        {**entry(), "bundle": {"state": "ready", "metadata": "none"}},
        None,
    ],
)
def test_an_entry_that_is_malformed_hides_no_other(spoilt: object) -> None:
    read = parse(board(entry(), spoilt), COMPETITION, account="me")
    assert [row.name for row in read.rows] == ["good"]
    assert read.malformed == 1
    assert "Left out: 1 malformed entry." in plain(board_blocks(read))


def test_an_invalid_score_has_no_rank_and_an_invalid_text_does_no_harm() -> None:
    odd = {**entry(description="\ud800\x1b[2J (x)"), "scores": {"accuracy": float("nan")}}
    odd["bundle"] = {"state": "\x1b[2Jfail", "metadata": {"description": "[" * 100_000}}
    read = parse(board(odd, entry()), COMPETITION, account="me")
    assert [(row.name, row.rank) for row in read.rows] == [("good", 1), ("?\x1b[2J", None)]
    output = plain(board_blocks(read))
    assert "\x1b" not in output
    assert output.encode()


def test_equal_scores_share_a_rank_and_the_next_score_has_the_next_rank() -> None:
    """As on the page: 1 2 2 3, not 1 2 2 4."""
    scores = [0.7, 0.9, 0.8, 0.8]
    read = parse(board(*({**entry(), "scores": {"accuracy": score}} for score in scores)), COMPETITION)
    assert [(row.rank, row.score) for row in read.rows] == [(1, 0.9), (2, 0.8), (2, 0.8), (3, 0.7)]


def test_the_first_entries_are_shown_however_many_share_a_rank() -> None:
    read = parse(board(*[entry()] * 5), COMPETITION)
    assert "and 2 more; --all shows them" in plain(board_blocks(read, limit=3))


def scored(score: float, hour: int, **more: Any) -> dict[str, Any]:
    return {**entry(created=1_600_000_000 + 3600 * hour), "scores": {"accuracy": score}, **more}


def test_a_spreadsheet_has_the_whole_board_and_nothing_that_it_hides() -> None:
    rows = [scored(0.5 + at / 100, at) for at in range(30)]
    read = parse(board(*rows, scored(0.99, 2, hidden="late")), COMPETITION, account="me")
    output = list(csv.DictReader(io.StringIO(render("csv", Document({}, (), rows=board_rows(read))))))
    assert [float(row["score"]) for row in output] == sorted(
        (0.5 + at / 100 for at in range(30)), reverse=True
    )
    assert {key: output[0][key] for key in ("rank", "name", "account", "created", "mine")} == {
        "rank": "1",
        "name": "good",
        "account": "me",
        "created": "2020-09-14T17:26:40+00:00",
        "mine": "True",
    }


def test_the_page_shows_each_record_and_never_what_the_board_hides() -> None:
    rows = [scored(score, hour) for hour, score in enumerate((0.5, 0.4, 0.7, 0.6, 0.8))]
    secret = scored(0.99, 3, hidden="late")
    secret["submission"]["description"] = "too late (Lab)"
    page = render_page(board_page(parse(board(*rows, secret), COMPETITION), title="Winter"))
    assert "from 0.5000 to 0.8000 in 3 records" in page
    assert (page.count('class="record"'), page.count('class="entry"')) == (3, 5)
    assert "too late" not in page
    assert "0.99" not in page


@pytest.mark.parametrize("scores", [(), (0.5,), (0.5, 0.5), (-1e308, 1e308), (5e-324, 0.0), (-0.5, -0.25)])
def test_odd_scores_make_a_page_with_places_on_it(scores: tuple[float, ...]) -> None:
    rows = [scored(score, hour) for hour, score in enumerate(scores)]
    page = render_page(board_page(parse(board(*rows), COMPETITION), title="Winter"))
    assert page.count('class="entry"') == (len(scores) if len(scores) > 1 else 0)
    assert "nan" not in page.partition("<main>")[2]


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 200_000, board()[:-1]])
def test_a_file_that_is_no_board_is_reported(text: str) -> None:
    with pytest.raises(CodaLabError, match="not what the scoring daemon writes"):
        parse(text, COMPETITION)


@pytest.mark.parametrize(("state", "final"), [("running", False), ("failed", True), ("killed", True)])
def test_an_evaluation_that_failed_is_not_waited_for(tmp_path: Path, state: str, final: bool) -> None:
    evaluated = {**entry(), "scores": {"accuracy": None}}
    evaluated["bundle"]["state"] = state
    record, now = replace(RECORD, account="me", name="good"), RECORD.created
    with Ledger(tmp_path) as ledger, Rest(record.server) as rest:
        ledger.add(record)
        ledger.begin(record.id, "tag", now=now)
        ledger.finish(record.id, "tag", {"uuid": "0x1"}, now=now)
        read = parse(board(evaluated), COMPETITION, account="me")
        me = contestant(COMPETITION, rest, "me", ledger=ledger, now=now)
        (status,) = fetch_statuses(me, read)
    assert (status.stage, status.detail) == ("evaluated", f"evaluation {state}")
    assert status.final == final
    assert ("ask the organisers" in status.action) == final
